"""Values of flags that several commands share."""

from collections.abc import Sequence

from becalm_engine.cli.session import Session, read_bytes
from becalm_engine.cli.text_files import patterns_in
from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.selection import Selection


def selection(session: Session) -> Selection:
    """Return what the flags that include and exclude select."""
    given = session.arguments
    return Selection(
        include=(
            _patterns(session, given.include, given.include_file),
            _patterns(session, given.iinclude, given.iinclude_file, ignore_case=True),
        ),
        exclude=exclusions(session),
    )


def exclusions(session: Session) -> tuple[Patterns, Patterns]:
    """Return what the flags that exclude leave out: with case, and without."""
    given = session.arguments
    return (
        _patterns(session, given.exclude, given.exclude_file),
        _patterns(session, given.iexclude, given.iexclude_file, ignore_case=True),
    )


def _patterns(
    session: Session, given: Sequence[str], files: Sequence[str], *, ignore_case: bool = False
) -> Patterns:
    read = [
        pattern for file in files for pattern in patterns_in(read_bytes(file, "pattern"), session.environment)
    ]
    return Patterns([*given, *read], ignore_case=ignore_case)
