"""Listing directories and opening files for reading, without following links or touching access times."""

import errno
import os
import stat
from collections.abc import Callable
from operator import itemgetter
from typing import TypeVar

Found = tuple[bytes, os.stat_result]
"""The name of an entry of a directory, and what `lstat` said of it."""

Unseen = tuple[bytes, os.stat_result | None]
"""The same of an entry that may not have been looked at."""

Failed = tuple[bytes, OSError]
"""The name of an entry, and why it could not be looked at."""

CACHE_TAG = (b"CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55")
"""The file by which a directory is known as a cache, and how it begins: https://bford.info/cachedir/."""

T = TypeVar("T")

_LONGEST_PATH_BYTES = 4096 - 256
"""What is longer is walked; a name of 255 bytes fits behind what is not."""


def open_directory(path: bytes, *, followed: bool = False) -> int:
    """Open a directory to be read, and return its descriptor. Paths may be longer than the system takes at once.

    Unless it is `followed`, a link that has taken its place is none.

    Raises:
        OSError: It cannot be opened, or has become something else.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if followed else os.O_NOFOLLOW)
    if len(path) < _LONGEST_PATH_BYTES:
        return _opened(path, flags)
    start, rest = (b"/", path[1:]) if path.startswith(b"/") else (b".", path)
    handle = os.open(start, flags)
    for name in rest.split(b"/"):
        try:
            inside = _opened(name, flags, handle)
        finally:
            os.close(handle)
        handle = inside
    return handle


def list_directory(folder: int) -> tuple[list[Found], list[Failed]]:
    """Return the entries of an open directory by raw name, and those that could not be looked at.

    Raises:
        OSError: The directory itself cannot be read.
    """
    return _listed(folder, lambda entry: entry.stat(follow_symlinks=False))


def list_unseen(folder: int) -> tuple[list[Unseen], list[Failed]]:
    """Do as `list_directory`, but look at no regular file (None): whoever opens them all is told the same then.

    Raises:
        OSError: The directory itself cannot be read.
    """

    def looked_at(entry: os.DirEntry[str]) -> os.stat_result | None:
        return None if entry.is_file(follow_symlinks=False) else entry.stat(follow_symlinks=False)

    return _listed(folder, looked_at)


def _listed(folder: int, look: Callable[[os.DirEntry[str]], T]) -> tuple[list[tuple[bytes, T]], list[Failed]]:
    # XFS lists a name twice that is removed and made again meanwhile: the later one is there
    found: dict[bytes, T] = {}
    failed: dict[bytes, OSError] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            try:
                found[name] = look(entry)
            except OSError as error:
                failed[name] = error
                found.pop(name, None)
            else:
                if failed:
                    failed.pop(name, None)
    return sorted(found.items(), key=itemgetter(0)), list(failed.items())


def path_below(folder: int, name: bytes) -> bytes:
    """Return a short path to an entry of an open directory, for calls that take no descriptor."""
    return b"/proc/self/fd/%d/%b" % (folder, name)


def open_file(path: bytes, folder: int | None = None) -> tuple[int, os.stat_result]:
    """Open a regular file for reading, and return its descriptor and what `fstat` says of it.

    Raises:
        OSError: It cannot be opened, or has become something else than a file.
    """
    try:
        # a pipe that has taken the place of a file must not keep anybody waiting
        handle = _opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, folder)
    except BlockingIOError:
        handle = _opened_once_free(path, folder)
    return handle, _regular(handle)


def _regular(handle: int) -> os.stat_result:
    """Return what `fstat` says of an open file; close it if it is none."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(0, "it is no longer a regular file")
    return found


def has_changed(handle: int, before: os.stat_result) -> bool:
    """Say whether an open file tells by its length or times that it is not as it was."""
    now = os.fstat(handle)
    return (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (
        before.st_size,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


def _opened_once_free(path: bytes, folder: int | None) -> int:
    """Open a file under a lease, as those of Samba and NFS servers are while a client has them open for itself.

    The holder is asked to give way, and has to within a time that the kernel sets (45 seconds unless told otherwise).
    """
    place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    _regular(place)
    try:
        return _opened(b"/proc/self/fd/%d" % place, os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)


def _opened(path: bytes, flags: int, folder: int | None = None) -> int:
    try:
        return os.open(path, flags | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        return os.open(path, flags, dir_fd=folder)  # only an owner may leave the access time alone


def skip_hole(handle: int) -> int:
    """Move the position of an open file over the hole that it stands at; return how many bytes that was.

    Where the file system knows no holes, there are none.
    """
    at = os.lseek(handle, 0, os.SEEK_CUR)
    try:
        return os.lseek(handle, at, os.SEEK_DATA) - at
    except OSError as error:
        if error.errno != errno.ENXIO:
            os.lseek(handle, at, os.SEEK_SET)
            return 0
    return max(0, os.lseek(handle, 0, os.SEEK_END) - at)  # no data up to the end


def has_marker(path: bytes, name: bytes, header: bytes) -> bool:
    """Say whether a directory holds a file `name` that begins with `header`."""
    try:
        handle, _ = open_file(os.path.join(path, name))
    except OSError:
        return False
    try:
        return os.read(handle, len(header)) == header
    finally:
        os.close(handle)
