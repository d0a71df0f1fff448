"""Draws a run's progress, beside the run."""

import shutil
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from becalm_engine.cli.output import Output
from becalm_engine.cli.status import current_line, status_document, status_line
from becalm_engine.commands.progress import Progress

Document = Callable[[Progress, float], dict[str, Any]]
"""Makes a status message of counters and of the seconds since the start."""


class Watcher:
    """Draws two lines on a terminal, JSON lines where JSON is wanted, and elsewhere nothing unless `always`.

    Whoever asks by `progress.asked` gets one line, wherever the output goes.
    """

    def __init__(
        self,
        output: Output,
        progress: Progress,
        *,
        updates_per_second: float,
        always: bool = False,
        document: Document = status_document,
    ) -> None:
        self._document = document
        self._output = output
        self._progress = progress
        self._terminal = output.out.isatty() and not output.json
        self._interval = 1 / updates_per_second if self.wanted(output) or always else None
        self._started = time.monotonic()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    @staticmethod
    def wanted(output: Output) -> bool:
        """Say whether somebody watches."""
        return not output.quiet and (output.json or output.out.isatty())

    def __enter__(self) -> Self:
        self._progress.asked.clear()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended = True
        self._progress.asked.set()
        self._thread.join()
        self._output.clear_status()

    def _run(self) -> None:
        while True:
            asked = self._progress.asked.wait(self._interval)
            self._progress.asked.clear()
            if self._ended:
                return
            self._draw(asked=asked)

    def _draw(self, *, asked: bool) -> None:
        progress, elapsed = self._progress, time.monotonic() - self._started
        if self._output.json:
            self._output.message(self._document(progress, elapsed))
        elif self._terminal and self._interval is not None:
            width = shutil.get_terminal_size().columns
            lines = (status_line(progress, elapsed), current_line(progress))
            self._output.show_status([line[: width - 1] for line in lines if line])
        elif asked:
            self._output.warn(status_line(progress, elapsed))
        else:
            self._output.say(status_line(progress, elapsed))
