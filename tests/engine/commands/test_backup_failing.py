"""Backups that cannot read, cannot store, are to stop, or meet what no restore could read."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from becalm_engine.commands.files import FileStore
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import (
    EngineError,
    InternalError,
    MachineError,
    StoppedError,
    StorageFullError,
    UsageError,
)
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import encode_tree
from becalm_engine.ids import blob_id
from becalm_engine.policy.parent import ChangeRules
from becalm_engine.storage.base import FileKind
from becalm_engine.volume import scan
from tests.engine.commands.world import World
from tests.engine.repository.faulty import FaultyStorage


def failing_for(name: bytes, wrapped: Callable[..., object]) -> Callable[..., object]:
    def call(path: bytes, *arguments: object, **options: object) -> object:
        if os.path.basename(path) == name:  # noqa: PTH119  bytes
            raise PermissionError(13, "Permission denied")
        return wrapped(path, *arguments, **options)

    return call


@pytest.mark.parametrize(("function", "name", "during"), [
    ("open_file", b"one", "read"), ("open_directory", b"a", "scan"),
])  # fmt: skip
def test_what_cannot_be_read_is_reported_and_the_rest_is_stored(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch, function: str, name: bytes, during: str
) -> None:
    monkeypatch.setattr(
        f"becalm_engine.commands.folder.{function}", failing_for(name, getattr(scan, function))
    )

    captured = world.backup(source)

    path = str(next(source.rglob(name.decode())))
    assert world.told == [(path, during, "Permission denied")]
    assert captured.report.exit_code == 3
    assert (captured.report.unreadable_count, captured.report.unreadable) == (1, (path,))
    world.restore_folder(captured, source, source.parent / "back")
    assert (source.parent / "back" / "b" / "three").read_text() == "b/three"


def test_a_file_that_has_become_something_else_is_not_read(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = scan.list_unseen

    def swapping(folder: int) -> object:
        found = listed(folder)
        if "one" in os.listdir(folder):
            (source / "a" / "one").unlink()
            (source / "a" / "one").symlink_to("/etc/passwd")
        return found

    monkeypatch.setattr("becalm_engine.commands.folder.list_unseen", swapping)

    captured = world.backup(source)

    assert [path for path, _, _ in world.told] == [str(source / "a" / "one")]
    assert captured.report.exit_code == 3


def test_a_run_that_is_to_stop_stops_and_what_it_uploaded_is_indexed(world: World, source: Path) -> None:
    progress = Progress()
    progress.stop.set()

    with pytest.raises(StoppedError):
        world.capture(source, progress=progress)

    assert world.snapshots() == []
    assert world.check().errors == []


def test_a_store_that_is_full_fails_the_backup(source: Path) -> None:
    storage = FaultyStorage()
    world = World(storage)
    storage.on_save = lambda kind, _: StorageFullError("full") if kind is FileKind.PACK else None

    with pytest.raises(StorageFullError):
        world.backup(source)

    assert world.snapshots() == []


def test_ended_before_any_write_the_repository_is_sound_and_the_next_run_completes(source: Path) -> None:
    (source / "random").write_bytes(os.urandom(3_000_000))
    writes, completed = 0, False
    while not completed:
        storage = FaultyStorage()
        world = World(storage)
        storage.on_save = _dies_at(writes)

        try:
            world.backup(source, pack_bytes=500_000)
            completed = True
        except EngineError:
            storage.on_save = lambda *_: None
            assert world.snapshots() == []
            assert world.check().errors == []
            captured = world.backup(source, pack_bytes=500_000)
            assert (
                world.restore_folder(captured, source, source.parent / f"back-{writes}", verify=True).failed
                == []
            )
        writes += 1

    assert writes > 4


def _dies_at(number: int) -> Callable[[FileKind, str], StorageFullError | None]:
    """Return a fault that lets so many writes pass, and none after them."""
    left = [number]

    def fault(_kind: FileKind, _name: str) -> StorageFullError | None:
        left[0] -= 1
        return StorageFullError("the process is gone") if left[0] < 0 else None

    return fault


def test_a_file_that_is_the_text_of_a_directory_is_stored_as_both(world: World, place: Path) -> None:
    (place / "source" / "empty").mkdir(parents=True)
    (place / "source" / "a").write_bytes(encode_tree([]))
    (place / "source" / "z").write_bytes(encode_tree([]))

    world.backup(place / "source")
    world.backup(place / "source")

    blob = blob_id(encode_tree([]))
    kinds = [found.blob.kind for found in world.opened().index.find_all(blob)]
    assert sorted(kinds) == [BlobKind.DATA, BlobKind.TREE]
    assert world.check().errors == []


def test_a_directory_that_no_restore_could_read_is_refused(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("becalm_engine.commands.folder.MAX_BLOB_BYTES", 100)

    with pytest.raises(UsageError, match="no restore could read a tree"):
        world.capture(source)


@pytest.mark.parametrize(
    "rules", [ChangeRules(), ChangeRules(ignore_ctime=True)], ids=["alike", "but for ctime"]
)
def test_a_parent_that_says_a_file_has_a_length_and_no_content_is_not_believed(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch, rules: ChangeRules
) -> None:
    with monkeypatch.context() as lying:
        lying.setattr("becalm_engine.commands.folder.encode_content", lambda _: ',"content":[]')
        world.backup(source)
    assert world.check().errors != []
    if rules.ignore_ctime:
        (source / "large").chmod(0o640)

    captured = world.backup(source, rules=rules)

    world.restore_folder(captured, source, source.parent / "back")
    assert (source.parent / "back" / "large").read_bytes() == bytes(5000)


def test_memory_that_is_refused_is_no_fault_of_a_file(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr("becalm_engine.repository.packer.mmap.mmap", refused)

    with pytest.raises(MachineError, match="no memory for a pack"):
        world.backup(source)
    assert world.told == []


def test_a_file_that_was_read_and_not_stored_ends_the_backup(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileStore, "_store_small", lambda self: self._small.clear())

    with pytest.raises(InternalError, match="not stored"):
        world.backup(source)
