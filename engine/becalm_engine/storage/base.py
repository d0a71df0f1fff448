"""The port to wherever a repository lies, and what each of its methods promises."""

import enum
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from becalm_engine.errors import StorageError
from becalm_engine.ids import Buffer


class FileKind(enum.Enum):
    """The kinds of file in a repository; the value is the folder (for the config: the file)."""

    CONFIG = "config"
    KEY = "keys"
    PACK = "data"
    INDEX = "index"
    SNAPSHOT = "snapshots"
    LOCK = "locks"


_MIB = 1024 * 1024
_LONGEST_BYTES = {
    FileKind.CONFIG: _MIB,
    FileKind.KEY: _MIB,
    FileKind.LOCK: _MIB,
    FileKind.SNAPSHOT: 256 * _MIB,
    FileKind.INDEX: 1024 * _MIB,
    FileKind.PACK: 4096 * _MIB,
}
"""No honest file of a kind is longer; it would have to fit into memory."""

CONFIG_NAME = ""
"""There is one config, and it has no name of its own."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One entry of a listing. `written` is when, in seconds since 1970 by the clock of the place, if that tells."""

    name: str
    size_bytes: int
    written: float | None = field(default=None, compare=False)


def longest_of(kind: FileKind) -> int:
    """Return how many bytes a file of a kind may have."""
    return _LONGEST_BYTES[kind]


def refuse_too_long(kind: FileKind, shown: str, size_bytes: int) -> None:
    """Refuse to load what cannot be what it should be.

    Raises:
        StorageError: It is longer than any file of its kind.
    """
    if size_bytes > _LONGEST_BYTES[kind]:
        raise StorageError(f"{shown} has {size_bytes} bytes, far beyond any honest {kind.name.lower()} file")


class Storage(Protocol):
    """A flat store of immutable files. All methods may be called from several threads at once.

    Every method raises a `StorageError`: `ObjectMissingError` where something must be there and is not,
    `StorageUnavailableError` where a retry may help, and the others where it cannot.
    """

    @property
    def location(self) -> str:
        """Where it is, for people. Holds no secret."""
        ...

    @property
    def connections(self) -> int:
        """How many calls may usefully run at once."""
        ...

    def create(self) -> None:
        """Make the place for a new repository, if it is not there. Repeatable."""
        ...

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        """Store a file as a whole or not at all; when it returns, the file survives a crash.

        The name of all but the config is the SHA-256 of `data` in hex, and a place may refuse what is not so.
        `data` is the caller's again then. With `only_if_absent` an existing file is an error, as far as the
        place can tell.
        """
        ...

    def load(self, kind: FileKind, name: str) -> bytes:
        """Return a whole file."""
        ...

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        """Return exactly `length` (> 0) bytes from `offset`; a shorter file is a `StorageError`."""
        ...

    def load_pieces(self, kind: FileKind, name: str, lengths: Sequence[int]) -> Generator[bytes, None, None]:
        """Yield a file from its beginning in pieces of exactly these lengths (> 0); a shorter file is a `StorageError`.

        They come out of one request. Whoever does not want all of them closes it.
        """
        ...

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        """Yield the files of a kind in no order; what is not named by 64 hex digits is left out."""
        ...

    def delete(self, kind: FileKind, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        ...

    def forked(self, stop: threading.Event) -> "Storage":
        """Return what a forked copy of this process is to use; it gives up retrying once `stop` is set."""
        ...

    def close(self) -> None:
        """Give back connections. Nothing is lost without it."""
        ...
