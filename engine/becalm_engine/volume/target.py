"""Where a restore writes: every step relative to an open directory, no link followed, ever.

A repository may be hostile. A name that is not one plain component is refused, and whatever stands in the way
of a directory (a link that leads elsewhere, above all) is removed, not entered.
"""

import contextlib
import errno
import os
import stat
import threading
from collections import deque
from collections.abc import Iterable, Iterator

from becalm_engine.errors import TargetError
from becalm_engine.format.tree import CHARDEV, DEV, FIFO, SYMLINK, Node
from becalm_engine.policy.overwrite import UNFINISHED, UNFINISHED_FOLDER

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_OPEN = 16
"""How many folders a thread keeps open. Files lie beside each other, or a few levels apart."""
_PERMISSION_BITS = 0o777
_CANNOT_ALLOCATE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_OLD_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def refuse_name(name: bytes) -> None:
    """Refuse a name that is not one plain component.

    Raises:
        TargetError: It could lead out of its directory.
    """
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise TargetError(f"the name {name!r} is refused: it could lead out of the target")


def open_target(path: str) -> int:
    """Open the folder that a restore writes into, making it if needed; the caller closes it.

    Raises:
        TargetError: It cannot be made or opened.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TargetError(f"cannot restore into {path}: {error.strerror}") from error


class Target:
    """An open folder, and the way to every folder below it: component by component, through no link.

    Each thread keeps the folder that it used last open, and some of those above, since files come folder by folder;
    `close` gives those back.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._ways: dict[int, _Way] = {}

    @contextlib.contextmanager
    def folder(self, path: tuple[bytes, ...], *, make: bool = False) -> Iterator[int]:
        """Open a folder for the block; with `make`, what is missing on the way is made."""
        thread = threading.get_ident()
        way = self._ways.get(thread)
        if way is None:
            way = self._ways[thread] = _Way(self._root)
        handle = os.dup(way.to(path, make=make))
        try:
            yield handle
        finally:
            os.close(handle)

    def has_room(self, size_bytes: int) -> bool:
        """Say whether the file system has so many bytes free, as far as it tells."""
        found = os.fstatvfs(self._root)
        return found.f_bavail * found.f_frsize >= size_bytes

    def forked(self) -> "Target":
        """Return what a forked copy of this process is to use."""
        return Target(self._root)

    def close(self) -> None:
        """Close what is kept open; not the root."""
        while self._ways:
            self._ways.popitem()[1].close()


class _Way:
    """The folders that one thread has open: the one that it used last, and the next ones above it."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._path: tuple[bytes, ...] = ()
        self._handles: deque[int] = deque()
        """The last one is of the whole path."""

    def to(self, path: tuple[bytes, ...], *, make: bool) -> int:
        """Open a folder, from the nearest one that is open and above it. It stays open until another is wanted."""
        for _ in range(len(self._path) - _shared(self._path, path)):
            if self._handles:
                os.close(self._handles.pop())
        at = _shared(self._path, path) if self._handles else 0
        if not self._handles:
            self._handles.append(os.dup(self._root))
        try:
            for name in path[at:]:
                above = self._handles[-1]
                self._handles.append(_enter(above, name) if make else open_directory(above, name))
                at += 1
                if len(self._handles) > _MOST_OPEN:
                    os.close(self._handles.popleft())
        finally:
            self._path = path[:at]
        return self._handles[-1]

    def close(self) -> None:
        """Close all of them."""
        while self._handles:
            os.close(self._handles.pop())
        self._path = ()


def _shared(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> int:
    """Return how many components two paths have in common."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)


def _enter(folder: int, name: bytes) -> int:
    """Open a directory below `folder`, making it or replacing what is not a directory."""
    try:
        return open_directory(folder, name)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(name, dir_fd=folder)
    os.mkdir(name, mode=UNFINISHED_FOLDER, dir_fd=folder)
    return open_directory(folder, name)


def open_directory(folder: int, name: bytes) -> int:
    """Open a directory that is there already."""
    return os.open(name, _DIRECTORY, dir_fd=folder)


def open_for_writing(folder: int, name: bytes) -> int:
    """Open a file that this restore has made, or is to change. If it is read-only, its owner makes it writable.

    Raises:
        TargetError: It is something else by now, or has other names: writing into it might change other files.
    """
    try:
        handle = os.open(name, os.O_WRONLY | _OLD_FILE, dir_fd=folder)
    except PermissionError:
        _allow_writing(folder, name)
        handle = os.open(name, os.O_WRONLY | _OLD_FILE, dir_fd=folder)
    return _expected(handle, names=1)


def open_for_metadata(folder: int, name: bytes, *, names: int = 1) -> int:
    """Open a file that has the content that is wanted; it may have so many names.

    Raises:
        TargetError: It is something else by now.
    """
    return _expected(_open_to_read(folder, name), names)


def _expected(handle: int, names: int) -> int:
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= names:
        return handle
    os.close(handle)
    raise TargetError("the file was replaced while it was being restored")


def open_for_reading(folder: int, name: bytes) -> int:
    """Open a regular file to look at it.

    Raises:
        TargetError: It is something else.
    """
    handle = _open_to_read(folder, name)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise TargetError("it is no regular file")
    return handle


