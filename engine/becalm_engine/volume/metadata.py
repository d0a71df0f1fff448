"""What the file system says about a file, as a node; and a node's metadata back onto a file."""

import contextlib
import errno
import grp
import os
import pwd
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial

from becalm_engine.format.tree import (
    CHARDEV,
    DEV,
    DIR,
    FIFO,
    FILE,
    SOCKET,
    SYMLINK,
    Node,
    encode_head,
    encode_owner,
)
from becalm_engine.policy.selection import Selection

_TYPES = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: DIR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFBLK: DEV,
    stat.S_IFCHR: CHARDEV,
    stat.S_IFIFO: FIFO,
    stat.S_IFSOCK: SOCKET,
}
_LINKABLE = frozenset((FILE, SYMLINK, DEV, CHARDEV))
_NAMES = frozenset(("user name", "group name"))
_NO_XATTRS = (errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.ENODATA)


def node_of(name: bytes, found: os.stat_result, path: bytes, *, with_atime: bool = False) -> Node:
    """Return the node of a file, without content or subtree.

    Raises:
        OSError: Its link target or attributes cannot be read.
    """
    kind = _TYPES[stat.S_IFMT(found.st_mode)]
    node = Node(
        name,
        kind,
        stat.S_IMODE(found.st_mode),
        found.st_mtime_ns,
        found.st_atime_ns if with_atime else found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_uid,
        found.st_gid,
        _user_name(found.st_uid),
        _group_name(found.st_gid),
        found.st_ino,
        found.st_dev,
    )
    if kind == FILE:
        node.size = found.st_size
    elif kind == SYMLINK:
        node.link_target = os.readlink(path)
    elif kind in (DEV, CHARDEV):
        node.device = found.st_rdev
    if kind in _LINKABLE:
        node.links = found.st_nlink
    node.xattrs = read_xattrs(path)
    return node


def file_head(name: str, found: os.stat_result, size: int, *, with_atime: bool = False) -> str:
    """Return the beginning of the JSON of a regular file's node; `name` is a JSON string already."""
    modified = found.st_mtime_ns
    return encode_head(
        FILE,
        name,
        stat.S_IMODE(found.st_mode),
        (modified, found.st_atime_ns if with_atime else modified, found.st_ctime_ns),
        _owner_fields(found.st_uid, found.st_gid),
        (found.st_ino, found.st_dev, size, found.st_nlink),
    )


def read_xattrs(path: bytes | int) -> tuple[tuple[str, bytes], ...]:
    """Return the extended attributes of an open file, or of a path, which is not followed; often there are none.

    They come in the file system's own order, as restic takes them.
    """
    follow = isinstance(path, int)
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return ()
        raise
    if not names:
        return ()
    return tuple((name, os.getxattr(path, name, follow_symlinks=follow)) for name in names)


@lru_cache(maxsize=4096)
def _owner_fields(uid: int, gid: int) -> str:
    return encode_owner(uid, gid, _user_name(uid), _group_name(gid))


@lru_cache(maxsize=4096)
def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


@lru_cache(maxsize=4096)
def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""


