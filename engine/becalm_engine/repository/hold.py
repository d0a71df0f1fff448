"""Whether a lock still protects its holder: in memory that forked copies of the holder's process see, too."""

import mmap
import os
import struct
import time
from dataclasses import dataclass
from typing import Self

_GIVE_UP_SECONDS = 22.5 * 60
_MOMENT = struct.Struct("dd")
_LOST_AT = _MOMENT.size


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment by both clocks: one stands still while the machine sleeps, the other may be set back."""

    monotonic: float
    time: float

    @classmethod
    def now(cls) -> Self:
        """Return this one."""
        return cls(time.monotonic(), time.time())

    def seconds_since(self, earlier: "Moment") -> float:
        """Return the seconds between two moments, by the clock that says more."""
        return max(self.monotonic - earlier.monotonic, self.time - earlier.time)


class Hold:
    """What a process has of a lock: when it was refreshed last, and whether it is lost, which it then stays.

    Each write is of one field, and only the process that holds the lock writes. Once that has ended, others take
    its lock for stale, so for a copy that outlives it the lock is lost, too.
    """

    def __init__(self) -> None:
        self._holder = os.getpid()
        self._memory = mmap.mmap(-1, _MOMENT.size + 1)
        self.refreshed(Moment.now())

    def refreshed(self, at: Moment) -> None:
        """Note when the lock that counts now was written."""
        _MOMENT.pack_into(self._memory, 0, at.monotonic, at.time)

    def lose(self) -> None:
        """Note that the lock protects no more."""
        self._memory[_LOST_AT] = 1

    @property
    def is_lost(self) -> bool:
        """Whether others may have broken the lock, or have it themselves."""
        if self._memory[_LOST_AT] or self._holder not in (os.getpid(), os.getppid()):
            return True
        refreshed = Moment(*_MOMENT.unpack_from(self._memory))
        return Moment.now().seconds_since(refreshed) > _GIVE_UP_SECONDS
