"""Values of flags that several commands share."""

from argparse import Namespace
from collections.abc import Iterable

from becalm_engine.cli.session import read_text
from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.selection import Selection


def pattern_lines(files: Iterable[str]) -> list[str]:
    """Return the patterns in files: one a line, without blank lines and comments."""
    lines = [line.strip() for file in files for line in read_text(file, "exclude").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def selection(arguments: Namespace) -> Selection:
    """Return what the flags that include and exclude select."""
    return Selection(
        include=(
            Patterns([*arguments.include, *pattern_lines(arguments.include_file)]),
            Patterns([*arguments.iinclude, *pattern_lines(arguments.iinclude_file)], ignore_case=True),
        ),
        exclude=exclusions(arguments),
    )


def exclusions(arguments: Namespace) -> tuple[Patterns, Patterns]:
    """Return what the flags that exclude leave out: with case, and without."""
    return (
        Patterns([*arguments.exclude, *pattern_lines(arguments.exclude_file)]),
        Patterns([*arguments.iexclude, *pattern_lines(arguments.iexclude_file)], ignore_case=True),
    )
