"""Repairs on a store that reads wrongly once: what it says is looked at again, and nothing is lost by it."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from becalm_engine.errors import EngineError, InternalError, StorageError, StorageUnavailableError
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import DIR, Node, encode_node, encode_tree
from becalm_engine.ids import PackID
from becalm_engine.repository import snapshots
from becalm_engine.repository.reader import load_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.commands.repairing import (
    cut,
    data_pack,
    first_tree,
    hurt_in,
    index_repaired,
    packs_repaired,
    snapshots_repaired,
)
from tests.engine.commands.stores import TREE, HidingStorage, blobs_of, flip, indexes, three_snapshots
from tests.engine.faults.meddling import (
    LISTINGS,
    READS,
    Fault,
    MeddledStorage,
    cuts_short,
    fails,
    flips,
    leaves_out_the_first,
    returns_nothing,
)
from tests.engine.repository.repositories import made, reopened

Spoil = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def storage() -> HidingStorage:
    return HidingStorage()


@pytest.fixture
def repository(storage: HidingStorage) -> Repository:
    return three_snapshots(storage)


@pytest.fixture
def hurt(storage: HidingStorage) -> Repository:
    return hurt_in(storage)


def meddled(
    storage: HidingStorage, spoil: Spoil, on: frozenset[str] = READS
) -> Iterator[tuple[Repository, Fault]]:
    """Yield repositories on a store that spoils one call: the first, the second, and so on, until no more are made."""
    repository = made()
    for at in itertools.count(1):
        fault = Fault(at, spoil, on)
        repository.storage = MeddledStorage(storage, fault)
        yield repository, fault
        if not fault.happened:
            return


misreads = pytest.mark.parametrize(
    "spoil",
    [fails(StorageError("Input/output error")), flips, cuts_short, returns_nothing],
    ids=["fails", "flips", "cuts", "empty"],
)


@misreads
@pytest.mark.parametrize("read_all", [False, True])
def test_a_misread_makes_no_index_forget_anything(
    repository: Repository, storage: HidingStorage, spoil: Spoil, read_all: bool
) -> None:
    """One pack is known only by its header, and of another, whose header is lost, only the index knows."""
    before, [first, *_] = blobs_of(repository), indexes(repository)
    del storage.files[FileKind.INDEX, first]
    known = {pack.hex() for pack in reopened(repository).index.packs()}
    cut(storage, PackID(bytes.fromhex(min(known))), 1)
    files = dict(storage.files)

    for unlucky, _ in meddled(storage, spoil):
        with contextlib.suppress(EngineError):
            index_repaired(unlucky, read_all=read_all)
        index_repaired(repository)
        assert {place.blob.id for place in reopened(repository).index} == before.keys()
        storage.files.clear()
        storage.files.update(files)


@misreads
@pytest.mark.parametrize("indexed", [True, False])
def test_a_misread_makes_no_repair_lose_a_blob(
    repository: Repository, storage: HidingStorage, spoil: Spoil, indexed: bool
) -> None:
    pack, before = data_pack(repository), blobs_of(repository).keys()
    if not indexed:
        for name in indexes(repository):
            del storage.files[FileKind.INDEX, name]
    files = dict(storage.files)

    for unlucky, fault in meddled(storage, spoil):
        try:
            packs_repaired(unlucky, pack.hex())
        except EngineError:
            assert storage.files.items() >= files.items(), fault.at
        index_repaired(repository)
        assert blobs_of(repository).keys() == before, fault.at
        storage.files.clear()
        storage.files.update(files)


def test_a_pack_that_is_read_differently_a_second_time_stays(
    repository: Repository, storage: HidingStorage
) -> None:
    pack = data_pack(repository)
    key = FileKind.PACK, pack.hex()
    sound = storage.files[key]
    flip(storage, pack, 40)

    def mend(text: str) -> None:
        storage.files[key] = sound

    with pytest.raises(StorageError, match=f"pack {pack.hex()} was read differently"):
        packs_repaired(repository, pack.hex(), say=mend)

    assert storage.files[key] == sound
    assert blobs_of(repository)


def test_what_was_told_to_be_whole_is_saved_or_the_pack_stays(
    repository: Repository, storage: HidingStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, before = data_pack(repository), dict(storage.files)
    monkeypatch.setattr(Writer, "put_sealed", lambda *_: None)

    with pytest.raises(InternalError, match="were not saved; nothing was deleted"):
        packs_repaired(repository, pack.hex())

    assert storage.files == before


def test_an_index_file_that_a_listing_left_out_costs_no_blob(
    repository: Repository, storage: HidingStorage
) -> None:
    """It alone knows what is in a pack whose header is lost."""
    pack, before = data_pack(repository), blobs_of(repository).keys()
    cut(storage, pack, 1)
    files = dict(storage.files)

    for unlucky, fault in meddled(storage, leaves_out_the_first, LISTINGS):
        with contextlib.suppress(EngineError):
            packs_repaired(unlucky, pack.hex())
        assert blobs_of(repository).keys() == before, fault.at
        storage.files.clear()
        storage.files.update(files)


@misreads
def test_a_misread_makes_no_repair_touch_a_whole_snapshot(
    repository: Repository, storage: HidingStorage, spoil: Spoil
) -> None:
    nested = encode_node(Node(b"in", DIR, 0, 0, 0, 0, 0, 0, subtree=first_tree(repository)))
    with Writer(repository) as writer:
        tree = writer.save(TREE, encode_tree([nested]))
    snapshots.save_snapshot(repository, Snapshot(3, tree, ("/3",)))
    before = dict(storage.files)

    for unlucky, fault in meddled(storage, spoil):
        with contextlib.suppress(EngineError):
            assert snapshots_repaired(unlucky, forget=True).damaged == {}
        assert storage.files == before, fault.at


@pytest.mark.parametrize("odd", [StorageUnavailableError("no answer"), StorageError("Input/output error")])
def test_an_error_of_the_store_ends_the_repair_or_is_overcome_and_is_no_damage(
    hurt: Repository, storage: HidingStorage, odd: StorageError
) -> None:
    """Trees are read with their neighbours; where that fails for good, and not for want of a store, one by one."""
    files, ended = dict(storage.files), list[StorageError]()
    expected = snapshots_repaired(hurt, dry_run=True).damaged

    for unlucky, fault in meddled(storage, fails(odd)):
        try:
            damaged = snapshots_repaired(unlucky, forget=True).damaged
        except StorageError as error:
            ended.append(error)
        else:
            assert damaged == expected
            assert not (odd.retryable and fault.happened)
        storage.files.clear()
        storage.files.update(files)
    assert len(ended) > 5
    assert set(ended) == {odd}


def test_a_copy_that_cannot_be_read_may_be_whole_though_another_is_damaged(
    repository: Repository, storage: HidingStorage
) -> None:
    tree = first_tree(repository)
    again = reopened(repository)
    with Writer(again.without_index()) as writer:
        writer.save(TREE, load_blob(again, tree))
    cut_pack, damaged = [place.pack for place in reopened(repository).index.find_all(tree)]
    at = reopened(repository).index.facts_of(damaged).end - 1
    flip(storage, damaged, at)
    cut(storage, cut_pack, len(storage.files[FileKind.PACK, cut_pack.hex()]) - 10)
    before = dict(storage.files)

    with pytest.raises(StorageError, match="ends before byte"):
        snapshots_repaired(repository, forget=True)

    assert storage.files == before


@misreads
def test_a_misread_makes_no_repair_write_or_remove_another_snapshot(
    hurt: Repository, storage: HidingStorage, spoil: Spoil
) -> None:
    files, before = dict(storage.files), snapshots.list_snapshots(hurt)
    [clean] = snapshots_repaired(hurt, forget=True).written
    whole = before[1]
    storage.files.clear()
    storage.files.update(files)

    for unlucky, fault in meddled(storage, spoil):
        with contextlib.suppress(EngineError):
            snapshots_repaired(unlucky, forget=True)
        after = snapshots.list_snapshots(hurt)
        trees = {stored.snapshot.tree for stored in after}
        assert trees <= {clean.snapshot.tree, *(stored.snapshot.tree for stored in before)}, fault.at
        assert whole in after, fault.at
        assert trees >= {clean.snapshot.tree} or before[0] in after, fault.at
        storage.files.clear()
        storage.files.update(files)


def test_a_snapshot_that_is_read_differently_a_second_time_stays(
    repository: Repository, storage: HidingStorage
) -> None:
    location = reopened(repository).index.find(first_tree(repository))
    assert location is not None
    key = FileKind.PACK, location.pack.hex()
    sound = storage.files.pop(key)
    before = snapshots.list_snapshots(repository)

    def put_back(text: str) -> None:
        if "not readable" in text:
            storage.files[key] = sound

    with pytest.raises(StorageError, match="was read differently a second time"):
        snapshots_repaired(repository, forget=True, say=put_back)

    assert snapshots.list_snapshots(repository) == before


def test_an_index_file_that_a_listing_left_out_costs_no_snapshot(
    repository: Repository, storage: HidingStorage
) -> None:
    before = snapshots.list_snapshots(repository)

    for unlucky, fault in meddled(storage, leaves_out_the_first, LISTINGS):
        with contextlib.suppress(EngineError):
            snapshots_repaired(unlucky, forget=True)
        assert snapshots.list_snapshots(repository) == before, fault.at
