import contextlib
import random
from collections.abc import Callable

import pytest

from becalm_engine.commands import prune
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.prune import Prepared
from becalm_engine.commands.repack import copy_blobs
from becalm_engine.errors import DamagedError, LockedError, StoppedError, StorageError, UsageError
from becalm_engine.format import index_file
from becalm_engine.format.compression import Compression
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import FILE, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID, PackID
from becalm_engine.policy.prune import Limits, UnusedLimit
from becalm_engine.repository import index_files, snapshots
from becalm_engine.repository.reader import load_blob, load_tree
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.commands.stores import (
    HidingStorage,
    blobs_of,
    flip,
    forget,
    indexes,
    opened,
    save,
    three_snapshots,
)
from tests.engine.repository.repositories import contents, made, packs, reopened
from tests.engine.storage.memory import MemoryStorage

DATA, TREE = BlobKind.DATA, BlobKind.TREE
NOTHING_UNUSED = Limits(UnusedLimit(size_bytes=0))


@pytest.fixture
def storage() -> HidingStorage:
    return HidingStorage()


@pytest.fixture
def repository(storage: HidingStorage) -> Repository:
    return three_snapshots(storage)


def prepared(
    repository: Repository, limits: Limits = NOTHING_UNUSED, *, remove_all: bool = False
) -> Prepared:
    return prune.prepare(
        repository, limits, progress=Progress(), say=lambda _: None, allow_remove_all=remove_all
    )


def pruned(repository: Repository, limits: Limits = NOTHING_UNUSED, *, remove_all: bool = False) -> Prepared:
    """Prune as another process would."""
    again = opened(repository)
    plan = prepared(again, limits, remove_all=remove_all)
    prune.execute(again, plan, progress=Progress(), say=lambda _: None, pack_bytes=8000)
    return plan


def test_what_no_snapshot_needs_is_gone_and_all_else_is_there_once(repository: Repository) -> None:
    forget(repository, 0)

    pruned(repository)

    assert sorted(blobs_of(repository).values()) == [1] * (15 + 2)
    assert len(indexes(repository)) <= 2


def test_a_second_prune_finds_nothing_to_do_and_then_writes_nothing(
    repository: Repository, storage: HidingStorage
) -> None:
    forget(repository, 0)
    pruned(repository)
    pruned(repository)
    before = dict(storage.files)

    plan = pruned(repository).plan

    assert (plan.unreferenced, plan.remove, plan.repack) == ((), (), ())
    assert storage.files == before


def test_blobs_stored_twice_are_stored_once_afterwards(repository: Repository) -> None:
    twice = contents(20)[:10]
    save(repository.without_index(), 7, twice)
    assert 2 in blobs_of(repository).values()

    pruned(repository)

    assert set(blobs_of(repository).values()) == {1}


def test_packs_in_no_index_are_removed(repository: Repository, storage: HidingStorage) -> None:
    storage.save(FileKind.PACK, "ab" * 32, b"left over")

    pruned(repository)

    assert "ab" * 32 not in packs(repository)


def test_a_file_that_is_the_text_of_a_directory_stays(repository: Repository) -> None:
    with Writer(repository) as writer:
        text = encode_tree([])
        writer.put(writer_id := writer.save(TREE, text), DATA, text)
        node = Node(b"x", FILE, 0, 0, 0, 0, 0, 0, size=len(text), content=(writer_id,))
        lost = writer.save(DATA, b"unused")
        tree = writer.save(TREE, encode_tree([encode_node(node)]))
    snapshots.save_snapshot(repository, Snapshot(9, tree, ("/9",)))
    snapshots.save_snapshot(repository, Snapshot(9, writer_id, ("/empty",)))

    pruned(repository)

    again = reopened(repository)
    assert {placed.blob.kind for placed in again.index if placed.blob.id == writer_id} == {DATA, TREE}
    assert lost not in again.index


def test_uncompressed_blobs_are_compressed_if_wanted(storage: HidingStorage) -> None:
    repository = made(storage, compression=Compression.OFF)
    save(repository, 0, [b"a" * 5000, b"b" * 5000])

    pruned(repository, Limits(compress_data=True))

    assert all(placed.blob.plain_bytes for placed in reopened(repository).index)


def test_what_gains_nothing_is_compressed_once_if_that_is_wanted(storage: HidingStorage) -> None:
    repository = made(storage)
    save(repository, 0, [random.Random(1).randbytes(1 << 20)])
    assert not all(placed.blob.plain_bytes for placed in reopened(repository).index)

    pruned(repository, Limits(compress_data=True))
    before = packs(repository)
    assert all(placed.blob.plain_bytes for placed in reopened(repository).index)
    pruned(reopened(repository), Limits(compress_data=True))

    assert packs(repository) == before


def test_copies_are_the_very_bytes_that_were_stored(repository: Repository, storage: HidingStorage) -> None:
    before = b"".join(data for (kind, _), data in storage.files.items() if kind is FileKind.PACK)
    forget(repository, 0)

    pruned(repository)

    again = reopened(repository)
    for placed in again.index:
        stored = storage.load_range(
            FileKind.PACK, placed.pack.hex(), offset=placed.blob.offset, length=placed.blob.stored_bytes
        )
        assert stored in before


