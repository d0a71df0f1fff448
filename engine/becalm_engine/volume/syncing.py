"""Has what was written reach the disk: until then it is in memory, and a power cut takes it."""

import ctypes
import os
from collections.abc import Iterable

from becalm_engine.volume.clocks import mounts_below
from becalm_engine.volume.target import Target


def sync_file_system(handle: int) -> None:
    """Write back all that is dirty on the file system that an open file lies on.

    Raises:
        OSError: Something could not be written, now or since the file was opened.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.syncfs(handle):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sync_target(place: Target, folders: Iterable[tuple[bytes, ...]]) -> None:
    """Write back what is dirty where a restore writes: its target, and those of its folders that are mounts.

    Raises:
        OSError: Something could not be written.
    """
    with place.folder(()) as root:
        mounts = _mounts_in(root)
        sync_file_system(root)
    if mounts:
        for path in folders:
            if path in mounts:
                with place.folder(path) as mounted:
                    sync_file_system(mounted)


def _mounts_in(root: int) -> set[tuple[bytes, ...]]:
    """Return where other file systems are mounted below an open folder: the names that lead there."""
    above = os.path.realpath(b"/proc/self/fd/%d" % root)
    try:
        return {tuple(os.path.relpath(mount, above).split(b"/")) for mount in mounts_below(above)}
    except OSError:  # without /proc nobody knows
        return set()
