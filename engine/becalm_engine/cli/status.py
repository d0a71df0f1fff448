"""How far a run is: restic's line for people, restic's message for programs."""

from typing import Any

from becalm_engine.cli.output import duration_text, size_text
from becalm_engine.commands.progress import Progress
from becalm_engine.format.shown import shown_text


def share_done(progress: Progress) -> float:
    """Return how much is done, from 0 to 1; 0 while the whole is not known."""
    return min(progress.bytes_done / progress.bytes_total, 1.0) if progress.bytes_total else 0.0


def seconds_left(progress: Progress, elapsed: float) -> float | None:
    """Return how long the rest takes if it goes on as it went; None while nobody can know."""
    if not (progress.bytes_total and progress.bytes_done and elapsed > 0):
        return None
    left = max(0, progress.bytes_total - progress.bytes_done)
    return left * elapsed / progress.bytes_done


def status_line(progress: Progress, elapsed: float) -> str:
    """Return the line that a terminal shows: share, what is done of how much, speed, errors, the time that is left."""
    parts = [f"[{duration_text(elapsed)}]"]
    if progress.bytes_total:
        parts.append(f"{100 * share_done(progress):.2f}%")
    done = f"{progress.files_done} files {size_text(progress.bytes_done)}"
    if progress.bytes_total:
        done += f", total {progress.files_total} files {size_text(progress.bytes_total)}"
    rate = progress.bytes_done / elapsed if elapsed > 0 else 0.0
    parts.append(f"{done}, {size_text(rate)}/s, {progress.errors} errors")
    left = seconds_left(progress, elapsed)
    if left is not None:
        parts.append(f"ETA {duration_text(left)}")
    return "  ".join(parts)


def current_line(progress: Progress) -> str:
    """Return what is being worked on, fit to be looked at."""
    return shown_text(progress.current) if progress.current else ""


def status_document(progress: Progress, elapsed: float) -> dict[str, Any]:
    """Return restic's status message, which leaves out what is 0."""
    counts = {
        "seconds_elapsed": int(elapsed),
        "seconds_remaining": int(seconds_left(progress, elapsed) or 0),
        "total_files": progress.files_total,
        "files_done": progress.files_done,
        "total_bytes": progress.bytes_total,
        "bytes_done": progress.bytes_done,
        "error_count": progress.errors,
    }
    message = {"message_type": "status", "percent_done": share_done(progress), **_counted(counts)}
    return {**message, "current_files": [progress.current]} if progress.current else message


def _counted(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
