"""Values of flags that several commands share."""

from collections.abc import Iterable

from becalm_engine.cli.session import read_text


def pattern_lines(files: Iterable[str]) -> list[str]:
    """Return the patterns in files: one a line, without blank lines and comments."""
    lines = [line.strip() for file in files for line in read_text(file, "exclude").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
