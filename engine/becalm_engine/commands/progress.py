"""What a running command tells about itself: counters that somebody else reads and draws."""

import threading
from dataclasses import dataclass, field

from becalm_engine.errors import StoppedError


@dataclass(slots=True)
class Progress:
    """Counters of one run. Totals are 0 while they are not known."""

    files_done: int = 0
    bytes_done: int = 0
    files_total: int = 0
    bytes_total: int = 0
    errors: int = 0
    current: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """End the work if somebody asked for it.

        Raises:
            StoppedError: A signal came.
        """
        if self.stop.is_set():
            raise StoppedError("interrupted; what was uploaded is kept for the next run")
