"""The fake that keeps the contract of a storage: a repository in a dictionary."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence

from becalm_engine.errors import ObjectMissingError, RepositoryExistsError, StorageError
from becalm_engine.ids import Buffer, is_name
from becalm_engine.storage.base import FileKind, StoredFile, refuse_too_long


class MemoryStorage:
    """Keeps files in memory. Tests may look at `files` and change them, and let `clock` tell when files are written."""

    location = "memory"
    connections = 2

    def __init__(self) -> None:
        self.files: dict[tuple[FileKind, str], bytes] = {}
        self.clock: Callable[[], float | None] = lambda: None
        self._written: dict[tuple[FileKind, str], float | None] = {}
        self._changing = threading.Lock()

    def create(self) -> None:
        """There is always room."""

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        with self._changing:
            if only_if_absent and (kind, name) in self.files:
                raise RepositoryExistsError(f"{kind.value} already exists in {self.location}")
            self.files[kind, name] = bytes(data)
            self._written[kind, name] = self.clock()

    def load(self, kind: FileKind, name: str) -> bytes:
        try:
            data = self.files[kind, name]
        except KeyError:
            raise ObjectMissingError(f"{kind.value}/{name} does not exist") from None
        refuse_too_long(kind, f"{kind.value}/{name}", len(data))
        return data

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        part = self.load(kind, name)[offset : offset + length]
        if len(part) != length:
            raise StorageError(f"{kind.value}/{name} ends before byte {offset + length}")
        return part

    def load_pieces(self, kind: FileKind, name: str, lengths: Sequence[int]) -> Generator[bytes, None, None]:
        offset = 0
        for length in lengths:
            yield self.load_range(kind, name, offset=offset, length=length)
            offset += length

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        with self._changing:
            found = [
                StoredFile(name, len(data), self._written.get((kind, name)))
                for (k, name), data in self.files.items()
                if k is kind
            ]
        return (stored for stored in found if is_name(stored.name))

    def delete(self, kind: FileKind, name: str) -> None:
        with self._changing:
            self.files.pop((kind, name), None)

    def forked(self, stop: threading.Event) -> "MemoryStorage":
        raise NotImplementedError("processes do not share this memory")

    def close(self) -> None:
        """Nothing is held open."""
