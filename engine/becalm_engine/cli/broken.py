"""Snapshots whose files are damaged: each is told, with the way to be rid of it, and the others are gone on with."""

from becalm_engine.cli.output import Output
from becalm_engine.errors import EngineError
from becalm_engine.repository.repository import Broken
from becalm_engine.repository.snapshots import only_damaged, way_out_of


def passed_over(output: Output, during: str) -> Broken:
    """Return what tells of a damaged snapshot that a command passes over."""

    def tell(name: str, error: EngineError) -> None:
        reason = f"{error}; {way_out_of(name)}"
        output.error(during, name, reason, shown=f"passing over snapshot {name[:8]}: {reason}")

    return only_damaged(tell)
