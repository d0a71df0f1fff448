"""Several processes that store directories, each through a writer of its own."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from becalm_engine.chunking import Chunker
from becalm_engine.commands.files import FileStore
from becalm_engine.commands.folder import FolderRules, FolderStore
from becalm_engine.commands.progress import Progress, ToldProgress
from becalm_engine.commands.stored import FolderTask, StoredFolder
from becalm_engine.crew import Crew
from becalm_engine.repository.claims import Claims
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Added, OpenedPack, Writer


@dataclass(slots=True)
class Left:
    """What a member has left at its end: packs that are not full yet, and how much it has added in all."""

    packs: list[OpenedPack]
    added: Added


class _Member:
    """One process's stores."""

    def __init__(self, folders: FolderStore, writer: Writer, progress: ToldProgress) -> None:
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
    most_waiting: int

    @contextlib.contextmanager
    def __call__(self, stop: threading.Event, tell: Callable[[Any], None]) -> Iterator[_Member]:
        """Be one, for the block."""
        repository = self.repository.forked(stop)
        progress = ToldProgress(stop=stop, tell=tell)
        with Writer(
            repository, pack_bytes=self.pack_bytes, claims=self.claims, most_waiting=self.most_waiting
        ) as writer:
            files = FileStore(writer, self.chunker, progress, threads=self.threads)
            with contextlib.closing(files):
                folders = FolderStore(repository, writer, files, self.rules, progress)
                yield _Member(folders, writer, progress)


def archive_crew(count: int, members: ArchiveMembers, progress: Progress) -> Crew[FolderTask, StoredFolder]:
    """Return a crew whose progress is counted in `progress`."""
    return Crew(count, members, told=progress.take, check=progress.check, quiet=members.repository.quiet)
