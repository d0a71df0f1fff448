"""Rates of upload and download: a token bucket each, shared by all threads, asked for each piece of a body."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from becalm_engine.errors import StorageUnavailableError
from becalm_engine.ids import Buffer
from becalm_engine.storage.options import StorageOptions

_KIB = 1024
_PIECES_PER_SECOND = 8
_LONGEST_PIECE_BYTES = 64 * _KIB
_SHORTEST_PIECE_BYTES = _KIB


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """How much may pass: `rate` bytes more each second, of which `burst` are saved up at most. Pure.

    What is taken may exceed what is there. The debt is waited for by whoever takes, so that those who come
    first go first, and a piece longer than the burst passes too. `at` is when `level` was true.
    """

    rate: float
    burst: float
    level: float = 0.0
    at: float = 0.0

    def take(self, count: int, now: float) -> tuple[Self, float]:
        """Take bytes; return the bucket that is left, and how many seconds to wait before they pass."""
        grown = self.level + max(0.0, now - self.at) * self.rate
        left = replace(self, level=min(self.burst, grown) - count, at=max(now, self.at))
        return left, max(0.0, -left.level / self.rate)


class Limit:
    """One direction. Bodies pass piece by piece, so that they flow evenly and can be broken off.

    Once `stop` is set what is `breakable` (a pack, which the next run can make again) fails, and the rest,
    which is small and ends the work at a sound state, passes at once.
    """

    def __init__(
        self,
        kib_per_second: int = 0,
        *,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        rate = kib_per_second * _KIB
        self._piece_bytes = min(max(rate // _PIECES_PER_SECOND, _SHORTEST_PIECE_BYTES), _LONGEST_PIECE_BYTES)
        self._bucket = TokenBucket(rate, burst=self._piece_bytes, at=clock()) if rate else None
        self._stop = stop or threading.Event()
        self._clock = clock
        self._taking = threading.Lock()

    def __bool__(self) -> bool:
        return self._bucket is not None

    def take(self, count: int, *, breakable: bool = False) -> None:
        """Wait until so many bytes may pass.

        Raises:
            StorageUnavailableError: The run is to stop.
        """
        if self._bucket is None:
            return
        with self._taking:
            self._bucket, seconds = self._bucket.take(count, self._clock())
        if self._stop.wait(seconds) and breakable:
            raise StorageUnavailableError("broken off: the run is to stop")

    def pieces(self, data: Buffer, *, breakable: bool = False, longest: int = 0) -> Iterator[memoryview]:
        """Yield a body in pieces, each when it may pass; without a limit pieces have `longest` bytes or all."""
        view = memoryview(data)
        size = self._piece_bytes if self else longest or len(view) or 1
        for start in range(0, len(view), size):
            piece = view[start : start + size]
            self.take(len(piece), breakable=breakable)
            yield piece

    def gathered(self, read: Callable[[int], bytes], *, breakable: bool = False) -> bytes:
        """Return all that `read` gives, called with how many bytes it may return until it returns none."""
        parts = []
        while part := read(self._piece_bytes):
            self.take(len(part), breakable=breakable)
            parts.append(part)
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Limits:
    """Both directions of one storage."""

    upload: Limit
    download: Limit

    @classmethod
    def of(cls, options: StorageOptions, stop: threading.Event | None = None) -> Self:
        """Return the limits that options name."""
        return cls(Limit(options.upload_kib, stop=stop), Limit(options.download_kib, stop=stop))
