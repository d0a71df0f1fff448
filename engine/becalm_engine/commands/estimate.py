"""How much there is to back up: a walk ahead of the reading, for those who watch."""

import contextlib
import os
import stat
import threading
from collections.abc import Iterator

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import Exclusion, Folder
from becalm_engine.volume.scan import list_directory


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
        with contextlib.suppress(OSError):
            for found in list_directory(folders.pop())[0]:
                if exclusion.excludes(found, os.fsdecode(found.path)):
                    continue
                if stat.S_ISDIR(found.stat.st_mode):
                    folders.append(found.path)
                elif stat.S_ISREG(found.stat.st_mode):
                    yield found.stat.st_size
