from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from becalm_engine.commands import copy as copy_module
from becalm_engine.commands.copy import Begun, Copied, Copier
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError, EngineError, StorageError
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import encode_tree
from becalm_engine.ids import BlobID, FileID, blob_id
from becalm_engine.repository import snapshots
from becalm_engine.repository.reader import PackRange, load_blob
from becalm_engine.repository.writer import DEFAULT_PACK_BYTES, Writer
from becalm_engine.storage.base import FileKind
from tests.engine.commands.planted import folder, lose, node, plant, plant_content
from tests.engine.commands.world import World
from tests.engine.repository.faulty import FaultyStorage


@pytest.fixture
def other() -> World:
    return World()


def copy(source: World, target: World, *, progress: Progress | None = None) -> list[Copied]:
    copier = Copier(source.opened(), target.opened(), progress or Progress(), pack_bytes=DEFAULT_PACK_BYTES)
    return [event for event in copier.copy(source.snapshots()) if isinstance(event, Copied)]


def save(world: World, tree: BlobID, **fields: object) -> None:
    made = Snapshot(10**18, tree, ("/x",), "host", parent=FileID(bytes(32)))
    snapshots.save_snapshot(world.opened(), replace(made, **fields))  # type: ignore[arg-type]


def test_a_copy_restores_like_its_source(world: World, other: World, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "file").write_bytes(b"content" * 1000)
    (tmp_path / "in" / "sub" / "large").write_bytes(bytes(range(256)) * 8000)
    captured = world.backup(tmp_path / "in")

    [copied] = copy(world, other)

    assert other.check().errors == []
    other.restore_folder(captured, tmp_path / "in", tmp_path / "out")
    for name in ("file", "sub/large"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    assert copied.target.snapshot.original == bytes.fromhex(copied.source.name)
    assert copied.target.snapshot.parent is None
    assert copied.target.snapshot.summary == copied.source.snapshot.summary


def test_a_tree_that_no_becalm_would_write_keeps_its_bytes(world: World, other: World) -> None:
    content = b'{"nodes":[{"name":"a","type":"file","later":1.50,"content":[]}]}\n'
    with Writer(world.opened()) as writer:
        tree = writer.save(BlobKind.TREE, content)
    save(world, tree)

    copy(world, other)

    assert load_blob(other.opened(), tree) == content


def test_a_file_that_holds_the_text_of_a_directory_of_the_target_is_copied(
    world: World, other: World
) -> None:
    save(other, empty := plant(other, []))
    same = plant_content(world, encode_tree(()))
    save(world, plant(world, [node(b"f", size=len(encode_tree(())), content=(same,))]), paths=("/y",))

    copy(world, other)

    assert same == empty
    assert other.opened().index.holds(BlobKind.DATA, same)
    assert other.check().errors == []


def test_copying_again_copies_nothing(world: World, other: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    world.backup(tmp_path)
    [first] = copy(world, other)
    files = dict(other.storage.files)  # type: ignore[attr-defined]

    [again] = copy(world, other)

    assert again == Copied(first.source, first.target, already=True)
    assert other.storage.files == files  # type: ignore[attr-defined]
    [back] = copy(other, world)
    assert (back.already, back.target.name) == (True, first.source.name)


def test_a_copy_keeps_the_zone_of_its_time(world: World, other: World) -> None:
    nepal = timezone(timedelta(hours=5, minutes=45))
    save(world, plant(world, []), zone=nepal)

    [copied] = copy(world, other)

    assert copied.target.snapshot.zone == nepal


def test_a_snapshot_whose_tags_differ_is_another(world: World, other: World) -> None:
    tree = plant(world, [])
    save(world, tree)
    copy(world, other)
    [first] = world.snapshots()
    save(world, tree, tags=("t",), original=FileID(bytes.fromhex(first.name)))
    snapshots.remove_snapshot(world.opened(), first)

    [copied] = copy(world, other)

    assert copied.already is False
    assert copied.target.snapshot.original == bytes.fromhex(first.name)
    assert len(other.snapshots()) == 2


def test_a_missing_blob_ends_the_copy_and_leaves_no_snapshot(world: World, other: World) -> None:
    save(world, plant(world, [node(b"f", size=1, content=(BlobID(bytes(32)),))]))

    with pytest.raises(DamagedError, match="not in the source"):
        copy(world, other)

    assert other.snapshots() == []


def test_a_damaged_blob_ends_the_copy_and_leaves_no_snapshot(world: World, other: World) -> None:
    data = plant_content(world, b"content")
    save(world, plant(world, [node(b"f", size=7, content=(data,))]))
    lose(world, data)

    with pytest.raises(EngineError, match="authentication code is wrong"):
        copy(world, other)

    assert other.snapshots() == []


def test_a_copy_that_was_broken_off_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    world.backup(tmp_path)
    storage = FaultyStorage()
    other = World(storage)
    storage.on_save = lambda kind, _: StorageError("full") if kind is FileKind.SNAPSHOT else None
    with pytest.raises(StorageError):
        copy(world, other)
    stored = {key for key in storage.files if key[0] is FileKind.PACK}
    storage.on_save = lambda *_: None

    copy(world, other)

    assert {key for key in storage.files if key[0] is FileKind.PACK} == stored
    assert other.check().errors == []


def test_what_several_snapshots_share_is_read_once(world: World, other: World) -> None:
    data = plant_content(world, b"content")
    shared = plant(world, [node(b"f", size=7, content=(data,))])
    for name in (b"a", b"b"):
        save(world, plant(world, [folder(name, shared)]))
    progress = Progress()

    assert len(copy(world, other, progress=progress)) == 2

    assert progress.bytes_done == 7
    assert other.check().errors == []


def test_each_snapshot_is_announced_before_it_is_copied(world: World, other: World) -> None:
    save(world, plant(world, []))
    copier = Copier(world.opened(), other.opened(), Progress(), pack_bytes=DEFAULT_PACK_BYTES)

    kinds = [type(event) for event in copier.copy(world.snapshots())]

    assert kinds == [Begun, Copied]


def test_full_batches_are_stored_on_the_way(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (b"a", b"b"):
        save(world, plant(world, [node(name)]))
    monkeypatch.setattr("becalm_engine.commands.copy._BATCH_BYTES", 1)
    copier = Copier(world.opened(), other.opened(), Progress(), pack_bytes=DEFAULT_PACK_BYTES)

    kinds = [type(event) for event in copier.copy(world.snapshots())]

    assert kinds == [Begun, Copied, Begun, Copied]
    assert blob_id(b"") not in other.opened().index


def test_a_snapshot_of_many_blobs_is_copied_piece_by_piece(
    world: World, other: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to be copied next is held in memory: of ten million blobs that were gigabytes."""
    for number in range(60):
        (tmp_path / "in" / f"d{number % 6}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / f"d{number % 6}" / f"f{number}").write_text(f"content {number % 40}")
    world.backup(tmp_path / "in")
    monkeypatch.setattr(copy_module, "_MOST_WANTED", 8)
    sought: list[int] = []
    ranges = copy_module._Wanted.ranges

    def counted(wanted: copy_module._Wanted) -> list[PackRange]:
        sought.append(len(wanted.blobs))
        return ranges(wanted)

    monkeypatch.setattr(copy_module._Wanted, "ranges", counted)

    copy(world, other)

    assert max(sought) < 20
    assert sum(sought) == 40
    assert other.check(read_data=True).errors == []
