"""A repository in a folder, laid out and protected as restic does it.

config  keys/<id>  data/<xx>/<id>  index/<id>  snapshots/<id>  locks/<id>
"""

import contextlib
import errno
import io
import os
import secrets
import stat
import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from becalm_engine.errors import (
    ObjectMissingError,
    RepositoryExistsError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from becalm_engine.ids import Buffer, is_name
from becalm_engine.storage.base import FileKind, StoredFile, refuse_too_long
from becalm_engine.storage.limits import Limit, Limits

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_AWAY = (
    *(errno.ETIMEDOUT, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN),
    *(errno.ENETUNREACH, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EAGAIN),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
)
"""A network file system that does not answer, or a machine without room for one more open file: no word of the data."""


class LocalStorage:
    """Files below `folder`. New ones grant to the group and others what the config grants."""

    connections = 2

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self._folder = folder
        self._limits = limits or Limits(Limit(), Limit())
        self._shared_bits: int | None = None

    @property
    def location(self) -> str:
        return str(self._folder)

    def create(self) -> None:
        with _translated("create the folders"):
            for kind in FileKind:
                if kind is not FileKind.CONFIG:
                    (self._folder / kind.value).mkdir(mode=0o700, parents=True, exist_ok=True)
            for number in range(256):
                (self._folder / FileKind.PACK.value / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        path = self._path(kind, name)
        with _translated(f"save {path}"):
            temporary = path.with_name(f"{path.name}-tmp-{secrets.token_hex(8)}")
            try:
                self._write(temporary, data, breakable=kind is FileKind.PACK)
                _publish(temporary, path, only_if_absent=only_if_absent)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(path.parent)

    def _write(self, path: Path, data: Buffer, *, breakable: bool) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        bits = self._bits()
        try:
            handle = os.open(path, flags, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700 | bits | (bits & 0o044) >> 2, parents=True, exist_ok=True)
            handle = os.open(path, flags, 0o600)
        with open(handle, "wb", buffering=0) as file:  # noqa: PTH123  a descriptor, not a path
            for piece in self._limits.upload.pieces(data, breakable=breakable):
                view = piece
                while view:
                    view = view[file.write(view) :]
            os.fchmod(handle, 0o400 | bits & 0o044)
            os.fsync(handle)

    def _bits(self) -> int:
        """Return what the config grants to others: a repository that a group may read stays so."""
        if self._shared_bits is None:
            try:
                self._shared_bits = stat.S_IMODE((self._folder / "config").stat().st_mode) & 0o044
            except FileNotFoundError:
                return 0
        return self._shared_bits

    def load(self, kind: FileKind, name: str) -> bytes:
        path = self._path(kind, name)
        with _translated(f"read {path}"), _opened(path) as file:
            refuse_too_long(kind, str(path), os.fstat(file.fileno()).st_size)
            if not self._limits.download:
                return file.read()
            return self._limits.download.gathered(file.read, breakable=kind is FileKind.PACK)

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        path = self._path(kind, name)
        with _translated(f"read {path}"), _opened(path) as file:
            file.seek(offset)
            return self._part(path, file, length)

    def load_pieces(self, kind: FileKind, name: str, lengths: Sequence[int]) -> Generator[bytes, None, None]:
        path = self._path(kind, name)
        with _translated(f"read {path}"), _opened(path) as file:
            for length in lengths:
                yield self._part(path, file, length)

    def _part(self, path: Path, file: io.FileIO, length: int) -> bytes:
        """Return the next bytes of a file."""
        part = self._limits.download.up_to(length, file.read)
        if missing := length - len(part):
            raise StorageError(f"{path} ends before byte {file.tell() + missing}")
        return part

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        folder = self._folder / kind.value
        # copying tools drop empty folders: one that is not there has no files, as in S3
        with contextlib.suppress(ObjectMissingError), _translated(f"list {folder}"):
            if kind is not FileKind.PACK:
                yield from _listed(folder)
                return
            for place in sorted(folder.iterdir()):
                # one that is gone meanwhile has no files, and a pack in another's place is not found by its name
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    yield from (file for file in _listed(place) if file.name[:2] == place.name)

    def delete(self, kind: FileKind, name: str) -> None:
        path = self._path(kind, name)
        with _translated(f"delete {path}"):
            path.unlink(missing_ok=True)

    def forked(self, stop: threading.Event) -> "LocalStorage":
        return LocalStorage(self._folder, self._limits.forked(stop))

    def close(self) -> None:
        """Nothing is held open."""

    def _path(self, kind: FileKind, name: str) -> Path:
        folder = Path(self._folder, kind.value)
        if kind is FileKind.CONFIG:
            return folder
        return folder / name[:2] / name if kind is FileKind.PACK else folder / name


def _listed(folder: Path) -> Iterator[StoredFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_name(entry.name):
                with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                    found = entry.stat()
                    yield StoredFile(entry.name, found.st_size, found.st_mtime)


def _opened(path: Path) -> io.FileIO:
    """Open a regular file to be read; anything else might never end, or never begin."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return io.FileIO(handle)
    os.close(handle)
    raise StorageError(f"{path} is no regular file")


def _publish(temporary: Path, path: Path, *, only_if_absent: bool) -> None:
    """Give the finished file its name: by a link where nothing may be overwritten."""
    if not only_if_absent:
        temporary.rename(path)
        return
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise RepositoryExistsError(f"{path} already exists") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        if path.exists():  # a file system without hard links: the check is the best there is
            raise RepositoryExistsError(f"{path} already exists") from None
        temporary.rename(path)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn the operating system's errors into ours; the message says what was tried."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissingError(f"cannot {what}: it does not exist") from error
    except OSError as error:
        text = f"cannot {what}: {error.strerror}"
        if error.errno in _FULL:
            raise StorageFullError(text) from error
        if error.errno in _DENIED:
            raise StorageDeniedError(text) from error
        if error.errno in _AWAY:
            raise StorageUnavailableError(text) from error
        raise StorageError(text) from error
