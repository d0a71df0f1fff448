"""Makes ready for a hot read: whatever is stored after it began shows in the times of the files."""

import os
from collections.abc import Iterator, Sequence

from becalm_engine.volume.clocks import file_system_of, mounts_below, tells_of_stores
from becalm_engine.volume.syncing import sync_file_system


def reason_against(paths: Sequence[bytes]) -> str:
    """Return why a hot read of what lies below some paths cannot be trusted, or nothing if it can."""
    for place in _places(paths):
        try:
            handle = _opened(place)
        except OSError as error:
            return f"{os.fsdecode(place)} cannot be opened: {error.strerror}"
        try:
            if not tells_of_stores(handle):
                kind = file_system_of(handle) or "an unknown file system"
                return f"{os.fsdecode(place)} is {kind}, whose files need not tell that they were changed"
        finally:
            os.close(handle)
    return ""


def synced(paths: Sequence[bytes]) -> str:
    """Write back all that is dirty where some paths lie; return why that failed, or nothing.

    Then every page is write-protected, and the next store through a mapping changes the times of its file.
    """
    for place in _places(paths):
        try:
            handle = _opened(place)
            try:
                sync_file_system(handle)
            finally:
                os.close(handle)
        except OSError as error:
            return f"{os.fsdecode(place)} cannot be synced: {error.strerror}"
    return ""


def _places(paths: Sequence[bytes]) -> Iterator[bytes]:
    for path in paths:
        yield path
        yield from mounts_below(path)


def _opened(place: bytes) -> int:
    return os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
