"""More commands that change a repository: those that change, copy and repair what is there."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from becalm_engine.commands import commit as commit_command
from becalm_engine.commands import rewrite as rewrite_command
from becalm_engine.commands import tag as tag_command
from becalm_engine.commands.backup import BackupOptions, capture
from becalm_engine.commands.copy import Copier
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.recover import recover
from becalm_engine.commands.repair_index import repair_index
from becalm_engine.commands.repair_packs import repair_packs
from becalm_engine.commands.repair_snapshots import repair_snapshots
from becalm_engine.commands.rewrite import RewriteOptions
from becalm_engine.commands.tag import TagChange
from becalm_engine.contract import CommitPlan, PlannedSnapshot
from becalm_engine.errors import UsageError
from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import BlobID, blob_id
from becalm_engine.policy.patterns import Patterns
from becalm_engine.repository import snapshots
from becalm_engine.repository.lock import locked
from becalm_engine.repository.repository import Repository, initialise
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind, Storage
from tests.engine.crash.plays import (
    PACK_BYTES,
    Play,
    back_up,
    change,
    filled,
    forget,
    on_lock,
    opened,
)
from tests.engine.repository.repositories import CHEAP, PASSWORD, contents
from tests.engine.storage.memory import MemoryStorage


def sparse_backup(source: Path) -> Play:
    """Holes, long zeros, files that are equal, and one that is cut into several blobs."""
    storage = filled(source, 1)
    _write_sparse(source)
    return Play(storage.files, lambda storage: back_up(storage, source, 1), repeats=True)


def _write_sparse(source: Path) -> None:
    [large] = contents(1, 700 * 1024, seed=3)
    for name in ("large", "again"):
        (source / name).write_bytes(large)
    with (source / "hole").open("wb") as file:
        file.write(b"start")
        file.seek(1 << 20)
        file.write(b"end")
    with (source / "empty").open("wb") as file:
        os.truncate(file.fileno(), 1 << 20)


def tagging(source: Path) -> Play:
    storage = filled(source, 3)
    change = TagChange(add=("kept", "seen"))

    def run(storage: Storage) -> None:
        def action(repository: Repository) -> None:
            every = snapshots.list_snapshots(repository)
            _exhaust(tag_command.tag(repository, every, change, Progress()))

        on_lock(storage, action, exclusive=True)

    return Play(storage.files, run)


def rewriting(source: Path) -> Play:
    storage = filled(source, 2)
    return Play(storage.files, lambda storage: rewrite(storage, forget=False), repeats=True)


def rewriting_and_forgetting(source: Path) -> Play:
    storage = filled(source, 2)
    return Play(storage.files, lambda storage: rewrite(storage, forget=True))


def rewrite(storage: Storage, *, forget: bool) -> None:
    def action(repository: Repository) -> None:
        every = snapshots.list_snapshots(repository)
        repository.load_index()
        options = RewriteOptions(excludes=(Patterns(["copy", "file1"]),), forget=forget)
        _exhaust(rewrite_command.rewrite(repository, every, options, Progress()))

    on_lock(storage, action, exclusive=forget)


def copying(source: Path) -> Play:
    """Three snapshots into a repository that has one of its own."""
    origin = filled(source, 3)
    target = MemoryStorage()
    initialise(target, PASSWORD, cost=CHEAP)
    change(source, 3)
    back_up(target, source, 3)

    def run(storage: Storage) -> None:
        def action(repository: Repository) -> None:
            every = snapshots.list_snapshots(opened(origin))
            read = opened(origin)
            read.load_index()
            repository.load_index()
            _exhaust(Copier(read, repository, Progress(), pack_bytes=PACK_BYTES).copy(every))

        on_lock(storage, action, exclusive=False)

    return Play(target.files, run)


def repairing_packs(source: Path) -> Play:
    """A pack with a damaged blob, which lies in another pack too."""
    storage = filled(source, 2)
    repository = opened(storage)
    repository.load_index()
    damaged = repository.index.find(blob_id(contents(6, 1500)[1]))
    assert damaged is not None
    name = damaged.pack.hex()
    with Writer(opened(storage), pack_bytes=PACK_BYTES) as writer:
        writer.save(BlobKind.DATA, contents(6, 1500)[1])
    data = bytearray(storage.files[FileKind.PACK, name])
    data[damaged.blob.offset + 20] ^= 1
    storage.files[FileKind.PACK, name] = bytes(data)

    def run(storage: Storage) -> None:
        def action(repository: Repository) -> None:
            with contextlib.suppress(UsageError):  # it is done already, and the pack is gone
                repair_packs(
                    repository, [name],
                    keep_copy=lambda *_: None, progress=Progress(), say=lambda _: None,
                )  # fmt: skip

        on_lock(storage, action, exclusive=True)

    return Play(storage.files, run, damaged_before=True)


def repairing_snapshots(source: Path) -> Play:
    """Two of three snapshots have lost a file's content."""
    storage = filled(source, 3)
    _lose(storage, blob_id(contents(6, 1500)[1]))
    on_lock(
        storage,
        lambda repository: repair_index(repository, read_all=False, progress=Progress(), say=lambda _: None),
        exclusive=True,
    )

    def run(storage: Storage) -> None:
        def action(repository: Repository) -> None:
            every = snapshots.list_snapshots(repository)
            repository.load_index()
            repair_snapshots(
                repository, every, dry_run=False, forget=True, progress=Progress(), say=lambda _: None
            )

        on_lock(storage, action, exclusive=True)

    return Play(storage.files, run, damaged_before=True)


