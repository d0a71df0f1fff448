import functools
import itertools
import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.commands import check_packs
from becalm_engine.commands.check import check
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import LockedError, StorageDeniedError, StorageError, StorageUnavailableError
from becalm_engine.format.crypto import IV_BYTES
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import FILE, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID, PackID, blob_id
from becalm_engine.policy.subset import Group
from becalm_engine.repository.reader import load_blob
from becalm_engine.repository.snapshots import Filter, save_snapshot
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.commands.planted import folder, node, plant, plant_deep
from tests.engine.commands.stores import HidingStorage
from tests.engine.commands.world import World
from tests.engine.storage.memory import MemoryStorage


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


def test_a_pack_that_a_listing_leaves_out_is_told_and_is_no_damage(place: Path) -> None:
    storage = HidingStorage()
    world = World(storage)
    (place / "file").write_bytes(os.urandom(3000))
    world.backup(place)
    _, name = largest_pack(storage)
    storage.hides = lambda _, one: one == name

    found = world.check()

    assert found.errors == [f"pack {name} exists, but memory does not list it"]
    assert (found.broken_packs, found.damaged_snapshots) == ([], [])


def test_nothing_is_called_damaged_that_somebody_may_have_removed_meanwhile(
    world: World, storage: MemoryStorage
) -> None:
    repository = world.opened()
    checked = functools.partial(check, repository, read_data=False, progress=Progress(), say=lambda _: None)

    def lost() -> None:
        raise LockedError("a prune")

    repository.guard = lost
    assert checked().errors == []
    del storage.files[largest_pack(storage)]

    with pytest.raises(LockedError, match="a prune"):
        checked()


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


class Watched(MemoryStorage):
    """Notes how much of packs is read at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        self.lengths.append(length)
        return super().load_range(kind, name, offset=offset, length=length)


@pytest.mark.parametrize("at", [100, 350_000, 799_000])
def test_a_pack_is_read_in_pieces_and_judged_as_a_whole(
    place: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(check_packs, "_PIECE_BYTES", 50_000)
    storage = Watched()
    world = World(storage)
    (place / "source").mkdir()
    for number in range(40):
        (place / "source" / f"f{number}").write_bytes(os.urandom(20_000))
    world.backup(place / "source")
    storage.lengths.clear()

    assert world.check().errors == []
    assert max(storage.lengths) <= 50_000
    assert sum(storage.lengths) >= 800_000

    kind, pack = largest_pack(storage)
    data = bytearray(storage.files[kind, pack])
    data[at] ^= 1
    storage.files[kind, pack] = bytes(data)
    said = [error for error in world.check().errors if error.startswith(f"pack {pack}")]
    assert ["another hash" in said[0], "message authentication code" in said[1], len(said)] == [True, True, 2]


def test_a_pack_is_asked_for_twice_however_long_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On S3 each request is a round trip: one for what lies in the pack, one for the pack."""

    class Counting(MemoryStorage):
        """Notes the requests, as a server sees them."""

        asked: ClassVar[list[str]] = []

        def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
            self.asked.append(f"{name} from {offset}")
            return super().load_range(kind, name, offset=offset, length=length)

        def load_pieces(
            self, kind: FileKind, name: str, lengths: Sequence[int]
        ) -> Generator[bytes, None, None]:
            self.asked.append(f"{name} as a whole")
            data, at = self.load(kind, name), itertools.accumulate(lengths, initial=0)
            return (data[offset : offset + length] for offset, length in zip(at, lengths, strict=False))

    monkeypatch.setattr(check_packs, "_PIECE_BYTES", 50_000)
    world = World(storage := Counting())
    (place / "source").mkdir()
    (place / "source" / "file").write_bytes(os.urandom(1_000_000))
    world.backup(place / "source")
    storage.asked.clear()

    assert world.check().errors == []
    packs = [name for kind, name in storage.files if kind is FileKind.PACK]
    assert len(storage.asked) == 2 * len(packs)
    assert all(f"{pack} as a whole" in storage.asked for pack in packs)


@given(st.integers(0, 300), st.integers(1, 8), st.integers(1, 4))
def test_several_processes_get_ever_fewer_packs_at_a_time(count: int, processes: int, most: int) -> None:
    tasks = [check_packs.Task(PackID(number.to_bytes(32)), whole=True) for number in range(count)]

    shares = list(check_packs._shares(tasks, processes, most=most))

    assert [task for share in shares for task in share] == tasks
    lengths = [len(share) for share in shares]
    assert lengths == sorted(lengths, reverse=True)
    assert set(lengths) <= set(range(1, most + 1))
    assert set(lengths[-2 * processes :]) <= {1}


def test_a_header_that_is_not_sealed_is_told_beside_the_hash(world: World, storage: MemoryStorage) -> None:
    key = largest_pack(storage)
    data = bytearray(storage.files[key])
    data[-10] ^= 1
    storage.files[key] = bytes(data)

    said = [error for error in world.check().errors if error.startswith(f"pack {key[1]}")]

    assert ["another hash" in said[0], "message authentication code" in said[1], len(said)] == [True, True, 2]


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


def test_a_snapshot_that_shares_something_damaged_deep_below_is_named_and_the_fault_is_told_once(
    world: World,
) -> None:
    lost = BlobID(bytes(31) + b"\1")
    bad = plant(world, [folder(b"inner", plant(world, [folder(b"lost", lost)]))])
    sound = plant(world, [])
    names = []
    for number, tree in enumerate((bad, bad, sound)):
        top = plant(world, [node(b"file"), folder(b"sub", tree, mtime=number)])
        names.append(save_snapshot(world.opened(), Snapshot(number + 1, top, ("/x",))).name)

    found = world.check()

    assert found.damaged_snapshots == names[:2]
    assert found.errors == [
        f"snapshot {names[0][:8]}: /sub/inner/lost: blob {lost.hex()} is in no index",
    ]


