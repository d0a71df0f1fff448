"""The tree of an empty directory is lost: its id tells its text, so that it is stored again."""

from collections.abc import Callable

import pytest

from becalm_engine.commands.check import check
from becalm_engine.commands.progress import Progress
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import DIR, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID, blob_id
from becalm_engine.repository import snapshots
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.commands.repairing import index_repaired, packs_repaired, snapshots_repaired
from tests.engine.commands.stores import TREE, HidingStorage, flip, opened
from tests.engine.repository.repositories import made, reopened

EMPTY = encode_tree(())
EMPTY_TREE = blob_id(EMPTY)


@pytest.fixture
def storage() -> HidingStorage:
    return HidingStorage()


@pytest.fixture
def repository(storage: HidingStorage) -> Repository:
    """Two snapshots: one with an empty folder, one of which that folder is all."""
    repository = made(storage)
    with Writer(repository) as writer:
        node = Node(b"empty", DIR, 0, 0, 0, 0, 0, 0, subtree=EMPTY_TREE)
        tree = writer.save(TREE, encode_tree([encode_node(node)]))
    snapshots.save_snapshot(repository, Snapshot(1, tree, ("/a",)))
    snapshots.save_snapshot(repository, Snapshot(2, EMPTY_TREE, ("/b",)))
    return repository


def never_stored(_: HidingStorage, __: Repository) -> None:
    """The index does not know it either."""


def damaged(storage: HidingStorage, repository: Repository) -> None:
    with Writer(reopened(repository)) as writer:
        writer.save(TREE, EMPTY)
    place = reopened(repository).index.find(EMPTY_TREE)
    assert place is not None
    flip(storage, place.pack, place.blob.offset + 20)


def in_a_pack_that_is_gone(storage: HidingStorage, repository: Repository) -> None:
    damaged(storage, repository)
    place = reopened(repository).index.find(EMPTY_TREE)
    assert place is not None
    del storage.files[FileKind.PACK, place.pack.hex()]


def errors_of(repository: Repository) -> list[str]:
    return [
        str(one)
        for one in check(opened(repository), read_data=True, progress=Progress(), say=lambda _: None).errors
    ]


Lose = Callable[[HidingStorage, Repository], None]
LOSSES = pytest.mark.parametrize("lose", [never_stored, damaged, in_a_pack_that_is_gone])


@LOSSES
def test_it_is_stored_again_and_no_snapshot_changes(
    repository: Repository, storage: HidingStorage, lose: Lose
) -> None:
    lose(storage, repository)
    before, told = snapshots.list_snapshots(repository), list[str]()

    repair = snapshots_repaired(repository, forget=True, told=told)

    assert (repair.empty_lost, repair.damaged, repair.written, repair.removed) == (True, {}, [], [])
    assert [line for line in told if "stored again as the empty directory" in line]
    assert snapshots.list_snapshots(repository) == before
    assert load_tree(reopened(repository), EMPTY_TREE) == []
    assert not snapshots_repaired(repository).empty_lost


def test_a_check_finds_nothing_any_more(repository: Repository) -> None:
    assert errors_of(repository)

    snapshots_repaired(repository)

    assert errors_of(repository) == []


@pytest.mark.parametrize("lose", [damaged, in_a_pack_that_is_gone])
def test_what_an_index_had_of_it_can_be_repaired_then(
    repository: Repository, storage: HidingStorage, lose: Lose
) -> None:
    lose(storage, repository)
    place = reopened(repository).index.find(EMPTY_TREE)
    assert place is not None
    snapshots_repaired(repository)

    if (FileKind.PACK, place.pack.hex()) in storage.files:
        packs_repaired(repository, place.pack.hex())
    index_repaired(repository)

    assert errors_of(repository) == []


@LOSSES
def test_a_dry_run_only_tells(repository: Repository, storage: HidingStorage, lose: Lose) -> None:
    lose(storage, repository)
    before, told = dict(storage.files), list[str]()

    assert snapshots_repaired(repository, dry_run=True, told=told).empty_lost

    assert [line for line in told if line.startswith("  dir '/empty': stored again")]
    assert storage.files == before


def test_what_is_lost_beside_it_is_repaired_as_well(repository: Repository, storage: HidingStorage) -> None:
    damaged(storage, repository)
    with Writer(reopened(repository)) as writer:
        names = {b"empty": EMPTY_TREE, b"gone": BlobID(bytes(32))}
        nodes = [Node(name, DIR, 0, 0, 0, 0, 0, 0, subtree=tree) for name, tree in names.items()]
        tree = writer.save(TREE, encode_tree(map(encode_node, nodes)))
    snapshots.save_snapshot(repository, Snapshot(3, tree, ("/c",)))

    [new] = snapshots_repaired(repository, forget=True).written

    again = reopened(repository)
    assert {node.subtree for node in load_tree(again, new.snapshot.tree)} == {EMPTY_TREE}
    assert load_tree(again, EMPTY_TREE) == []


def test_it_is_stored_only_where_a_snapshot_needs_it(storage: HidingStorage) -> None:
    repository = made(storage)
    with Writer(repository) as writer:
        tree = writer.save(TREE, encode_tree([encode_node(Node(b"f", "file", 0, 0, 0, 0, 0, 0))]))
    snapshots.save_snapshot(repository, Snapshot(1, tree, ("/a",)))
    before = dict(storage.files)

    assert not snapshots_repaired(repository).empty_lost

    assert storage.files == before