def _lose(storage: MemoryStorage, blob: BlobID) -> None:
    """Remove a blob's pack, after writing again all else that was in it."""
    repository = opened(storage)
    repository.load_index()
    location = repository.index.find(blob)
    assert location is not None
    others = [packed for packed in repository.index.by_pack()[location.pack] if packed.id != blob]
    with Writer(repository.without_index()) as writer:
        for packed in others:
            stored = storage.files[FileKind.PACK, location.pack.hex()]
            writer.put_sealed(packed, stored[packed.offset : packed.offset + packed.stored_bytes])
    del storage.files[FileKind.PACK, location.pack.hex()]


def recovering(source: Path) -> Play:
    """The directories of snapshots that were forgotten."""
    storage = filled(source, 3)
    forget(storage)

    def run(storage: Storage) -> None:
        def action(repository: Repository) -> None:
            recover(
                repository, progress=Progress(), say=lambda _: None, warn=lambda _: None,
                program_version="becalm test",
            )  # fmt: skip

        on_lock(storage, action, exclusive=True)

    return Play(storage.files, run)


def committing(source: Path) -> Play:
    """A group of two captures."""
    storage = filled(source, 1)
    planned = []
    for number in (1, 2):
        change(source, number)
        with locked(repository := opened(storage), exclusive=False, sleep=lambda _: None):
            repository.load_index()
            options = BackupOptions((str(source),), hostname="node", pack_bytes=PACK_BYTES)
            done = capture(repository, options, progress=Progress(), report=lambda *_: None)
        planned.append(
            PlannedSnapshot(done.tree.hex(), "node", (f"/{number}",), f"2026-01-0{number}T00:00:00Z")
        )

    def run(storage: Storage) -> None:
        def action(repository: Repository) -> None:
            repository.load_index()
            plan = CommitPlan(tuple(planned))
            commit_command.commit(repository, plan, progress=Progress(), program_version="becalm test")

        on_lock(storage, action, exclusive=False)

    return Play(storage.files, run)


def _exhaust(events: Iterable[object]) -> None:
    for _ in events:
        pass


EDITS = (
    sparse_backup, tagging, rewriting, rewriting_and_forgetting, copying, repairing_packs,
    repairing_snapshots, committing,
)  # fmt: skip
