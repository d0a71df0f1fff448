"""Several processes that store directories, each through a writer of its own."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from becalm_engine.chunking import Chunker
from becalm_engine.commands.files import FileStore
from becalm_engine.commands.folder import FolderRules, FolderStore, FolderTask, StoredFolder
from becalm_engine.commands.progress import Progress
from becalm_engine.crew import Crew
from becalm_engine.repository.claims import Claims
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Added, OpenedPack, Writer

_TELL_SECONDS = 0.25


@dataclass(slots=True)
class Left:
    """What a member has left at its end: packs that are not full yet, and how much it has added in all."""

    packs: list[OpenedPack]
    added: Added


Told = tuple[int, int, str]
"""Files and bytes done since the last time, and the directory that is being read."""


@dataclass(slots=True)
class _MemberProgress(Progress):
    """Counters that are told to the leader now and then."""

    tell: Callable[[Told], None] = lambda _: None
    told_at: float = 0.0
    told_files: int = 0
    told_bytes: int = 0

    def check(self) -> None:
        """End the work if somebody asked for it; tell how far it is."""
        Progress.check(self)
        now = time.monotonic()
        if now - self.told_at > _TELL_SECONDS:
            self.told_at = now
            self.tell_all()

    def tell_all(self) -> None:
        """Tell what has not been told."""
        files, size = self.files_done, self.bytes_done
        self.tell((files - self.told_files, size - self.told_bytes, self.current))
        self.told_files, self.told_bytes = files, size


class _Member:
    """One process's stores."""

    def __init__(self, folders: FolderStore, writer: Writer, progress: _MemberProgress) -> None:
        self._folders = folders
        self._writer = writer
        self._progress = progress

    def work(self, task: FolderTask) -> StoredFolder:
        """Store a directory."""
        return self._folders.store(task)

    def last(self) -> Left:
        """Upload and index what is worth a pack, and hand over the rest."""
        packs = self._writer.hand_over()
        self._writer.flush()
        self._progress.tell_all()
        return Left(packs, self._writer.added)


@dataclass(frozen=True, slots=True)
class ArchiveMembers:
    """Makes members: what it holds is there before they are forked."""

    repository: Repository
    chunker: Chunker
    rules: FolderRules
    claims: Claims
    pack_bytes: int
    threads: int

    @contextlib.contextmanager
    def __call__(self, stop: threading.Event, tell: Callable[[Any], None]) -> Iterator[_Member]:
        """Be one, for the block."""
        repository = self.repository.forked(stop)
        progress = _MemberProgress(stop=stop, tell=tell)
        with Writer(repository, pack_bytes=self.pack_bytes, claims=self.claims, most_uploads=1) as writer:
            files = FileStore(writer, self.chunker, progress, threads=self.threads)
            with contextlib.closing(files):
                folders = FolderStore(repository, writer, files, self.rules, progress)
                yield _Member(folders, writer, progress)


def archive_crew(count: int, members: ArchiveMembers, progress: Progress) -> Crew[FolderTask, StoredFolder]:
    """Return a crew whose progress is counted in `progress`."""

    def told(news: Told) -> None:
        files, size, current = news
        progress.files_done += files
        progress.bytes_done += size
        progress.current = current or progress.current

    return Crew(count, members, told=told, check=progress.check)