def test_a_blob_that_is_damaged_in_one_pack_is_copied_from_another(
    repository: Repository, storage: HidingStorage
) -> None:
    save(repository.without_index(), 7, contents(20)[:10])
    again = reopened(repository)
    twice = next(p for p in again.index if len(again.index.find_all(p.blob.id)) > 1 and p.blob.kind is DATA)
    flip(storage, twice.pack, twice.blob.offset + 40)
    target = again.without_index()

    with Writer(target) as writer:
        copy_blobs(again, writer, twice.pack, [twice.blob], compress_data=False, progress=Progress())

    assert load_blob(target, twice.blob.id)


def used_pack(repository: Repository) -> PackID:
    """Return a pack with data that the last snapshot needs, and something that nobody does."""
    last = snapshots.list_snapshots(repository)[-1]
    again = reopened(repository)
    location = again.index.find(last.snapshot.tree)
    assert location is not None
    return location.pack


def _lose_pack(repository: Repository, storage: MemoryStorage) -> None:
    del storage.files[FileKind.PACK, used_pack(repository).hex()]


def _cut_pack(repository: Repository, storage: MemoryStorage) -> None:
    key = FileKind.PACK, used_pack(repository).hex()
    storage.files[key] = storage.files[key][:-1]


def _lose_index(repository: Repository, storage: MemoryStorage) -> None:
    for name in indexes(repository):
        del storage.files[FileKind.INDEX, name]


def _break_index(repository: Repository, storage: MemoryStorage) -> None:
    storage.files[FileKind.INDEX, min(indexes(repository))] = b"nonsense"


def _break_snapshot(repository: Repository, storage: MemoryStorage) -> None:
    key = FileKind.SNAPSHOT, snapshots.list_snapshots(repository)[-1].name
    storage.files[key] = storage.files[key][:-1]


def _break_tree(repository: Repository, storage: MemoryStorage) -> None:
    flip(storage, used_pack(repository), 20)


@pytest.mark.parametrize(
    "damage", [_lose_pack, _cut_pack, _lose_index, _break_index, _break_snapshot, _break_tree]
)
def test_nothing_is_deleted_where_anything_needed_is_damaged(
    repository: Repository, storage: HidingStorage, damage: Callable[[Repository, MemoryStorage], None]
) -> None:
    forget(repository, 0)
    damage(repository, storage)
    before = dict(storage.files)

    with pytest.raises((DamagedError, StorageError)):
        pruned(repository)

    assert storage.files == before


def test_a_damaged_blob_that_would_have_to_be_copied_ends_the_run_with_all_old_packs_there(
    repository: Repository, storage: HidingStorage
) -> None:
    forget(repository, 0)
    [mixed, *_] = prepared(opened(repository)).plan.repack
    again = reopened(repository)
    used = prepared(again).to_copy
    blob = next(p.blob for p in again.index if p.pack == mixed and used.get(p.blob.kind, p.blob.id))
    flip(storage, mixed, blob.offset + 40)
    before = packs(repository)

    with pytest.raises((DamagedError, StorageError), match=blob.id.hex()):
        pruned(repository)

    assert before <= packs(repository)


@pytest.mark.parametrize("kind", [FileKind.SNAPSHOT, FileKind.INDEX, FileKind.PACK])
@pytest.mark.parametrize("share", [0.0, 0.5], ids=["empty", "partial"])
def test_a_listing_that_leaves_something_out_costs_no_data(
    repository: Repository, storage: HidingStorage, kind: FileKind, share: float
) -> None:
    forget(repository, 0)
    needed = {
        node_blob
        for stored in snapshots.list_snapshots(repository)
        for node_blob in _needed(reopened(repository), stored.snapshot.tree)
    }
    for seed in range(12):
        hidden = random.Random(seed)
        gone = {n: hidden.random() >= share for (k, n) in sorted(storage.files, key=str) if k is kind}
        seen_once: set[str] = set()

        def hides(k: FileKind, name: str, gone: dict[str, bool] = gone, seen: set[str] = seen_once) -> bool:
            """Hide a file the first time it would be listed."""
            if k is not kind or not gone.get(name) or name in seen:
                return False
            seen.add(name)
            return True

        storage.hides = hides
        with contextlib.suppress(DamagedError, StorageError, UsageError):
            pruned(repository)
        storage.hides = lambda _kind, _name: False
        again = reopened(repository)
        for blob in needed:
            load_blob(again, blob)


def _needed(repository: Repository, tree: BlobID) -> set[BlobID]:
    return {tree, *(blob for node in load_tree(repository, tree) for blob in node.content)}


def test_a_pack_that_is_there_but_was_not_listed_ends_the_run(
    repository: Repository, storage: HidingStorage
) -> None:
    forget(repository, 0, 1, 2)
    save(repository.without_index(), 8, contents(3, seed=8))
    unneeded = min(packs(repository) - {used_pack(repository).hex()})
    storage.hides = lambda kind, name: kind is FileKind.PACK and name == unneeded

    with pytest.raises((StorageError, DamagedError)):
        pruned(repository)


