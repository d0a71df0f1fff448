import os
from collections.abc import Callable
from pathlib import Path

import pytest

from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import FILE, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID
from becalm_engine.repository.snapshots import save_snapshot
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.memory import MemoryStorage
from tests.engine.commands.world import World


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def world(storage: MemoryStorage, place: Path) -> World:
    world = World(storage)
    (place / "source" / "sub").mkdir(parents=True)
    (place / "source" / "sub" / "file").write_bytes(os.urandom(3000))
    world.backup(place / "source")
    return world


def largest_pack(storage: MemoryStorage) -> tuple[FileKind, str]:
    return max(
        (key for key in storage.files if key[0] is FileKind.PACK), key=lambda key: len(storage.files[key])
    )


def test_a_sound_repository_has_no_faults(world: World) -> None:
    found = world.check()

    assert (found.errors, found.hints, found.broken_packs, found.damaged_snapshots) == ([], [], [], [])


def _flip(storage: MemoryStorage) -> None:
    key = largest_pack(storage)
    data = bytearray(storage.files[key])
    data[100] ^= 1
    storage.files[key] = bytes(data)


def _lose(storage: MemoryStorage) -> None:
    del storage.files[largest_pack(storage)]


def _cut(storage: MemoryStorage) -> None:
    key = largest_pack(storage)
    storage.files[key] = storage.files[key][:-1]


@pytest.mark.parametrize(
    ("damage", "said"), [(_flip, "another hash"), (_lose, "does not exist"), (_cut, "but its index says")]
)
def test_a_damaged_pack_is_named(
    world: World, storage: MemoryStorage, damage: Callable[[MemoryStorage], None], said: str
) -> None:
    pack = largest_pack(storage)[1]
    damage(storage)

    found = world.check()

    assert found.broken_packs == [pack]
    assert any(pack in error and said in error for error in found.errors)


def test_without_reading_data_a_flipped_bit_is_not_seen(world: World, storage: MemoryStorage) -> None:
    _flip(storage)

    assert world.check(read_data=False).errors == []


def test_a_snapshot_whose_blobs_are_in_no_index_is_damaged(world: World, storage: MemoryStorage) -> None:
    for key in [key for key in storage.files if key[0] is FileKind.INDEX]:
        del storage.files[key]

    found = world.check()

    assert found.damaged_snapshots == [world.snapshots()[0].name]
    assert found.hints == ["2 packs are in no index; the next prune removes them"]


def save(world: World, *nodes: Node) -> None:
    repository = world.opened()
    with Writer(repository) as writer:
        tree = writer.save(BlobKind.TREE, encode_tree([encode_node(node) for node in nodes]))
    save_snapshot(repository, Snapshot(1, tree, ("/x",)))


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([Node(b"..", FILE, 0, 0, 0, 0, 0, 0)], "is named b'..'"),
        ([Node(b"x", FILE, 0, 0, 0, 0, 0, 0, size=5)], "states 5 bytes, but its blobs have 0"),
        ([Node(b"x", FILE, 0, 0, 0, 0, 0, 0, content=(BlobID(bytes(32)),))], "is missing"),
        ([Node(b"b", FILE, 0, 0, 0, 0, 0, 0), Node(b"a", FILE, 0, 0, 0, 0, 0, 0)], "out of order"),
        ([Node(b"a", FILE, 0, 0, 0, 0, 0, 0)] * 2, "two entries"),
    ],
)
def test_a_tree_that_no_honest_program_writes_is_a_fault(world: World, nodes: list[Node], said: str) -> None:
    save(world, *nodes)

    found = world.check()

    assert any(said in error for error in found.errors)
    assert len(found.damaged_snapshots) == 1


def test_each_snapshot_that_shares_a_bad_tree_is_named(world: World, place: Path) -> None:
    bad = Node(b"x", FILE, 0, 0, 0, 0, 0, 0, size=5)
    save(world, bad)
    save(world, bad)

    assert len(world.check().damaged_snapshots) == len({one.name for one in world.snapshots()}) - 1


def test_a_directory_that_is_stored_as_a_file_only_is_a_fault(world: World) -> None:
    repository = world.opened()
    with Writer(repository) as writer:
        tree = writer.save(BlobKind.DATA, encode_tree([]))
    save_snapshot(repository, Snapshot(1, tree, ("/x",)))

    assert any("is not a tree blob" in error for error in world.check().errors)
