"""Listing directories and opening files for reading, without following links or touching access times."""

import errno
import os
import stat
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of a directory and what `lstat` said of it."""

    name: bytes
    path: bytes
    stat: os.stat_result


def list_directory(path: bytes) -> tuple[list[Found], list[tuple[bytes, OSError]]]:
    """Return the entries of a directory by raw name, and those that could not be looked at.

    Raises:
        OSError: The directory itself cannot be read.
    """
    found: list[Found] = []
    failed: list[tuple[bytes, OSError]] = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                found.append(Found(entry.name, entry.path, entry.stat(follow_symlinks=False)))
            except OSError as error:
                failed.append((entry.path, error))
    found.sort(key=lambda entry: entry.name)
    return found, failed


def open_file(path: bytes) -> int:
    """Open a regular file for reading and return its descriptor.

    Raises:
        OSError: It cannot be opened, or has become something else than a file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        handle = os.open(path, flags)  # only a file's owner may leave its access time alone
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "it is no longer a regular file")
    return handle


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
        handle = open_file(os.path.join(path, name))
    except OSError:
        return False
    try:
        return os.read(handle, len(header)) == header
    finally:
        os.close(handle)
