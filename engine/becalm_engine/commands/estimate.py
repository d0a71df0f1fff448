"""How much there is to back up: a walk ahead of the reading, for those who watch."""

import contextlib
import os
import stat
import threading
from collections.abc import Iterator

from becalm_engine.chunking import MIN_BYTES
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import Exclusion, Folder, leaves
from becalm_engine.volume.scan import Found, list_directory, open_directory

_FEWEST_SLOTS, _MOST_SLOTS = 1 << 14, 1 << 21
_MANY_FILES = 1000
_MANY_BYTES = 64 * 1024 * 1024


@contextlib.contextmanager
def estimated(root: Folder, exclusion: Exclusion, progress: Progress) -> Iterator[None]:
    """Count files and bytes beside the block, and set the totals of `progress` once all are counted."""
    ended = threading.Event()
    thread = threading.Thread(
        target=_count, args=(root, exclusion, progress, ended), name="estimate", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def is_large(root: Folder) -> bool:
    """Say whether there is so much below the sources that several processes are worth their start."""
    count = size = 0
    for length in _sizes(root, Exclusion()):
        count, size = count + 1, size + length
        if count >= _MANY_FILES or size >= _MANY_BYTES:
            return True
    return False


def slots_for(root: Folder) -> int:
    """Return how many slots keep the blobs of the sources apart: by what their file systems hold, within limits."""
    return min(max(sum(map(_slots_of, leaves(root))), _FEWEST_SLOTS), _MOST_SLOTS)


def _slots_of(path: bytes) -> int:
    try:
        about = os.statvfs(path)
    except OSError:
        return 0  # a link that leads nowhere, or a source that has gone: it is only an estimate
    used_bytes = (about.f_blocks - about.f_bfree) * about.f_frsize
    return 2 * (max(0, about.f_files - about.f_ffree) + used_bytes // MIN_BYTES)


def _count(root: Folder, exclusion: Exclusion, progress: Progress, ended: threading.Event) -> None:
    files = size = 0
    for length in _sizes(root, exclusion):
        if ended.is_set():
            return
        files, size = files + 1, size + length
    progress.files_total, progress.bytes_total = files, size


def _sizes(root: Folder, exclusion: Exclusion) -> Iterator[int]:
    """Yield the length of each file. What cannot be read is passed over; the backup itself reports it."""
    waiting = [root]
    folders: list[bytes] = []
    while waiting:
        folder = waiting.pop()
        waiting += folder.children.values()
        with contextlib.suppress(OSError):
            if folder.leaf and stat.S_ISREG((about := os.lstat(folder.path)).st_mode):
                yield about.st_size
            elif folder.leaf:
                folders.append(folder.path)
    while folders:
        folder_path = folders.pop()
        with contextlib.suppress(OSError):
            only = exclusion.only(folder_path)
            for name, about in _listed(folder_path):
                path = os.path.join(folder_path, name)
                if only is not None and name not in only:
                    continue
                if exclusion and exclusion.excludes(path, about):
                    continue
                if stat.S_ISDIR(about.st_mode):
                    folders.append(path)
                elif stat.S_ISREG(about.st_mode):
                    yield about.st_size


def _listed(path: bytes) -> list[Found]:
    handle = open_directory(path)
    try:
        return list_directory(handle)[0]
    finally:
        os.close(handle)
