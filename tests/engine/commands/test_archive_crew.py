"""Several processes must store what one stores, and fail as one fails."""

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.commands import backup
from becalm_engine.commands import folder as folder_module
from becalm_engine.commands.backup import Captured
from becalm_engine.commands.estimate import slots_for
from becalm_engine.commands.folder import FolderStore
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import Folder
from becalm_engine.commands.stored import FolderTask, StoredFolder
from becalm_engine.errors import StoppedError, StorageFullError, WorkerLostError
from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import BlobID, Buffer
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from becalm_engine.volume import scan
from tests.engine.commands.world import World
from tests.engine.volume import sources

PACK_BYTES = 200_000
_EQUAL = 30


@pytest.fixture
def source(place: Path) -> Path:
    """More small files than one process is left alone with, one large file, and all that is odd."""
    folder, content = place / "source", random.Random(5)
    for number in range(40):
        inside = folder / f"d{number % 4}" / f"e{number}"
        inside.mkdir(parents=True)
        for name in range(30):
            (inside / f"f{name}").write_bytes(content.randbytes(content.randrange(2000)))
    (folder / "large").write_bytes(content.randbytes(5_000_000))
    sources.write_odd(folder / "odd")
    return folder


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A repository in a folder: processes share no memory."""
    return World(LocalStorage(tmp_path / "repository"))


def captured(world: World, *sources: Path, processes: int = 3, **options: Any) -> Captured:
    """Capture the sources, by several processes unless told otherwise."""
    return world.capture(*sources, processes=processes, pack_bytes=PACK_BYTES, **options)


def tree_of(world: World, captured: Captured, source: Path) -> BlobID:
    """Return the tree of the source itself: the folders above it are everybody's."""
    return world.tree_at(captured, source)[0]


def blobs_in(world: World) -> list[tuple[BlobKind, BlobID]]:
    return [(place.blob.kind, place.blob.id) for place in world.opened().index]


def test_it_is_the_tree_that_one_process_stores(world: World, source: Path) -> None:
    progress = Progress()

    together = captured(world, source, progress=progress)

    alone = captured(world, source, processes=1, force=True)
    assert tree_of(world, together, source) == tree_of(world, alone, source)
    assert alone.report.data_blobs == 0
    assert together.report.files_new == alone.report.files_new == progress.files_done
    assert together.report.bytes_processed == alone.report.bytes_processed == progress.bytes_done
    assert together.report.dirs_new == alone.report.dirs_new
    assert world.check().errors == []


def test_what_was_added_is_counted_once(world: World, source: Path) -> None:
    report = captured(world, source).report

    blobs = [location.blob for location in world.opened().index]
    assert report.data_blobs == sum(blob.kind is BlobKind.DATA for blob in blobs)
    assert report.tree_blobs == sum(blob.kind is BlobKind.TREE for blob in blobs)
    assert report.bytes_added_packed == sum(blob.stored_bytes for blob in blobs)


def test_what_is_equal_is_not_stored_by_each(world: World, source: Path) -> None:
    """Two that claim a blob at the same moment both store it; without claims each would store all of them."""
    for number in range(40):
        (source / f"d{number % 4}" / f"e{number}" / "empty").mkdir()
        for name in range(_EQUAL):
            (source / f"d{number % 4}" / f"e{number}" / f"f{name}").write_text(f"always the same {name}")

    captured(world, source)

    blobs = blobs_in(world)
    assert len(blobs) - len(set(blobs)) < _EQUAL // 2


def test_small_packs_of_several_become_one(world: World, source: Path) -> None:
    captured(world, source)
    (source / "d0" / "e0" / "new").write_text("one")
    (source / "d1" / "e1" / "new").write_text("two")
    before = len(world.opened().index.packs())

    captured(world, source, force=True)

    assert len(world.opened().index.packs()) == before + 2  # data and trees
    assert len(list(world.storage.list(FileKind.INDEX))) <= 5


def test_what_has_not_changed_is_not_read(world: World, source: Path) -> None:
    first = world.backup(source, processes=3, pack_bytes=PACK_BYTES)

    second = captured(world, source)

    assert tree_of(world, second, source) == tree_of(world, first, source)
    assert second.report.files_unmodified == first.report.files_new
    assert second.report.data_blobs == 0


def test_what_cannot_be_read_is_told(world: World, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_file = scan.open_file

    def refuse(path: bytes, folder: int | None = None) -> tuple[int, os.stat_result]:
        if path == b"f7":
            raise PermissionError(13, "Permission denied")
        return opened_file(path, folder)

    monkeypatch.setattr(folder_module, "open_file", refuse)

    report = captured(world, source).report

    assert len(world.told) == report.unreadable_count == 40
    assert report.exit_code == 3


def test_a_member_that_is_killed_fails_the_run_and_the_next_one_completes_it(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, store = os.getpid(), FolderStore.store

    def dies(self: FolderStore, task: FolderTask) -> StoredFolder:
        if task.path.endswith(b"/e33"):
            assert os.getpid() != leader
            os.kill(os.getpid(), signal.SIGKILL)
        return store(self, task)

    with monkeypatch.context() as patched:
        patched.setattr(FolderStore, "store", dies)
        with pytest.raises(WorkerLostError):
            captured(world, source)

    assert captured(world, source).report.files_new > 1000
    assert world.check().errors == []


def test_a_run_that_is_to_stop_keeps_what_was_uploaded(world: World, source: Path) -> None:
    class Hasty(Progress):
        """Wants to stop once anything is done."""

        def check(self) -> None:
            if self.files_done:
                raise StoppedError("interrupted")

    with pytest.raises(StoppedError):
        captured(world, source, progress=Hasty())

    kept = sum(kind is BlobKind.DATA for kind, _ in blobs_in(world))
    assert kept
    assert world.check().errors == []
    added = captured(world, source).report.data_blobs
    assert kept + added == sum(kind is BlobKind.DATA for kind, _ in blobs_in(world))


def test_a_store_that_fails_fails_the_run(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = LocalStorage.save

    def full(
        self: LocalStorage, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False
    ) -> None:
        if kind is FileKind.PACK:
            raise StorageFullError("no room left")
        save(self, kind, name, data, only_if_absent=only_if_absent)

    monkeypatch.setattr(LocalStorage, "save", full)

    with pytest.raises(StorageFullError, match="no room left"):
        captured(world, source)


def test_a_link_that_leads_nowhere_may_be_a_source(world: World, source: Path) -> None:
    (source.parent / "dangling").symlink_to("nowhere")

    report = captured(world, source, source.parent / "dangling").report

    assert (report.exit_code, world.told) == (0, [])


def test_a_source_that_vanishes_after_it_was_looked_for_is_told(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = source.parent / "gone"
    gone.touch()

    def unlinking(root: Folder) -> int:
        gone.unlink()
        return slots_for(root)

    monkeypatch.setattr(backup, "slots_for", unlinking)

    report = captured(world, source, gone).report

    assert world.told == [(str(gone), "scan", "No such file or directory")]
    assert report.exit_code == 3


def test_a_few_files_are_not_worth_processes(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "few").mkdir()
    (place / "few" / "one").write_text("1")
    monkeypatch.delattr(os, "fork")

    assert captured(world, place / "few").report.files_new == 1