def test_a_file_whose_blob_is_damaged_is_named_with_all_its_snapshots(
    world: World, storage: MemoryStorage, place: Path
) -> None:
    world.backup(place / "source")
    _flip(storage)

    found = world.check()

    file = place / "source" / "sub" / "file"
    assert found.damaged_snapshots == [one.name for one in world.snapshots()]
    [told] = [error for error in found.errors if error.startswith("snapshot")]
    assert f"{file.parent}: file 'file': blob " in told
    assert told.endswith("is damaged")


def test_a_blob_that_another_pack_has_too_is_not_lost(world: World, storage: MemoryStorage) -> None:
    pack = largest_pack(storage)
    copy = MemoryStorage()
    copy.files.update(storage.files)
    repository = world.opened()
    [blob] = repository.index.by_pack()[PackID(bytes.fromhex(pack[1]))]
    content = load_blob(repository, blob.id)
    with Writer(repository.without_index()) as writer:
        writer.save_as(blob.id, BlobKind.DATA, content)
    _flip(storage)

    found = world.check()

    assert len(found.broken_packs) == 1
    assert found.damaged_snapshots == []


def test_of_a_pack_with_one_bad_blob_the_others_are_not_lost(
    world: World, storage: MemoryStorage, place: Path
) -> None:
    for name in ("bad", "good"):
        (place / "two").mkdir(exist_ok=True)
        (place / "two" / name).write_bytes(os.urandom(5000))
    world.backup(place / "two")
    _flip(storage)

    found = world.check()

    assert len(found.damaged_snapshots) == 1
    assert len([error for error in found.errors if error.startswith("snapshot")]) == 1


@pytest.mark.parametrize("more", [1, -1, 10**9])
def test_a_length_that_is_not_that_of_the_content_is_a_fault(world: World, more: int) -> None:
    repository, content = world.opened(), b"content" * 50
    blob = blob_id(content)
    sealed = repository.envelope.seal(repository.codec.compress(content), iv=bytes(IV_BYTES))
    with Writer(repository) as writer:
        packed = PackedBlob(blob, BlobKind.DATA, 0, len(sealed), len(content) + more)
        writer.put_sealed(packed, bytes(sealed))
    tree = plant(world, [node(b"file", size=350 + more, content=(blob,))])
    damaged = save_snapshot(world.opened(), Snapshot(1, tree, ("/x",)))

    found = world.check()

    assert found.damaged_snapshots == [damaged.name]
    assert any("bytes came out" in error or "more than" in error for error in found.errors)
    assert any("/: file 'file': blob" in error for error in found.errors)


@pytest.mark.parametrize("kind", [FileKind.SNAPSHOT, FileKind.INDEX])
def test_a_document_that_cannot_be_read_is_named_and_the_check_goes_on(
    world: World, storage: MemoryStorage, kind: FileKind
) -> None:
    storage.files[kind, "ab" * 32] = b"garbage"

    found = world.check()

    assert any("ab" * 32 in error for error in found.errors)
    assert found.damaged_snapshots == (["ab" * 32] if kind is FileKind.SNAPSHOT else [])
    assert found.broken_index is (kind is FileKind.INDEX)
    assert found.broken_packs == []


@pytest.mark.parametrize("kind", [FileKind.SNAPSHOT, FileKind.PACK])
@pytest.mark.parametrize("error", [StorageUnavailableError("away"), StorageDeniedError("not allowed")])
@pytest.mark.parametrize("read_data", [False, True])
def test_a_store_that_is_away_or_refuses_is_no_damage(
    world: World, storage: MemoryStorage, kind: FileKind, error: StorageError, read_data: bool
) -> None:
    class Away(MemoryStorage):
        def load(self, asked: FileKind, name: str) -> bytes:
            if asked is kind:
                raise error
            return super().load(asked, name)

        def load_range(self, asked: FileKind, name: str, *, offset: int, length: int) -> bytes:
            if asked is kind:
                raise error
            return super().load_range(asked, name, offset=offset, length=length)

    away = Away()
    away.files.update(storage.files)
    world.storage = away

    with pytest.raises(type(error)):
        world.check(read_data=read_data)


def test_only_the_packs_of_a_subset_are_read(world: World, storage: MemoryStorage, place: Path) -> None:
    pack = largest_pack(storage)[1]
    _flip(storage)
    number = int(pack[:2], 16) + 1

    inside = world.check(read_data=False, subset=Group(number, 256))
    outside = world.check(read_data=False, subset=Group(number % 256 + 1, 256))

    assert inside.broken_packs == [pack]
    assert outside.errors == []


def test_only_snapshots_that_are_wanted_are_looked_at(world: World) -> None:
    save(world, Node(b"x", FILE, 0, 0, 0, 0, 0, 0, size=5))

    assert world.check(wanted=Filter(hosts=("node",))).errors == []
    assert world.check(wanted=Filter(paths=("/x",))).errors != []


def test_a_tree_that_is_deep_is_checked_in_little_memory(world: World) -> None:
    tree = plant_deep(world, 3000, [node(b"bad", size=3)], name=b"n" * 100)
    save_snapshot(world.opened(), Snapshot(1, tree, ("/x",)))

    [error] = world.check().errors

    assert error.endswith("file 'bad': states 3 bytes, but its blobs have 0")


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
