"""`becalm dump`: a file of a snapshot as it is, or a folder as an archive, written in one pass and never sought in."""

import io
import stat
import struct
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from becalm_engine.commands import tarball
from becalm_engine.commands.fetch import fetched, refuse_wrong_size
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.walk import Walk
from becalm_engine.errors import DamagedError
from becalm_engine.format.gotime import NANOS
from becalm_engine.format.names import quote
from becalm_engine.format.shown import shown
from becalm_engine.format.tree import DIR, FILE, SYMLINK, Node
from becalm_engine.ids import BlobID
from becalm_engine.repository.repository import Repository

_LARGE_BYTES = 1 << 31
_FIRST_DOS_YEAR, _LAST_DOS_YEAR = 1980, 2107
_UNIX_TIME = struct.Struct("<HHBl")
_UNIX_TIME_TAG = 0x5455
_TYPE_BITS = {FILE: stat.S_IFREG, DIR: stat.S_IFDIR, SYMLINK: stat.S_IFLNK}


@dataclass(frozen=True, slots=True)
class Member:
    """An entry of an archive: its path there, and its node."""

    name: bytes
    node: Node


class Archive(Protocol):
    """Takes members one after the other, each followed by its content. `holds` are the types that it can hold."""

    holds: frozenset[str]

    def begin(self, member: Member) -> None:
        """Begin a member; the one before is complete."""
        ...

    def write(self, content: bytes) -> None:
        """Add to the content of the member."""
        ...

    def close(self) -> None:
        """Complete the archive."""
        ...


def dump_file(repository: Repository, node: Node, out: BinaryIO, progress: Progress) -> None:
    """Write the content of one file.

    Raises:
        DamagedError: A blob is missing or damaged; what was written before it is right.
    """
    refuse_wrong_size(repository, node, shown(node.name))
    blobs: Iterable[BlobID] = node.content
    out.writelines(fetched(repository, blobs, progress))


def dump_folder(
    repository: Repository, tree: BlobID, above: bytes, archive: Archive, progress: Progress
) -> list[str]:
    """Write everything below a tree into an archive; return what it could not hold.

    `above` is the path of the tree, which all names in the archive begin with.

    Raises:
        DamagedError: A name could lead out of the place where the archive is unpacked, or content is damaged.
    """
    left_out: list[str] = []
    parts = _parts(repository, tree, above.strip(b"/"), left_out, archive.holds)
    for part in fetched(repository, parts, progress):
        if isinstance(part, Member):
            archive.begin(part)
        else:
            archive.write(part)
    archive.close()
    return left_out


def _parts(
    repository: Repository, tree: BlobID, above: bytes, left_out: list[str], holds: frozenset[str]
) -> Iterator[BlobID | Member]:
    walk = Walk(repository, tree)
    for node in walk:
        path = above + walk.path if above else walk.path[1:]
        if node.name in (b"", b".", b"..") or b"/" in node.name or b"\0" in node.name:
            raise DamagedError(
                f"{shown(path)}: the name is refused, it could lead out of the archive's folder"
            )
        if node.type not in holds:
            left_out.append(f"{shown(path)}: a file of type {node.type} does not fit into the archive")
            continue
        if node.type == FILE:
            refuse_wrong_size(repository, node, shown(path))
        yield Member(path, node)
        yield from node.content


class Tar:
    """A tar stream."""

    holds = tarball.TYPES

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._padding = b""

    def begin(self, member: Member) -> None:
        """Write a header."""
        size = member.node.size if member.node.type == FILE else 0
        self._out.write(self._padding + tarball.header(member.name, member.node, size))
        self._padding = tarball.padding(size)

    def write(self, content: bytes) -> None:
        """Write content as it is."""
        self._out.write(content)

    def close(self) -> None:
        """Write the end of the archive."""
        self._out.write(self._padding + tarball.END)


class Zip:
    """A zip stream: files compressed, names that are no UTF-8 quoted."""

    holds = frozenset(_TYPE_BITS)

    def __init__(self, out: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(_Forward(out), "w", zipfile.ZIP_DEFLATED)
        self._open: io.BufferedIOBase | None = None

    def begin(self, member: Member) -> None:
        """Begin a member; a link's target is its content."""
        self._end()
        info = _zip_info(member)
        node = member.node
        if node.type == FILE:
            self._open = self._zip.open(info, "w", force_zip64=node.size >= _LARGE_BYTES)  # type: ignore[assignment]
        else:
            self._zip.writestr(info, node.link_target if node.type == SYMLINK else b"")

    def write(self, content: bytes) -> None:
        """Write content, compressed."""
        assert self._open is not None
        self._open.write(content)

    def close(self) -> None:
        """Write the directory at the end."""
        self._end()
        self._zip.close()

    def _end(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class _Forward(io.RawIOBase):
    """Hides that a place could be sought in: standard output may be a file that already holds something."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return self._out.write(content)

    def flush(self) -> None:
        self._out.flush()


def _zip_info(member: Member) -> zipfile.ZipInfo:
    node = member.node
    seconds = node.mtime // NANOS
    info = zipfile.ZipInfo(_zip_name(member), _dos_time(seconds))
    info.create_system = 3  # Unix: the upper half of the attributes is a file mode
    info.external_attr = (_TYPE_BITS[node.type] | node.mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED if node.type == FILE else zipfile.ZIP_STORED
    info.file_size = node.size if node.type == FILE else 0
    if -(1 << 31) <= seconds < 1 << 31:
        info.extra = _UNIX_TIME.pack(_UNIX_TIME_TAG, 5, 1, seconds)
    return info


def _zip_name(member: Member) -> str:
    try:
        name = member.name.decode()
    except UnicodeDecodeError:
        name = quote(member.name)
    return name + ("/" if member.node.type == DIR else "")


def _dos_time(seconds: int) -> tuple[int, int, int, int, int, int]:
    """Return a time as zip holds it, in UTC; it knows no year before 1980."""
    found = time.gmtime(seconds)
    if found.tm_year < _FIRST_DOS_YEAR:
        return _FIRST_DOS_YEAR, 1, 1, 0, 0, 0
    if found.tm_year > _LAST_DOS_YEAR:
        return _LAST_DOS_YEAR, 12, 31, 23, 59, 58
    return found[0], found[1], found[2], found[3], found[4], found[5]
