"""The commands that change a repository, each with a repository to run it on.

Everything lies in memory and is small, so that a run can be killed at each of its calls to the store.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from becalm_engine.commands import backup as backup_command
from becalm_engine.commands import forget as forget_command
from becalm_engine.commands import prune as prune_command
from becalm_engine.commands.backup import BackupOptions
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.repair_index import repair_index
from becalm_engine.format.pack import BlobKind
from becalm_engine.policy.prune import Limits, UnusedLimit
from becalm_engine.policy.retention import Policy
from becalm_engine.repository import snapshots
from becalm_engine.repository.lock import locked
from becalm_engine.repository.repository import Repository, initialise, open_repository
from becalm_engine.repository.snapshots import Filter
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind, Storage
from tests.engine.repository.repositories import CHEAP, PASSWORD, contents
from tests.engine.storage.memory import MemoryStorage

Files = dict[tuple[FileKind, str], bytes]
PACK_BYTES = 4000


@dataclass(frozen=True, slots=True)
class Play:
    """A command, and the repository before it. `may_go` are snapshots that it removes or changes on purpose.

    A repository that is `damaged_before` is whole only once the command has come to its end; what of it
    `is_readable` must stay so all the time. `repeats` says that another run writes further snapshots.
    """

    files: Files
    run: Callable[[Storage], object]
    may_go: frozenset[str] = frozenset()
    damaged_before: bool = False
    is_readable: bool = True
    repeats: bool = False


def opened(storage: Storage) -> Repository:
    return open_repository(storage, PASSWORD)


def on_lock(storage: Storage, action: Callable[[Repository], object], *, exclusive: bool) -> None:
    """Do something under a lock, as the command line does."""
    repository = opened(storage)
    with locked(repository, exclusive=exclusive, sleep=lambda _: None):
        action(repository)


def back_up(storage: Storage, source: Path, number: int) -> None:
    def action(repository: Repository) -> None:
        repository.load_index()
        options = BackupOptions(
            (str(source),), hostname="node", time_nanos=(number + 1) * 10**18 // 2, pack_bytes=PACK_BYTES
        )
        captured = backup_command.capture(repository, options, progress=Progress(), report=lambda *_: None)
        snapshots.save_snapshot(repository, backup_command.snapshot_of(captured, options, "becalm test"))

    on_lock(storage, action, exclusive=False)


def forget(storage: Storage) -> None:
    def action(repository: Repository) -> None:
        groups = forget_command.plan(
            repository, Policy(last=1), Filter(), "host,paths", now=datetime.now(UTC)
        )
        forget_command.remove(repository, groups)

    on_lock(storage, action, exclusive=True)


def prune(storage: Storage) -> None:
    def action(repository: Repository) -> None:
        limits = Limits(UnusedLimit(size_bytes=0))
        prepared = prune_command.prepare(repository, limits, progress=Progress(), say=lambda _: None)
        prune_command.execute(
            repository, prepared, progress=Progress(), say=lambda _: None, pack_bytes=PACK_BYTES
        )

    on_lock(storage, action, exclusive=True)


def mend_index(storage: Storage, *, read_all: bool) -> None:
    def action(repository: Repository) -> None:
        repair_index(repository, read_all=read_all, progress=Progress(), say=lambda _: None)

    on_lock(storage, action, exclusive=True)


# --- repositories


def change(source: Path, number: int) -> None:
    """Make the source look as it did at the time of a backup; some contents appear twice, and again later."""
    shutil.rmtree(source, ignore_errors=True)
    (source / "sub").mkdir(parents=True)
    blobs = contents(6, 1500)
    for at in range(number, number + 3):
        (source / f"file{at}").write_bytes(blobs[at])
    (source / "sub" / "copy").write_bytes(blobs[number])
    (source / "sub" / "link").symlink_to("copy")
    for path in (source, source / "sub", *source.rglob("*")):
        os.utime(path, ns=(10**18 + number, 10**18 + number), follow_symlinks=False)


def filled(source: Path, count: int) -> MemoryStorage:
    """Return a repository after some backups."""
    storage = MemoryStorage()
    initialise(storage, PASSWORD, cost=CHEAP)
    for number in range(count):
        change(source, number)
        back_up(storage, source, number)
    return storage


def names(storage: MemoryStorage) -> list[str]:
    """Return the snapshots, oldest first."""
    return [stored.name for stored in snapshots.list_snapshots(opened(storage))]


def init(source: Path) -> Play:
    return Play({}, lambda storage: initialise(storage, PASSWORD, cost=CHEAP))


def first_backup(source: Path) -> Play:
    storage = filled(source, 0)
    change(source, 0)
    return Play(storage.files, lambda storage: back_up(storage, source, 0), repeats=True)


def incremental_backup(source: Path) -> Play:
    storage = filled(source, 2)
    change(source, 2)
    return Play(storage.files, lambda storage: back_up(storage, source, 2), repeats=True)


def forgetting(source: Path) -> Play:
    storage = filled(source, 3)
    return Play(storage.files, forget, may_go=frozenset(names(storage)[:-1]))


def pruning(source: Path) -> Play:
    """Packs that are unused, partly used and in no index, and blobs that lie there twice."""
    storage = filled(source, 3)
    forget(storage)
    _store_twice(storage)
    _leave_behind(storage)
    return Play(storage.files, prune)


def mending_index(source: Path) -> Play:
    storage = filled(source, 2)
    _leave_behind(storage)
    return Play(storage.files, lambda storage: mend_index(storage, read_all=True))


def mending_lost_index(source: Path) -> Play:
    storage = filled(source, 3)
    first, second, *_ = [key for key in storage.files if key[0] is FileKind.INDEX]
    del storage.files[first]
    storage.files[second] = b"nonsense"
    return Play(
        storage.files,
        lambda storage: mend_index(storage, read_all=False),
        damaged_before=True,
        is_readable=False,
    )


PLAYS = (
    first_backup, incremental_backup, forgetting, pruning, mending_index, mending_lost_index,
)  # fmt: skip


def _store_twice(storage: MemoryStorage) -> None:
    """Store again some of what the last snapshot needs, together with something that nobody does."""
    with Writer(opened(storage), pack_bytes=PACK_BYTES) as writer:
        for blob in contents(6, 1500)[1:4]:
            writer.save(BlobKind.DATA, blob)


def _leave_behind(storage: MemoryStorage) -> None:
    """Leave packs that no index lists, as a run that was killed does."""
    before = dict(storage.files)
    with Writer(opened(storage), pack_bytes=PACK_BYTES) as writer:
        for blob in contents(3, 1500, seed=7):
            writer.save(BlobKind.DATA, blob)
    for key in storage.files.keys() - before.keys():
        if key[0] is FileKind.INDEX:
            del storage.files[key]
