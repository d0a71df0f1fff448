"""Nodes as a tar stream in the POSIX format: names of any bytes, nanoseconds, attributes and access lists.

Headers are the standard library's. Extended records are written here, because it would announce a character set
for bytes that are no UTF-8, of which GNU tar complains.
"""

import struct
import tarfile
from collections.abc import Iterable, Iterator
from functools import lru_cache

from becalm_engine.format.gotime import NANOS
from becalm_engine.format.tree import CHARDEV, DEV, DIR, FIFO, FILE, SYMLINK, Node

_TYPES = {
    FILE: tarfile.REGTYPE,
    DIR: tarfile.DIRTYPE,
    SYMLINK: tarfile.SYMTYPE,
    FIFO: tarfile.FIFOTYPE,
    CHARDEV: tarfile.CHRTYPE,
    DEV: tarfile.BLKTYPE,
}
TYPES = frozenset(_TYPES)
"""What a tar can hold: everything but sockets."""

_NAME_BYTES = 100
_OWNER_BYTES = 31
_LARGEST_ID = 0o7777777
_LARGEST_NUMBER = 0o77777777777
END = bytes(2 * tarfile.BLOCKSIZE)

_ACL = {"system.posix_acl_access": "SCHILY.acl.access", "system.posix_acl_default": "SCHILY.acl.default"}
_ACL_VERSION = struct.pack("<I", 2)
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_TAGS = {1: "user:", 2: "user:{}", 4: "group:", 8: "group:{}", 16: "mask:", 32: "other:"}


def header(name: bytes, node: Node, size: int) -> bytes:
    """Return the header of an entry, with the extended records that it needs before it."""
    if node.type == DIR:
        name += b"/"
    records = b"".join(_record(key, value) for key, value in _extensions(name, node, size))
    block = _block(name, node, size)
    return _extended(records) + block if records else block


def padding(size: int) -> bytes:
    """Return what fills a file's last block."""
    return bytes(-size % tarfile.BLOCKSIZE)


def _block(name: bytes, node: Node, size: int) -> bytes:
    info = tarfile.TarInfo(_text(name[:_NAME_BYTES]))
    info.type = _TYPES[node.type]
    info.mode = node.mode
    info.size = size
    info.uid, info.gid = _within(node.uid, _LARGEST_ID), _within(node.gid, _LARGEST_ID)
    info.uname, info.gname = (_text(owner.encode()[:_OWNER_BYTES]) for owner in (node.user, node.group))
    info.mtime = _within(node.mtime // NANOS, _LARGEST_NUMBER)
    info.linkname = _text(node.link_target[:_NAME_BYTES])
    info.devmajor, info.devminor = _device(node.device)
    if size > _LARGEST_NUMBER:
        info.size = 0
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")


def _device(device: int) -> tuple[int, int]:
    """Split a Linux device number, as glibc does; parts that no header can hold are 0."""
    major = device >> 8 & 0xFFF | device >> 32 & ~0xFFF
    minor = device & 0xFF | device >> 12 & 0xFFFFFF00
    return _within(major, _LARGEST_ID), _within(minor, _LARGEST_ID)


def _within(number: int, largest: int) -> int:
    return number if 0 <= number <= largest else 0


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _extensions(name: bytes, node: Node, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield what the header itself cannot hold."""
    for key, text, most in (
        (b"path", name, _NAME_BYTES),
        (b"linkpath", node.link_target, _NAME_BYTES),
        (b"uname", node.user.encode(), _OWNER_BYTES),
        (b"gname", node.group.encode(), _OWNER_BYTES),
    ):
        if len(text) > most or not text.isascii():
            yield key, text
    for key, number, largest in (
        (b"uid", node.uid, _LARGEST_ID),
        (b"gid", node.gid, _LARGEST_ID),
        (b"size", size, _LARGEST_NUMBER),
    ):
        if number > largest:
            yield key, b"%d" % number
    seconds, fraction = divmod(node.mtime, NANOS)
    if fraction or not 0 <= seconds <= _LARGEST_NUMBER:
        yield b"mtime", _seconds(node.mtime)
    yield from _attributes(node.xattrs)


def _seconds(nanos: int) -> bytes:
    """Return a time in decimal seconds; one before 1970 has its sign before all of it."""
    seconds, fraction = divmod(abs(nanos), NANOS)
    text = f"{'-' if nanos < 0 else ''}{seconds}.{fraction:09d}".rstrip("0").rstrip(".")
    return text.encode()


def _attributes(xattrs: Iterable[tuple[str, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in xattrs:
        text = _acl_text(value) if name in _ACL else None
        if text is not None:
            yield _ACL[name].encode(), text.encode()
        else:
            # a name may hold what ends a key; GNU tar writes and reads it so
            encoded = name.replace("%", "%25").replace("=", "%3D") if "=" in name else name
            yield b"SCHILY.xattr." + encoded.encode(), value


def _acl_text(value: bytes) -> str | None:
    """Return Linux' binary access list as text with numbers for owners, or None if it is something else."""
    if value[:4] != _ACL_VERSION or (len(value) - 4) % _ACL_ENTRY.size:
        return None
    lines = []
    for tag, permissions, owner in _ACL_ENTRY.iter_unpack(value[4:]):
        if tag not in _ACL_TAGS:
            return None
        letters = "".join(
            letter if permissions & bit else "-" for letter, bit in zip("rwx", (4, 2, 1), strict=True)
        )
        lines.append(f"{_ACL_TAGS[tag].format(owner)}:{letters}\n")
    return "".join(lines)


def _record(key: bytes, value: bytes) -> bytes:
    """Return an extended record; its length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d" % length + rest


def _extended(records: bytes) -> bytes:
    return _extended_block(len(records)) + records + padding(len(records))


@lru_cache(maxsize=256)
def _extended_block(size: int) -> bytes:
    """Return the block before extended records: it says how long they are, and nothing of the entry."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = tarfile.XHDTYPE
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)