def _open_to_read(folder: int, name: bytes) -> int:
    """Open what is there. A file that its mode keeps from its owner has another one for that moment."""
    try:
        return os.open(name, os.O_RDONLY | _OLD_FILE, dir_fd=folder)
    except PermissionError:
        with _found(folder, name) as (seen, found):
            mode = stat.S_IMODE(found.st_mode)
            _set_mode(seen, found, mode | stat.S_IRUSR)
            try:
                return os.open(name, os.O_RDONLY | _OLD_FILE, dir_fd=folder)
            finally:
                _set_mode(seen, found, mode)


def _allow_writing(folder: int, name: bytes) -> None:
    """Let its owner write a file that has no other names, until it gets its own mode."""
    with _found(folder, name) as (seen, found):
        if found.st_nlink == 1:
            _set_mode(seen, found, found.st_mode & _PERMISSION_BITS | stat.S_IWUSR)


@contextlib.contextmanager
def _found(folder: int, name: bytes) -> Iterator[tuple[int, os.stat_result]]:
    """Look at what is there, whatever its mode: a descriptor that holds on to it, and what it is."""
    with closing(os.open(name, os.O_PATH | _OLD_FILE, dir_fd=folder)) as seen:
        yield seen, os.fstat(seen)


def _set_mode(seen: int, found: os.stat_result, mode: int) -> None:
    """Set the mode of a file of our own. Of anything else it stays, and opening that says why it cannot be."""
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        with contextlib.suppress(OSError):
            os.chmod(f"/proc/self/fd/{seen}", mode)  # such a descriptor has no fchmod


def create_file(folder: int, name: bytes, mode: int = UNFINISHED, *, replaces: bool = True) -> int:
    """Create a file, and return its descriptor. What has its name is replaced only if it `replaces` something.

    Raises:
        FileExistsError: Something has its name that is not to be replaced.
        TargetError: A directory that is not empty has its name.
    """
    try:
        return os.open(name, _NEW_FILE, mode, dir_fd=folder)
    except FileExistsError:
        if not replaces:
            raise
        make_way(folder, name)
        return os.open(name, _NEW_FILE, mode, dir_fd=folder)


def mark_unfinished(handle: int) -> None:
    """Have an open file known as unfinished until it gets its own mode; somebody else's file cannot be."""
    with contextlib.suppress(OSError):
        os.fchmod(handle, UNFINISHED)


def create_special(folder: int, name: bytes, node: Node, *, replaces: bool = True) -> None:
    """Create a link, device or FIFO. What has its name is replaced only if it `replaces` something.

    Raises:
        FileExistsError: Something has its name that is not to be replaced.
        TargetError: The node has a value that no such file can have, or a directory that is not empty has its name.
    """
    if replaces:
        make_way(folder, name)
    try:
        _make_special(folder, name, node)
    except (ValueError, OverflowError) as error:  # a NUL in a link's target, a device number out of range
        raise TargetError(f"a {node.type} cannot be made: {error}") from error


def _make_special(folder: int, name: bytes, node: Node) -> None:
    if node.type == SYMLINK:
        os.symlink(node.link_target, name, dir_fd=folder)
    elif node.type == FIFO:
        os.mkfifo(name, 0o600, dir_fd=folder)
    elif node.type in (DEV, CHARDEV):
        kind = stat.S_IFBLK if node.type == DEV else stat.S_IFCHR
        os.mknod(name, kind | 0o600, node.device, dir_fd=folder)


def allocate(handle: int, size: int) -> bool:
    """Give a new file its length and the room for it, which reads as zeros; say whether the room is sure.

    Raises:
        TargetError: There is no such room; the file is empty again.
    """
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        os.ftruncate(handle, 0)
        if error.errno not in _CANNOT_ALLOCATE:
            raise TargetError(f"there is no room for its {size} bytes: {error.strerror}") from error
        os.ftruncate(handle, size)
        return False
    return True


def make_way(folder: int, name: bytes) -> None:
    """Remove what has a name, if it is no directory or an empty one; if nothing is there, that is no error.

    Raises:
        TargetError: It is a directory that is not empty.
    """
    try:
        if is_directory(folder, name):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise TargetError(
            "a directory that is not empty is in its place; --delete replaces it unless it holds what is left out"
        ) from error


def is_directory(folder: int, name: bytes) -> bool:
    """Say whether a directory is there, and no link to one."""
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def numbers_of(folder: int, names: Iterable[bytes]) -> set[int]:
    """Return the numbers of what is there by any of these names, but for names that are refused.

    Links are not followed.
    """
    found = set()
    for name in names:
        with contextlib.suppress(OSError, TargetError):
            refuse_name(name)
            found.add(os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino)
    return found


def list_names(folder: int) -> list[bytes]:
    """Return the names in an open directory."""
    return [os.fsencode(name) for name in os.listdir(folder)]


@contextlib.contextmanager
def closing(handle: int) -> Iterator[int]:
    """Close a descriptor at the end of the block."""
    try:
        yield handle
    finally:
        os.close(handle)


def write_all(handle: int, content: bytes | memoryview, offset: int) -> None:
    """Write all of a content at an offset."""
    written = os.pwrite(handle, content, offset)
    while written < len(content):
        written += os.pwrite(handle, memoryview(content)[written:], offset + written)