@dataclass(slots=True)
class Problems:
    """Counts what could not be set, by kind: one line for a million files, with the first as an example.

    An example is a path, and why not.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, kind: str, path: str, error: OSError) -> None:
        """Note what the system refused."""
        self.note(kind, path, error.strerror or str(error))

    def merge(self, other: "Problems") -> None:
        """Take in what somebody else has noted."""
        self.counts += other.counts
        self.examples = {**other.examples, **self.examples}

    def note(self, kind: str, path: str, reason: str) -> None:
        """Note one problem."""
        self.counts[kind] += 1
        if kind not in self.examples:
            self.examples[kind] = path, reason

    def failures(self, *, privileged: bool) -> list[str]:
        """Return the kinds by which a restore has failed, as in restic.

        Only a privileged user may give files away, and a name that is not known here leaves the number.
        """
        excused = _NAMES if privileged else _NAMES | {"owner"}
        return [kind for kind in self.counts if kind not in excused]


@dataclass(frozen=True, slots=True)
class Restored:
    """Which metadata is restored. `attributes` selects extended attributes: `/user.x` is what it is asked about.

    `owner_by_name`: the ids that a node's user and group have here, not those they had where it was backed up.
    """

    attributes: Selection = field(default_factory=Selection)
    owner_by_name: bool = False


EVERYTHING = Restored()


def set_metadata(
    handle: int, node: Node, path: str, problems: Problems, restored: Restored = EVERYTHING
) -> None:
    """Give an open file or directory its owner, attributes, times and mode, in that order.

    The owner comes first because changing it clears set-id bits. The mode comes last, and moves no times: until it
    has that, a file is known as unfinished.
    """
    try:
        os.fchown(handle, *_owner_here(node, path, problems, restored))
    except OSError as error:
        problems.add("owner", path, error)
    _set_xattrs(handle, node, path, problems, restored)
    try:
        os.utime(handle, ns=(node.atime, node.mtime))
    except OSError as error:
        problems.add("times", path, error)
    try:
        os.fchmod(handle, node.mode)
    except OSError as error:
        problems.add("mode", path, error)


def set_metadata_at(
    folder: int, name: bytes, node: Node, path: str, problems: Problems, restored: Restored = EVERYTHING
) -> None:
    """Give a link or a special file its metadata without opening or following it."""
    with _noted("owner", path, problems):
        os.chown(name, *_owner_here(node, path, problems, restored), dir_fd=folder, follow_symlinks=False)
    # Only the path below /proc reaches a link's attributes relative to a descriptor.
    _set_xattrs(os.fsencode(f"/proc/self/fd/{folder}/") + name, node, path, problems, restored)
    if node.type != SYMLINK:
        with _noted("mode", path, problems):
            _set_mode_at(folder, name, node)
    with _noted("times", path, problems):
        os.utime(name, ns=(node.atime, node.mtime), dir_fd=folder, follow_symlinks=False)


def _set_mode_at(folder: int, name: bytes, node: Node) -> None:
    """Set the mode of a special file, and of nothing that somebody has put in its place.

    There is no chmod that follows no link: Linux takes one only through a descriptor that holds on to the file.
    """
    seen = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if _TYPES.get(stat.S_IFMT(os.fstat(seen).st_mode)) != node.type:
            raise OSError(errno.ESTALE, "something else has taken its place")
        os.chmod(f"/proc/self/fd/{seen}", node.mode)
    finally:
        os.close(seen)


def _owner_here(node: Node, path: str, problems: Problems, restored: Restored) -> tuple[int, int]:
    """Return the user and group that a file gets. A name that is not known here leaves the number as it was."""
    if not restored.owner_by_name:
        return node.uid, node.gid
    uid, gid = _uid_of(node.user), _gid_of(node.group)
    for kind, name, number in (("user", node.user, uid), ("group", node.group, gid)):
        if number is None:
            problems.note(f"{kind} name", path, f"{name!r} is not known here")
    return node.uid if uid is None else uid, node.gid if gid is None else gid


@lru_cache(maxsize=4096)
def _uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _gid_of(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None


def _set_xattrs(where: int | bytes, node: Node, path: str, problems: Problems, restored: Restored) -> None:
    """Set a node's attributes, each by itself, and remove those it does not have; others are let alone."""
    follow = {} if isinstance(where, int) else {"follow_symlinks": False}
    wants = restored.attributes.wants
    try:
        present = os.listxattr(where, **follow)
    except OSError:
        present = []  # a place without attributes; setting one says so
    if not present and not node.xattrs:
        return
    wanted = {name: value for name, value in node.xattrs if wants(f"/{name}")}
    for name in filter(lambda name: wants(f"/{name}"), set(present) - set(wanted)):
        with contextlib.suppress(OSError):  # a label that the system itself keeps there
            _change(where, partial(os.removexattr, where, name, **follow))
    for name, value in wanted.items():
        with _noted("extended attributes", path, problems):
            _change(where, partial(os.setxattr, where, name, value, **follow))


def _change(where: int | bytes, change: Callable[[], None]) -> None:
    """Change an attribute; if an open file is read-only, which keeps its own owner from that, make it writable."""
    try:
        change()
    except PermissionError as error:
        if error.errno != errno.EACCES or not isinstance(where, int):
            raise
        os.fchmod(where, stat.S_IRWXU)  # its own mode comes later
        change()


@contextlib.contextmanager
def _noted(kind: str, path: str, problems: Problems) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        problems.add(kind, path, error)
    except (ValueError, OverflowError) as error:  # a NUL in a name, a number that the system cannot take
        problems.add(kind, path, OSError(errno.EINVAL, str(error)))
