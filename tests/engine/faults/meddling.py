"""A storage that misbehaves at one of its calls, or from one on: as stores, networks and disks do."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from becalm_engine.errors import StorageError
from becalm_engine.ids import Buffer
from becalm_engine.storage.base import FileKind, Storage, StoredFile

READS, LISTINGS, WRITES, DELETIONS = (
    frozenset({"load", "load_range", "load_pieces"}), frozenset({"list"}), frozenset({"save"}), frozenset({"delete"}),
)  # fmt: skip
EVERYTHING = READS | LISTINGS | WRITES | DELETIONS


@dataclass(slots=True)
class Fault:
    """What goes wrong with the call number `at` among those `on`; with `lasting`, with all after it too."""

    at: int
    spoil: Callable[[Callable[[], Any]], Any]
    on: frozenset[str] = EVERYTHING
    lasting: bool = False
    happened: bool = False
    calls: int = 0
    counting: threading.Lock = field(default_factory=threading.Lock)

    def is_due(self, method: str, kind: FileKind) -> bool:
        """Count a call and say whether it is spoilt. Locks are not what these tests are about."""
        if method not in self.on or kind is FileKind.LOCK:
            return False
        with self.counting:
            self.calls += 1
            due = self.calls == self.at or (self.lasting and self.calls > self.at)
            self.happened |= due
            return due


class MeddledStorage:
    """Hands all calls to another storage, but for those that the fault spoils."""

    connections = 2

    def __init__(self, storage: Storage, fault: Fault) -> None:
        self.location = storage.location
        self._storage = storage
        self._fault = fault

    def create(self) -> None:
        self._storage.create()

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        self._done("save", kind, lambda: self._storage.save(kind, name, data, only_if_absent=only_if_absent))

    def load(self, kind: FileKind, name: str) -> bytes:
        found: bytes = self._done("load", kind, lambda: self._storage.load(kind, name))
        return found

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        found: bytes = self._done(
            "load_range", kind, lambda: self._storage.load_range(kind, name, offset=offset, length=length)
        )
        return found

    def load_pieces(self, kind: FileKind, name: str, lengths: Sequence[int]) -> Generator[bytes, None, None]:
        for piece in self._storage.load_pieces(kind, name, lengths):
            yield self._done("load_pieces", kind, partial(bytes, piece))

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        return iter(self._done("list", kind, lambda: sorted(self._storage.list(kind), key=lambda f: f.name)))

    def delete(self, kind: FileKind, name: str) -> None:
        self._done("delete", kind, lambda: self._storage.delete(kind, name))

    def forked(self, stop: threading.Event) -> "MeddledStorage":
        return MeddledStorage(self._storage.forked(stop), self._fault)

    def close(self) -> None:
        self._storage.close()

    def _done(self, method: str, kind: FileKind, call: Callable[[], Any]) -> Any:
        return self._fault.spoil(call) if self._fault.is_due(method, kind) else call()


# --- what may go wrong


def fails(error: StorageError, *, after: bool = False) -> Callable[[Callable[[], Any]], Any]:
    """Raise an error instead of doing what was asked, or after doing it."""

    def spoil(call: Callable[[], Any]) -> Any:
        if after:
            call()
        raise error

    return spoil


def loses(_: Callable[[], Any]) -> None:
    """Say that it is done, and do nothing."""


def cuts_short(call: Callable[[], Any]) -> Any:
    """Return half of what is there: of bytes or of a listing."""
    found = call()
    return found[: len(found) // 2]


def leaves_out_the_first(call: Callable[[], Any]) -> Any:
    """Return a listing or bytes without their first."""
    return call()[1:]


def returns_nothing(call: Callable[[], Any]) -> Any:
    """Return an empty listing, or no bytes."""
    return call()[:0]


def flips(call: Callable[[], bytes]) -> bytes:
    """Return bytes of which one bit in the middle is another."""
    found = bytearray(call())
    found[len(found) // 2] ^= 4
    return bytes(found)
