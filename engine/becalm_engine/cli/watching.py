"""How often a run's progress is drawn."""

from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.cli.status import status_document
from becalm_engine.cli.watcher import Document, Watcher
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import UsageError


def watched(
    session: Session, output: Output, progress: Progress, document: Document = status_document
) -> Watcher:
    """Return what draws the progress: as often as the environment says, or as suits where it is drawn.

    If the environment says how often, it is drawn also where nobody watches, a line each time.

    Raises:
        UsageError: RESTIC_PROGRESS_FPS is not a number.
    """
    text = session.environment.get("RESTIC_PROGRESS_FPS", "")
    try:
        per_second = float(text) if text else (5.0 if output.out.isatty() else 1.0)
    except ValueError:
        raise UsageError(f"RESTIC_PROGRESS_FPS={text!r} is not a number") from None
    return Watcher(
        output,
        progress,
        updates_per_second=min(max(per_second, 0.01), 60.0),
        always=bool(text) and not output.quiet,
        document=document,
    )
