"""Listing directories and opening files for reading, without following links or touching access times."""

import errno
import os
import stat

Found = tuple[bytes, os.stat_result]
"""The name of an entry of a directory, and what `lstat` said of it."""

_LONGEST_PATH_BYTES = 4096 - 256
"""What is longer is walked; a name of 255 bytes fits behind what is not."""


def open_directory(path: bytes) -> int:
    """Open a directory to be read, and return its descriptor. Paths may be longer than the system takes at once.

    Raises:
        OSError: It cannot be opened, or has become something else.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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


def list_directory(folder: int) -> tuple[list[Found], list[tuple[bytes, OSError]]]:
    """Return the entries of an open directory by raw name, and those that could not be looked at.

    Raises:
        OSError: The directory itself cannot be read.
    """
    found: list[Found] = []
    failed: list[tuple[bytes, OSError]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            try:
                found.append((name, entry.stat(follow_symlinks=False)))
            except OSError as error:
                failed.append((name, error))
    found.sort()
    return found, failed


def path_below(folder: int, name: bytes) -> bytes:
    """Return a short path to an entry of an open directory, for calls that take no descriptor."""
    return b"/proc/self/fd/%d/%b" % (folder, name)


def open_file(path: bytes, folder: int | None = None) -> tuple[int, int]:
    """Open a regular file for reading, and return its descriptor and its length in bytes.

    Raises:
        OSError: It cannot be opened, or has become something else than a file.
    """
    handle = _opened(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, folder)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(0, "it is no longer a regular file")
    return handle, found.st_size


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


def is_cache_directory(path: bytes) -> bool:
    """Say whether a directory holds a CACHEDIR.TAG with the standard's signature."""
    return has_marker(path, b"CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55")


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
