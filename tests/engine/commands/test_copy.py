from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from becalm_engine.commands import copy as copy_module
from becalm_engine.commands.copy import Begun, Copied, Copier, Failed
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import (
    EngineError,
    LockedError,
    StoppedError,
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
)
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import encode_tree
from becalm_engine.ids import BlobID, FileID, blob_id
from becalm_engine.repository import snapshots
from becalm_engine.repository.reader import PackRange, load_blob
from becalm_engine.repository.snapshots import StoredSnapshot
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


def outcome(
    source: World, target: World, every: list[StoredSnapshot] | None = None
) -> tuple[dict[tuple[str, ...], str], list[tuple[str, ...]]]:
    """Copy; return why some snapshots cannot be, and which were, by what they are of."""
    copier = Copier(source.opened(), target.opened(), Progress(), pack_bytes=DEFAULT_PACK_BYTES)
    events = list(copier.copy(every or source.snapshots()))
    failed = {one.source.snapshot.paths: str(one.error) for one in events if isinstance(one, Failed)}
    return failed, [one.source.snapshot.paths for one in events if isinstance(one, Copied)]


def spoil(world: World, blob: BlobID, damage: str) -> None:
    """Fill a blob's pack with zeros, cut it short, or take it away."""
    place = world.opened().index.find(blob)
    assert place is not None
    lose(world, blob)
    files, key = world.storage.files, (FileKind.PACK, place.pack.hex())  # type: ignore[attr-defined]
    if damage == "cut":
        files[key] = files[key][:5]
    if damage == "gone":
        del files[key]


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


def test_a_missing_blob_costs_its_snapshot_alone(world: World, other: World) -> None:
    save(world, plant(world, [node(b"f", size=1, content=(BlobID(bytes(32)),))]))
    save(world, plant(world, [node(b"whole")]), paths=("/whole",))

    failed, copied = outcome(world, other)

    assert failed == {("/x",): f"blob {bytes(32).hex()} of a file is not in the source repository"}
    assert copied == [("/whole",)]
    assert [one.snapshot.paths for one in other.snapshots()] == copied


@pytest.mark.parametrize("damage", ["zeros", "cut", "gone"])
def test_a_damaged_blob_costs_the_snapshots_that_need_it(world: World, other: World, damage: str) -> None:
    """The first has copied the shared tree when the blob turns out to be lost: no other may rely on it."""
    data = plant_content(world, b"content")
    shared = plant(world, [node(b"f", size=7, content=(data,))])
    save(world, plant(world, [node(b"a")]), paths=("/a",))
    save(world, shared, paths=("/b",))
    save(world, plant(world, [folder(b"d", shared)]), paths=("/c",))
    save(world, plant(world, [node(b"d")]), paths=("/d",))
    spoil(world, data, damage)

    failed, copied = outcome(world, other)

    assert failed.keys() == {("/b",), ("/c",)}
    assert sorted(copied) == [("/a",), ("/d",)]
    assert sorted(one.snapshot.paths for one in other.snapshots()) == [("/a",), ("/d",)]
    assert other.check(read_data=True).errors == []


def test_a_tree_beside_a_lost_one_is_copied_whole_for_the_next_snapshot(world: World, other: World) -> None:
    """It was met before the lost one was, and its files were not read yet."""
    data, lost = plant_content(world, b"content"), plant_content(world, b"lost")
    good = plant(world, [node(b"f", size=7, content=(data,))])
    bad = plant(world, [node(b"f", size=4, content=(lost,))])
    save(world, plant(world, [folder(b"1", bad), folder(b"2", good)]), paths=("/bad",), time_nanos=2 * 10**18)
    save(world, good, paths=("/good",))
    lose(world, lost)
    for every in (world.snapshots(), world.snapshots()[::-1]):
        target = World()
        failed, copied = outcome(world, target, every)
        assert (list(failed), copied) == ([("/bad",)], [("/good",)])
        assert target.check(read_data=True).errors == []


def test_a_lost_tree_costs_its_snapshot_alone(world: World, other: World) -> None:
    tree = plant(world, [node(b"f")])
    save(world, tree)
    save(world, plant(world, [node(b"whole")]), paths=("/whole",))
    lose(world, tree)

    failed, copied = outcome(world, other)

    assert (list(failed), copied) == ([("/x",)], [("/whole",)])


@pytest.mark.parametrize(
    "error",
    [StorageDeniedError("no"), StorageUnavailableError("away"), LockedError("lost"), StoppedError("")],
)
def test_a_source_that_is_away_or_refuses_ends_the_copy(other: World, error: EngineError) -> None:
    storage = FaultyStorage()
    world = World(storage)
    data = plant_content(world, b"content")
    save(world, plant(world, [node(b"f", size=7, content=(data,))]))
    pack = world.opened().index.find(data)
    assert pack is not None
    name = pack.pack.hex()
    storage.on_load = lambda _, one: error if one == name else None  # type: ignore[assignment, return-value]

    with pytest.raises(type(error)):
        copy(world, other)

    assert other.snapshots() == []


def test_a_target_that_fails_ends_the_copy(world: World) -> None:
    save(world, plant(world, [node(b"f")]))
    storage = FaultyStorage()
    other = World(storage)
    storage.on_save = lambda kind, _: StorageError("broken") if kind is FileKind.PACK else None

    with pytest.raises(StorageError, match="broken"):
        outcome(world, other)

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
