"""What is printed: text or JSON, and a progress line where somebody watches."""

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TextIO

from becalm_engine.commands.progress import Progress

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(slots=True)
class Output:
    """Where and how a run prints. Nothing else prints."""

    json: bool = False
    quiet: bool = False
    verbose: int = 0
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)

    def say(self, text: str) -> None:
        """Print a line for people, unless quiet or JSON is wanted."""
        if not (self.json or self.quiet):
            print(text, file=self.out, flush=True)

    def result(self, text: str) -> None:
        """Print what was asked for, also when quiet."""
        if not self.json:
            print(text, file=self.out, flush=True)

    def warn(self, text: str) -> None:
        """Print a line to standard error."""
        if not self.json:
            print(text, file=self.err, flush=True)

    def message(self, document: Mapping[str, Any] | Sequence[Any], *, to_error: bool = False) -> None:
        """Print one JSON line, if JSON is wanted."""
        if self.json:
            print(
                json.dumps(document, ensure_ascii=False), file=self.err if to_error else self.out, flush=True
            )


def size_text(number: float) -> str:
    """Return a number of bytes for people, in units of 1024."""
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            return f"{number:.0f} B" if unit == "B" else f"{number:.3f} {unit}"
        number /= 1024
    raise AssertionError


def duration_text(seconds: float) -> str:
    """Return a duration as minutes and seconds, or hours."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def table(head: Sequence[str], rows: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    """Return the lines of restic's table: a cell may have several lines."""
    cells = [[*row] for row in rows]
    widths = [
        max([len(title), *(len(line) for row in cells for line in row[column])])
        for column, title in enumerate(head)
    ]
    lines = ["  ".join(title.ljust(width) for title, width in zip(head, widths, strict=True)).rstrip()]
    lines.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
    for row in cells:
        for at in range(max(1, *(len(cell) for cell in row))):
            texts = (cell[at] if at < len(cell) else "" for cell in row)
            lines.append("  ".join(t.ljust(w) for t, w in zip(texts, widths, strict=True)).rstrip())
    lines.append(lines[1])
    return lines


class Watcher:
    """Draws a run's progress: a line on a terminal, JSON lines where JSON is wanted, nothing elsewhere."""

    def __init__(self, output: Output, progress: Progress, *, updates_per_second: float) -> None:
        self._output = output
        self._progress = progress
        self._terminal = self.wanted(output) and not output.json
        self._interval = 1 / updates_per_second
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    @staticmethod
    def wanted(output: Output) -> bool:
        """Say whether somebody watches."""
        return not output.quiet and (output.json or output.out.isatty())

    def __enter__(self) -> Self:
        if self.wanted(self._output):
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._terminal:
            self._output.out.write("\r\x1b[K")
            self._output.out.flush()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            if self._output.json:
                self._output.message(self.status())
            else:
                self._output.out.write(f"\r\x1b[K{self.line()}")
                self._output.out.flush()

    def status(self) -> dict[str, Any]:
        """Return restic's status message."""
        progress = self._progress
        share = progress.bytes_done / progress.bytes_total if progress.bytes_total else 0.0
        return {
            "message_type": "status",
            "seconds_elapsed": int(time.monotonic() - self._started),
            "percent_done": min(share, 1.0),
            "total_files": progress.files_total,
            "files_done": progress.files_done,
            "total_bytes": progress.bytes_total,
            "bytes_done": progress.bytes_done,
            "error_count": progress.errors,
            "current_files": [progress.current] if progress.current else [],
        }

    def line(self) -> str:
        """Return the progress line: share, speed, rest of the time, and the file at hand."""
        progress, elapsed = self._progress, time.monotonic() - self._started
        rate = progress.bytes_done / elapsed if elapsed else 0.0
        parts = [f"[{duration_text(elapsed)}]"]
        if progress.bytes_total:
            left = max(0, progress.bytes_total - progress.bytes_done)
            parts.append(f"{100 * progress.bytes_done / progress.bytes_total:5.1f}%")
            parts.append(f"ETA {duration_text(left / rate)}" if rate else "ETA -:--")
        parts.append(f"{progress.files_done} files {size_text(progress.bytes_done)}, {size_text(rate)}/s")
        if progress.errors:
            parts.append(f"{progress.errors} errors")
        return ("  ".join(parts) + "  " + progress.current)[:120]
