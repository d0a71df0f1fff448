"""A storage for dry runs: it reads what is there, and keeps nothing."""

import threading
from collections.abc import Generator, Iterator, Sequence

from becalm_engine.ids import Buffer
from becalm_engine.storage.base import FileKind, Storage, StoredFile


class DryStorage:
    """Passes on what reads, and lets what would change anything do nothing."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def location(self) -> str:
        return self._storage.location

    @property
    def connections(self) -> int:
        return self._storage.connections

    def create(self) -> None:
        pass

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        pass

    def load(self, kind: FileKind, name: str) -> bytes:
        return self._storage.load(kind, name)

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        return self._storage.load_range(kind, name, offset=offset, length=length)

    def load_pieces(self, kind: FileKind, name: str, lengths: Sequence[int]) -> Generator[bytes, None, None]:
        return self._storage.load_pieces(kind, name, lengths)

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        return self._storage.list(kind)

    def delete(self, kind: FileKind, name: str) -> None:
        pass

    def forked(self, stop: threading.Event) -> "DryStorage":
        return DryStorage(self._storage.forked(stop))

    def close(self) -> None:
        self._storage.close()
