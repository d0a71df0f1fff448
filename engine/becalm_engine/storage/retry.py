"""A decorator over any storage: repeats what may succeed later, within a total time."""

import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeVar

from becalm_engine.errors import RepositoryExistsError, StorageError
from becalm_engine.ids import Buffer
from becalm_engine.storage.base import FileKind, Storage, StoredFile

_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 60.0
_FIRST_LIMIT_SECONDS = 60.0

T = TypeVar("T")


class RetryingStorage:
    """Repeats calls whose error says that a retry may help, with growing, jittered delays.

    `limit_seconds` bounds one call and all its repetitions; nothing is repeated once `stop` is set. A save may be
    repeated because names are the hashes of what is saved; one with `only_if_absent` that finds its own bytes
    has stored them, unseen, at an earlier try. A store that has never answered is rather named wrongly than
    away: it gets a minute. `tell` hears of each failure that is not the last.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        limit_seconds: float = 900.0,
        tell: Callable[[str], None] = lambda _: None,
        stop: threading.Event | None = None,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._limit_seconds = limit_seconds
        self._first_limit_seconds = min(_FIRST_LIMIT_SECONDS, limit_seconds)
        self._answered = False
        self._tell = tell
        self._stop = stop or threading.Event()
        self._sleep = sleep or self._stop.wait
        self._clock = clock

    @property
    def location(self) -> str:
        return self._storage.location

    @property
    def connections(self) -> int:
        return self._storage.connections

    def create(self) -> None:
        self._repeated(self._storage.create)

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        if only_if_absent:
            self._save_new(kind, name, data)
        else:
            self._repeated(lambda: self._storage.save(kind, name, data))

    def _save_new(self, kind: FileKind, name: str, data: Buffer) -> None:
        def save() -> None:
            try:
                self._storage.save(kind, name, data, only_if_absent=True)
            except RepositoryExistsError:
                if self._storage.load(kind, name) != bytes(data):
                    raise

        self._repeated(save)

    def load(self, kind: FileKind, name: str) -> bytes:
        return self._repeated(lambda: self._storage.load(kind, name))

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        return self._repeated(lambda: self._storage.load_range(kind, name, offset=offset, length=length))

    def load_pieces(self, kind: FileKind, name: str, lengths: Sequence[int]) -> Generator[bytes, None, None]:
        done = 0
        try:
            for piece in self._storage.load_pieces(kind, name, lengths):
                self._answered = True
                yield piece
                done += 1
        except StorageError as error:
            if not error.retryable or self._stop.is_set():
                raise
            self._tell(f"{error}; trying again")
            self._pause(_FIRST_DELAY_SECONDS)
            yield from self._load_rest(kind, name, lengths, done)

    def _load_rest(
        self, kind: FileKind, name: str, lengths: Sequence[int], done: int
    ) -> Generator[bytes, None, None]:
        """Ask for each piece by itself, after what gave all of them has broken off."""
        offset = sum(lengths[:done])
        for length in lengths[done:]:
            yield self.load_range(kind, name, offset=offset, length=length)
            offset += length

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        # A listing is repeated as a whole: half of one must never be taken for all of it.
        return iter(self._repeated(lambda: list(self._storage.list(kind))))

    def delete(self, kind: FileKind, name: str) -> None:
        self._repeated(lambda: self._storage.delete(kind, name))

    def forked(self, stop: threading.Event) -> "RetryingStorage":
        # whoever hears of retries does so in the process that was forked; a copy has nobody to tell
        return RetryingStorage(self._storage.forked(stop), limit_seconds=self._limit_seconds, stop=stop)

    def close(self) -> None:
        self._storage.close()

    def _repeated(self, call: Callable[[], T]) -> T:
        started, delay = self._clock(), _FIRST_DELAY_SECONDS
        while True:
            try:
                result = call()
            except StorageError as error:
                self._answered = self._answered or not error.retryable
                limit = self._limit_seconds if self._answered else self._first_limit_seconds
                spent = self._clock() - started
                if not error.retryable or self._stop.is_set() or spent + delay > limit:
                    raise
                self._tell(f"{error}; trying again")
            else:
                self._answered = True
                return result
            self._pause(delay)
            delay = min(2 * delay, _LONGEST_DELAY_SECONDS)

    def _pause(self, seconds: float) -> None:
        self._sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311  no secret depends on it