def test_a_lost_pack_that_nobody_needs_is_forgotten(repository: Repository, storage: HidingStorage) -> None:
    save(repository, 8, contents(6, seed=8), pack_bytes=100_000)
    unneeded = used_pack(repository)
    forget(repository, 8)
    del storage.files[FileKind.PACK, unneeded.hex()]

    plan = pruned(repository).plan

    assert unneeded in plan.missing
    assert unneeded not in reopened(repository).index.packs()


def test_packs_that_two_index_files_list_differently_stay_as_they_are(
    repository: Repository, storage: HidingStorage
) -> None:
    forget(repository, 0)
    again = reopened(repository)
    first = prepared(opened(repository)).plan
    target = [*first.remove, *first.repack][0]
    listed = [p.blob for p in again.index if p.pack == target]
    copy = opened(repository)
    save(copy.without_index(), 7, contents(20))  # so that nothing depends on it
    copy.save_document(FileKind.INDEX, index_file.encode([(target, listed[:-1])]))

    plan = pruned(repository).plan

    assert target in plan.doubtful
    assert target.hex() in packs(repository)
    assert target in index_files.load(opened(repository)).doubtful


def test_without_a_snapshot_nothing_is_deleted_unless_it_is_meant(repository: Repository) -> None:
    forget(repository, 0, 1, 2)

    with pytest.raises(UsageError, match="all data would be deleted"):
        pruned(repository)
    assert packs(repository)
    pruned(repository, remove_all=True)

    assert (packs(repository), indexes(repository)) == (set(), set())


def test_a_snapshot_that_appears_meanwhile_ends_the_run(repository: Repository) -> None:
    forget(repository, 0)
    again = opened(repository)
    plan = prepared(again)
    before = packs(repository)
    snapshots.save_snapshot(repository, Snapshot(9, BlobID(bytes(32)), ("/9",)))

    with pytest.raises(StorageError, match="the list of snapshots has changed"):
        prune.execute(again, plan, progress=Progress(), say=lambda _: None)

    assert packs(repository) == before


def test_an_index_that_appears_meanwhile_ends_the_run(repository: Repository) -> None:
    again = opened(repository)
    plan = prepared(again)
    with Writer(repository) as writer:
        writer.save(DATA, b"new")

    with pytest.raises(StorageError, match="the list of index files has changed"):
        prune.execute(again, plan, progress=Progress(), say=lambda _: None)


@pytest.mark.parametrize("which", ["kept", "new"])
def test_a_pack_that_is_to_stay_and_is_no_longer_listed_ends_the_run(
    repository: Repository, storage: HidingStorage, which: str
) -> None:
    forget(repository, 0)
    again = opened(repository)
    plan = prepared(again)
    before = packs(repository)
    going = {pack.hex() for pack in (*plan.plan.remove, *plan.plan.repack)}
    storage.hides = lambda kind, name: (
        kind is FileKind.PACK and (name not in before if which == "new" else name in before - going)
    )

    with pytest.raises(StorageError, match="packs that have to stay"):
        prune.execute(again, plan, progress=Progress(), say=lambda _: None)

    storage.hides = lambda _kind, _name: False
    assert before <= packs(repository)


def test_a_lost_lock_ends_the_run_before_anything_is_deleted(
    repository: Repository, storage: HidingStorage
) -> None:
    forget(repository, 0)
    again = opened(repository)
    plan = prepared(again)
    before = dict(storage.files)

    def lost() -> None:
        raise LockedError("lost")

    again.guard = lost
    with pytest.raises(LockedError):
        prune.execute(again, plan, progress=Progress(), say=lambda _: None)

    assert storage.files == before


def test_a_signal_ends_the_run_and_the_next_one_completes(repository: Repository) -> None:
    forget(repository, 0)
    again, progress = opened(repository), Progress()
    plan = prepared(again)
    progress.stop.set()

    with pytest.raises(StoppedError):
        prune.execute(again, plan, progress=progress, say=lambda _: None)
    pruned(repository)

    assert set(blobs_of(repository).values()) == {1}


def test_forgotten_snapshots_count_as_removed(repository: Repository) -> None:
    again = opened(repository)
    first = snapshots.list_snapshots(repository)[0]

    plan = prune.prepare(
        again, NOTHING_UNUSED, progress=Progress(), say=lambda _: None, forgotten=[first.name]
    ).plan

    assert plan.statistics.unused.blobs == 6


@pytest.mark.parametrize("turn", range(6))  # which copy comes first is left to the names of index files
def test_of_two_copies_of_a_directory_the_damaged_one_goes(turn: int) -> None:
    storage = HidingStorage()
    repository = three_snapshots(storage)
    root = snapshots.list_snapshots(repository)[0].snapshot.tree
    place = reopened(repository).index.find(root)
    assert place is not None
    content = load_blob(reopened(repository), root)
    with Writer(repository) as writer:
        writer.put(root, TREE, content)
    flip(storage, place.pack, place.blob.offset + 20)

    pruned(repository)

    after = reopened(repository)
    assert load_blob(after, root) == content
    assert len(after.index.find_all(root)) == 1
