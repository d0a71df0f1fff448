"""A storage that dies in the middle of a run, as a process that is killed takes its storage with it."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import TypeVar

from becalm_engine.ids import Buffer
from becalm_engine.storage.base import FileKind, StoredFile
from tests.engine.storage.memory import MemoryStorage

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone: nothing may catch this, and nothing reaches the store any more."""


class CrashingStorage:
    """Hands all calls to a storage in memory until the call with a number, before or after that takes effect."""

    location = "memory"
    connections = 2

    def __init__(self, storage: MemoryStorage, *, at: int, after: bool) -> None:
        self.dead = False
        self._storage = storage
        self._at = at
        self._after = after
        self._calls = 0
        self._calling = threading.Lock()

    def create(self) -> None:
        self._step(self._storage.create)

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        self._step(lambda: self._storage.save(kind, name, data, only_if_absent=only_if_absent))

    def load(self, kind: FileKind, name: str) -> bytes:
        return self._step(lambda: self._storage.load(kind, name))

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        return self._step(lambda: self._storage.load_range(kind, name, offset=offset, length=length))

    def load_pieces(self, kind: FileKind, name: str, lengths: Sequence[int]) -> Generator[bytes, None, None]:
        for piece in self._storage.load_pieces(kind, name, lengths):
            yield self._step(partial(bytes, piece))

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        return iter(self._step(lambda: list(self._storage.list(kind))))

    def delete(self, kind: FileKind, name: str) -> None:
        self._step(lambda: self._storage.delete(kind, name))

    def forked(self, stop: threading.Event) -> "CrashingStorage":
        raise NotImplementedError("processes do not share this memory")

    def close(self) -> None:
        """Nothing is held open."""

    def _step(self, call: Callable[[], T]) -> T:
        with self._calling:
            self._calls += 1
            dies = self._calls == self._at
            self.dead |= dies and not self._after
            if self.dead:
                raise Killed
            result = call()
            self.dead |= dies
            if self.dead:
                raise Killed
            return result
