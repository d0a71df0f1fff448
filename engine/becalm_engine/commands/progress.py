"""What a running command tells about itself: counters that somebody else reads and draws."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from becalm_engine.errors import StoppedError
from becalm_engine.signals import SignalEvent

_TELL_SECONDS = 0.25


@dataclass(slots=True)
class Progress:
    """Counters of one run. Totals are 0 while they are not known. `asked` is set by who wants to know how far it is."""

    files_done: int = 0
    bytes_done: int = 0
    files_total: int = 0
    bytes_total: int = 0
    errors: int = 0
    current: str = ""
    stop: threading.Event = field(default_factory=SignalEvent)
    asked: threading.Event = field(default_factory=SignalEvent)

    def check(self) -> None:
        """End the work if somebody asked for it.

        Raises:
            StoppedError: A signal came.
        """
        if self.stop.is_set():
            raise StoppedError("interrupted; what was uploaded is kept for the next run")

    def restart(self) -> None:
        """Count from the beginning, for another pass over the same."""
        self.files_done = self.bytes_done = self.files_total = self.bytes_total = self.errors = 0

    def take(self, news: "News") -> None:
        """Count what another process has done."""
        files, size, current = news
        self.files_done += files
        self.bytes_done += size
        self.current = current or self.current


News = tuple[int, int, str]
"""Files and bytes done since the last time, and what is being worked on."""


@dataclass(slots=True)
class ToldProgress(Progress):
    """Counters of a process that works for another one, which is told of them now and then."""

    tell: Callable[[News], None] = lambda _: None
    _told_at: float = 0.0
    _told: tuple[int, int] = (0, 0)

    def check(self) -> None:
        """End the work if somebody asked for it; tell how far it is."""
        Progress.check(self)
        now = time.monotonic()
        if now - self._told_at > _TELL_SECONDS:
            self._told_at = now
            self.tell_all()

    def tell_all(self) -> None:
        """Tell what has not been told."""
        files, size = self._told
        self._told = self.files_done, self.bytes_done
        self.tell((self.files_done - files, self.bytes_done - size, self.current))
