"""Rates of upload and download: a token bucket each, asked for each piece of a body.

All threads share it, and all processes that are forked from the one that made it.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import sys
import threading
import time
import weakref
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


class _SharedBucket:
    """A bucket whose level lies in memory that forked processes share, guarded against their threads and ours."""

    _STATE = struct.Struct("dd")

    def __init__(self, bucket: TokenBucket, memory: "_Memory | None" = None) -> None:
        self._bucket = bucket
        self._memory = memory or _Memory(self._STATE.pack(bucket.level, bucket.at))
        self._threads = threading.Lock()

    def take(self, count: int, now: float) -> float:
        """Take bytes; return how many seconds to wait before they pass."""
        with self._threads, self._memory.locked():
            level, at = self._STATE.unpack(self._memory.content[:])
            left, seconds = replace(self._bucket, level=level, at=at).take(count, now)
            self._memory.content[:] = self._STATE.pack(left.level, left.at)
        return seconds

    def forked(self) -> Self:
        """Return the same bucket for a forked process: a thread that is not in it may have held the lock."""
        return type(self)(self._bucket, self._memory)


class _Memory:
    """Bytes that forked processes share, and a lock on them that the system takes from whoever dies."""

    def __init__(self, content: bytes) -> None:
        self._file = os.memfd_create("limit")
        weakref.finalize(self, os.close, self._file)
        os.write(self._file, content)
        self.content = mmap.mmap(self._file, len(content))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out; threads of the same one come in."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


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
        shared: _SharedBucket | None = None,
    ) -> None:
        rate = kib_per_second * _KIB
        self._piece_bytes = _piece_bytes(rate)
        bucket = TokenBucket(rate, burst=self._piece_bytes, at=clock())
        self._bucket = shared or (_SharedBucket(bucket) if rate else None)
        self._kib_per_second = kib_per_second
        self._stop = stop or threading.Event()
        self._clock = clock

    def __bool__(self) -> bool:
        return self._bucket is not None

    def take(self, count: int, *, breakable: bool = False) -> None:
        """Wait until so many bytes may pass.

        Raises:
            StorageUnavailableError: The run is to stop.
        """
        if self._bucket is None:
            return
        seconds = self._bucket.take(count, self._clock())
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

    def gathered(
        self, read: Callable[[int], bytes], *, longest: int = sys.maxsize, breakable: bool = False
    ) -> bytes:
        """Return all that `read` gives, called with how many bytes it may return until it returns none.

        Once that is more than `longest` bytes, nothing more is read.
        """
        parts, size_bytes = [], 0
        while size_bytes <= longest and (part := read(self._piece_bytes)):
            self.take(len(part), breakable=breakable)
            size_bytes += len(part)
            parts.append(part)
        return b"".join(parts)

    def up_to(self, length: int, read: Callable[[int], bytes]) -> bytes:
        """Return so many bytes of what `read` gives, called with how many it may return; fewer if it returns none.

        Raises:
            StorageUnavailableError: The run is to stop.
        """
        parts, left = [], length
        while left and (part := read(min(left, self._piece_bytes if self else left))):
            self.take(len(part), breakable=True)
            left -= len(part)
            parts.append(part)
        return b"".join(parts)

    def forked(self, stop: threading.Event) -> Self:
        """Return the same limit for a forked copy of this process, which ends with another signal."""
        shared = self._bucket.forked() if self._bucket else None
        return type(self)(self._kib_per_second, stop=stop, clock=self._clock, shared=shared)


def _piece_bytes(rate: int) -> int:
    if not rate:
        return _LONGEST_PIECE_BYTES
    return min(max(rate // _PIECES_PER_SECOND, _SHORTEST_PIECE_BYTES), _LONGEST_PIECE_BYTES)


@dataclass(frozen=True, slots=True)
class Limits:
    """Both directions of one storage."""

    upload: Limit
    download: Limit

    def forked(self, stop: threading.Event) -> Self:
        """Return the same limits for a forked copy of this process."""
        return replace(self, upload=self.upload.forked(stop), download=self.download.forked(stop))

    @classmethod
    def of(cls, options: StorageOptions, stop: threading.Event | None = None) -> Self:
        """Return the limits that options name."""
        return cls(Limit(options.upload_kib, stop=stop), Limit(options.download_kib, stop=stop))
