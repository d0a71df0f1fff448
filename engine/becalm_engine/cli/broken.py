"""Snapshots whose files are damaged: each is told, with the way to be rid of it, and the others are gone on with."""

from becalm_engine.cli.output import Output
from becalm_engine.errors import EngineError
from becalm_engine.repository.repository import Broken
from becalm_engine.repository.snapshots import only_damaged, way_out_of


def passed_over(output: Output, during: str) -> Broken:
    """Return what tells of a damaged snapshot that a command passes over."""

    def tell(name: str, error: EngineError) -> None:
        reason = f"{error}; {way_out_of(name)}"
        tell_error(output, during, name, reason, shown=f"passing over snapshot {name[:8]}: {reason}")

    return only_damaged(tell)


def tell_error(output: Output, during: str, item: str, reason: str, *, shown: str) -> None:
    """Tell what went wrong with one thing, without an end of the command; `shown` is the line for people."""
    output.warn(shown)
    output.message(
        {"message_type": "error", "error": {"message": reason}, "during": during, "item": item},
        to_error=True,
    )
