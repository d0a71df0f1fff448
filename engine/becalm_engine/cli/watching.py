"""How often a run's progress is drawn."""

from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.cli.status import status_document
from becalm_engine.cli.watcher import Document, Watcher
from becalm_engine.commands.progress import Progress


def watched(
    session: Session, output: Output, progress: Progress, document: Document = status_document
) -> Watcher:
    """Return what draws the progress: as often as the environment says, or as suits where it is drawn.

    If the environment says how often, it is drawn also where nobody watches, a line each time.
    """
    told = _number(session.environment.get("RESTIC_PROGRESS_FPS", ""))
    suitable = 5.0 if output.out.isatty() else 1.0
    return Watcher(
        output,
        progress,
        updates_per_second=min(max(told or suitable, 0.01), 60.0),
        always=bool(told) and not output.quiet,
        document=document,
    )


def _number(text: str) -> float | None:
    """Return a number above 0; whatever else stands there says nothing, as it does to restic."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number > 0 else None
