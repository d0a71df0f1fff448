from dataclasses import replace

import pytest

from becalm_engine.commands.check import check
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.recover import recover
from becalm_engine.errors import DamagedError, StorageError, UsageError
from becalm_engine.format import index_file
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import encode_tree
from becalm_engine.ids import BlobID, FileID, PackID, parse_id
from becalm_engine.repository import index_files, pack_header, snapshots
from becalm_engine.repository.pack_header import read_header
from becalm_engine.repository.reader import load_blob, load_tree
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.commands.repairing import (
    cut,
    data_pack,
    hurt_in,
    in_parts,
    index_repaired,
    packs_repaired,
    pruned,
    snapshots_repaired,
)
from tests.engine.commands.stores import (
    DATA,
    TREE,
    HidingStorage,
    blobs_of,
    flip,
    forget,
    indexes,
    opened,
    save,
    three_snapshots,
)
from tests.engine.repository.repositories import contents, packs, reopened


@pytest.fixture
def storage() -> HidingStorage:
    return HidingStorage()


@pytest.fixture
def repository(storage: HidingStorage) -> Repository:
    return three_snapshots(storage)


# --- repair index


def test_a_pack_that_index_files_list_in_parts_is_read_whole_and_listed_whole_again(
    repository: Repository, storage: HidingStorage
) -> None:
    """restic before 0.10 wrote such indexes."""
    in_parts(repository)

    found = check(opened(repository), read_data=True, progress=Progress(), say=lambda _: None)
    assert (found.damaged_snapshots, found.broken_packs, found.broken_index) == ([], [], True)
    assert all("is not listed the same by all index files" in error for error in found.errors)
    assert not snapshots_repaired(repository, forget=True).damaged
    before = blobs_of(repository)
    assert index_repaired(repository)

    found = check(opened(repository), read_data=True, progress=Progress(), say=lambda _: None)
    assert found.errors == []
    assert blobs_of(repository) == before


def test_a_right_index_is_left_alone(repository: Repository, storage: HidingStorage) -> None:
    before = dict(storage.files)

    assert not index_repaired(repository)

    assert storage.files == before


@pytest.mark.parametrize("read_all", [False, True])
def test_an_index_that_is_lost_is_read_from_the_packs(
    repository: Repository, storage: HidingStorage, read_all: bool
) -> None:
    before = blobs_of(repository)
    for name in list(indexes(repository))[1:]:
        del storage.files[FileKind.INDEX, name]

    repair = index_repaired(repository, read_all=read_all)

    assert repair.added
    assert blobs_of(repository) == before


@pytest.mark.parametrize("read_all", [False, True])
def test_a_broken_index_file_is_told_and_replaced(
    repository: Repository, storage: HidingStorage, read_all: bool
) -> None:
    before = blobs_of(repository)
    broken = min(indexes(repository))
    storage.files[FileKind.INDEX, broken] = b"nonsense"
    told: list[str] = []

    index_repaired(repository, read_all=read_all, say=told.append)

    assert any(f"removing invalid index {broken}" in line for line in told)
    assert blobs_of(repository) == before


def test_what_is_dropped_is_told_before_it_is(repository: Repository, storage: HidingStorage) -> None:
    lost = min(packs(repository))
    del storage.files[FileKind.PACK, lost]
    before = indexes(repository)
    when_told: list[bool] = []

    def say(text: str) -> None:
        if lost in text:
            when_told.append(before <= indexes(repository))

    index_repaired(repository, say=say)

    assert when_told == [True]
    assert lost not in {pack.hex() for pack in reopened(repository).index.packs()}


@pytest.mark.parametrize("read_all", [False, True])
def test_a_pack_that_was_cut_short_stays_as_the_index_has_it(
    repository: Repository, storage: HidingStorage, read_all: bool
) -> None:
    pack, told = data_pack(repository), list[str]()
    before = reopened(repository).index.by_pack()[pack]
    cut(storage, pack, 1)

    repair = index_repaired(repository, read_all=read_all, say=told.append)

    assert (repair.kept, repair.dropped, bool(repair)) == ([pack], [], True)
    assert f"`becalm repair packs {pack.hex()}`" in told[-2 if read_all else -1]
    assert reopened(repository).index.by_pack()[pack] == before


def test_a_pack_that_two_index_files_list_differently_stays_if_its_header_is_lost(
    repository: Repository, storage: HidingStorage
) -> None:
    again, pack = reopened(repository), data_pack(repository)
    listed = again.index.by_pack()[pack]
    again.save_document(FileKind.INDEX, index_file.encode([(pack, listed[:-1])]))
    cut(storage, pack, 1)

    repair = index_repaired(repository)

    assert (repair.kept, repair.dropped) == ([pack], [])
    assert packs_repaired(repository, pack.hex()).saved == len(listed)


def test_a_pack_that_was_cut_short_and_is_in_no_index_is_left_out(
    repository: Repository, storage: HidingStorage
) -> None:
    pack, told = data_pack(repository), list[str]()
    for name in indexes(repository):
        del storage.files[FileKind.INDEX, name]
    cut(storage, pack, 1)

    repair = index_repaired(repository, say=told.append)

    assert (repair.kept, repair.dropped) == ([], [pack])
    assert f"leaving out pack file {pack.hex()}" in "\n".join(told)
    assert pack not in reopened(repository).index.packs()
    assert pack.hex() in packs(repository)


def test_a_check_names_a_pack_that_was_kept_and_a_prune_leaves_it_alone(
    repository: Repository, storage: HidingStorage
) -> None:
    pack = data_pack(repository)
    cut(storage, pack, 1)
    index_repaired(repository)
    before = dict(storage.files)

    found = check(opened(repository), read_data=True, progress=Progress(), say=lambda _: None)
    assert found.broken_packs == [pack.hex()]
    assert found.damaged_snapshots
    with pytest.raises(
        DamagedError, match=f"pack {pack.hex()} is not as the index says. Nothing was deleted"
    ):
        pruned(repository)
    assert storage.files == before
    save(repository.without_index(), 7, contents(20))
    forget(repository, 0, 1, 2)
    pruned(repository)

    assert pack.hex() in packs(repository)
    assert pack in reopened(repository).index.packs()


@pytest.mark.parametrize("index_first", [True, False])
@pytest.mark.parametrize("size_bytes", [1, 200, 5000])
def test_repairs_in_either_order_save_all_that_is_whole_in_a_pack_that_was_cut_short(
    repository: Repository, storage: HidingStorage, index_first: bool, size_bytes: int
) -> None:
    sound, pack = reopened(repository), data_pack(repository)
    blobs = sound.index.by_pack()[pack]
    contained = {blob.id: load_blob(sound, blob.id) for blob in blobs}
    cut(storage, pack, size_bytes)
    left = len(storage.files[FileKind.PACK, pack.hex()])
    whole = {blob.id: contained[blob.id] for blob in blobs if blob.offset + blob.stored_bytes <= left}

    if index_first:
        index_repaired(repository)
    repair = packs_repaired(repository, pack.hex())
    index_repaired(repository)
    snapshots_repaired(repository, forget=True)
    pruned(repository)

    assert (repair.saved, repair.lost) == (len(whole), len(blobs) - len(whole))
    again = reopened(repository)
    assert {name: load_blob(again, name) for name in whole} == whole
    assert check(opened(repository), read_data=True, progress=Progress(), say=lambda _: None).errors == []


def test_a_pack_with_a_broken_header_stays_as_the_index_has_it(
    repository: Repository, storage: HidingStorage
) -> None:
    pack = PackID(bytes.fromhex(min(packs(repository))))
    before = blobs_of(repository)
    flip(storage, pack, len(storage.files[FileKind.PACK, pack.hex()]) - 20)

    repair = index_repaired(repository, read_all=True)

    assert (repair.kept, repair.dropped) == ([pack], [])
    assert blobs_of(repository) == before


def test_of_two_listings_the_one_in_the_pack_is_right(repository: Repository) -> None:
    again = reopened(repository)
    pack, listed = next((p, b) for p, b in again.index.by_pack().items() if len(b) > 1)
    again.save_document(FileKind.INDEX, index_file.encode([(pack, listed[:-1])]))
    assert index_files.load(opened(repository)).doubtful == {pack}

    index_repaired(repository)

    assert index_files.load(opened(repository)).doubtful == set()
    assert reopened(repository).index.by_pack()[pack] == listed


def test_an_empty_listing_of_packs_does_not_empty_the_index(
    repository: Repository, storage: HidingStorage
) -> None:
    before = dict(storage.files)
    storage.hides = lambda kind, _name: kind is FileKind.PACK

    with pytest.raises(StorageError, match="did not list it"):
        index_repaired(repository)

    assert storage.files == before


def test_a_long_header_is_read_in_two_steps(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, storage: HidingStorage
) -> None:
    monkeypatch.setattr(pack_header, "_FIRST_READ_BYTES", 10)

    for pack, blobs in reopened(repository).index.by_pack().items():
        size = len(storage.files[FileKind.PACK, pack.hex()])
        assert read_header(repository, pack, size_bytes=size) == blobs
        with pytest.raises((DamagedError, StorageError)):
            read_header(repository, pack, size_bytes=size - 1)
    with pytest.raises(DamagedError):
        read_header(repository, pack, size_bytes=3)


# --- repair packs


def test_what_is_whole_in_a_damaged_pack_is_saved_and_the_pack_goes(
    repository: Repository, storage: HidingStorage
) -> None:
    pack, before = data_pack(repository), reopened(repository)
    first, *others = before.index.by_pack()[pack]
    flip(storage, pack, first.offset + 40)
    damaged, kept = storage.files[FileKind.PACK, pack.hex()], dict[str, bytes]()

    repair = packs_repaired(repository, pack.hex()[:12], kept=kept)

    again = reopened(repository)
    assert (repair.saved, repair.lost) == (len(others), 1)
    assert first.id not in again.index
    assert all(load_blob(again, blob.id) for blob in others)
    assert pack.hex() not in packs(repository)
    assert kept == {pack.hex(): damaged}


def test_which_blobs_will_be_lost_is_told_before_anything_is_written(
    repository: Repository, storage: HidingStorage
) -> None:
    pack = data_pack(repository)
    blob = reopened(repository).index.by_pack()[pack][0]
    flip(storage, pack, blob.offset + 40)
    before, when_told = dict(storage.files), list[bool]()

    packs_repaired(
        repository,
        pack.hex(),
        say=lambda text: when_told.append(storage.files == before) if blob.id.hex() in text else None,
    )

    assert when_told == [True]


def test_a_pack_that_is_cut_short_gives_what_the_index_knows_of_it(
    repository: Repository, storage: HidingStorage
) -> None:
    pack = data_pack(repository)
    blobs = reopened(repository).index.by_pack()[pack]
    key = FileKind.PACK, pack.hex()
    storage.files[key] = storage.files[key][: blobs[-1].offset + 10]

    assert packs_repaired(repository, pack.hex()).saved == len(blobs) - 1


def test_a_pack_in_no_index_gives_what_its_header_knows(
    repository: Repository, storage: HidingStorage
) -> None:
    pack = data_pack(repository)
    count = len(reopened(repository).index.by_pack()[pack])
    for name in indexes(repository):
        del storage.files[FileKind.INDEX, name]

    assert packs_repaired(repository, pack.hex()).saved == count
    assert pack.hex() not in packs(repository)


def test_a_pack_that_is_gone_is_forgotten(repository: Repository, storage: HidingStorage) -> None:
    pack = data_pack(repository)
    del storage.files[FileKind.PACK, pack.hex()]

    repair = packs_repaired(repository, pack.hex())

    assert (repair.saved, repair.lost > 0) == (0, True)
    assert pack not in reopened(repository).index.packs()


def test_a_damaged_blob_that_another_pack_holds_is_not_lost(
    repository: Repository, storage: HidingStorage
) -> None:
    pack = data_pack(repository)
    save(repository.without_index(), 7, contents(20))
    for blob in reopened(repository).index.by_pack()[pack]:
        flip(storage, pack, blob.offset + 40)

    assert packs_repaired(repository, pack.hex()).lost == 0


def test_an_id_that_names_no_pack_is_refused(repository: Repository) -> None:
    with pytest.raises(UsageError, match="0 packs begin with 'zz'"):
        packs_repaired(repository, "zz")


def test_a_pack_that_is_named_twice_is_repaired_once(repository: Repository) -> None:
    pack = data_pack(repository)
    count = len(reopened(repository).index.by_pack()[pack])

    assert packs_repaired(repository, pack.hex(), pack.hex()[:20]).saved == count


def test_what_is_whole_in_another_pack_that_is_repaired_is_not_called_lost(
    repository: Repository, storage: HidingStorage
) -> None:
    pack, again = data_pack(repository), reopened(repository)
    blob = again.index.by_pack()[pack][0]
    content = load_blob(again, blob.id)
    with Writer(again.without_index()) as writer:
        writer.put(blob.id, blob.kind, content)
    [other] = [place.pack for place in reopened(repository).index.find_all(blob.id) if place.pack != pack]
    flip(storage, pack, blob.offset + 20)
    told = list[str]()

    repair = packs_repaired(repository, pack.hex(), other.hex(), say=told.append)

    assert repair.lost == 0
    assert f"  blob {blob.id.hex()} is damaged; pack {other.hex()} holds it too" in told
    assert load_blob(reopened(repository), blob.id) == content


# --- repair snapshots


@pytest.fixture
def hurt(storage: HidingStorage) -> Repository:
    return hurt_in(storage)


def test_whole_snapshots_are_left_alone(repository: Repository, storage: HidingStorage) -> None:
    before = dict(storage.files)

    assert snapshots_repaired(repository, forget=True).damaged == {}

    assert storage.files == before


def test_which_files_will_be_lost_is_told_before_anything_is_written(
    hurt: Repository, storage: HidingStorage
) -> None:
    before, when_told = dict(storage.files), list[bool]()

    snapshots_repaired(hurt, forget=True, say=lambda _: when_told.append(storage.files == before))

    assert len(when_told) > 3
    assert all(when_told)
    assert storage.files != before


def test_what_is_lost_is_told_and_left_out(hurt: Repository) -> None:
    told: list[str] = []
    [damaged, whole] = snapshots.list_snapshots(hurt)

    repair = snapshots_repaired(hurt, told=told)

    text = "\n".join(told)
    assert "file '/bad/half': removed missing content: 2000 of 4000 bytes stay" in text
    assert "file '/big': fixed incorrect size" in text
    assert "dir '/gone': replaced with empty directory" in text
    assert "good" not in text
    [new] = repair.written
    assert new.snapshot.tags == ("nightly", "repaired")
    assert new.snapshot.original is not None
    assert new.snapshot.original.hex() == damaged.name
    again = reopened(hurt)
    nodes = {node.name: node for node in load_tree(again, new.snapshot.tree)}
    assert nodes[b"good"].subtree == whole.snapshot.tree
    assert nodes[b"big"].size == 2000
    assert load_tree(again, nodes[b"gone"].subtree or BlobID(b"")) == []
    [half] = load_tree(again, nodes[b"bad"].subtree or BlobID(b""))
    assert (half.size, len(half.content)) == (2000, 1)
    assert {one.name for one in snapshots.list_snapshots(hurt)} == {damaged.name, whole.name, new.name}


def test_a_repaired_snapshot_is_whole_and_is_not_written_twice(hurt: Repository) -> None:
    [new] = snapshots_repaired(hurt).written

    again = snapshots_repaired(hurt, forget=True)

    assert again.written == []
    assert len(again.removed) == 1
    assert new.name in {one.name for one in snapshots.list_snapshots(hurt)}
    assert snapshots_repaired(hurt).damaged == {}


def test_each_of_several_snapshots_of_one_origin_stays(hurt: Repository) -> None:
    """`rewrite --new-host` makes such ones: the same tree and origin under another name."""
    [bad, *_] = snapshots.list_snapshots(hurt)
    snapshots_repaired(hurt)
    for host in ("one", "two"):
        edited = replace(bad.snapshot, hostname=host, original=FileID(parse_id(bad.name)))
        snapshots.save_snapshot(hurt, edited)

    assert len(snapshots_repaired(hurt, forget=True).removed) == 3

    left = [
        one.snapshot.hostname for one in snapshots.list_snapshots(hurt) if "repaired" in one.snapshot.tags
    ]
    assert sorted(left) == ["", "one", "two"]
    assert snapshots_repaired(hurt).damaged == {}


def test_a_dry_run_only_tells(hurt: Repository, storage: HidingStorage) -> None:
    before, told = dict(storage.files), list[str]()

    assert len(snapshots_repaired(hurt, dry_run=True, forget=True, told=told).damaged) == 1

    assert any("/bad/half" in line for line in told)
    assert storage.files == before


def test_damaged_snapshots_go_only_after_the_new_ones_are_there(
    hurt: Repository, storage: HidingStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageError("no room")

    damaged = snapshots.list_snapshots(hurt)
    monkeypatch.setattr(snapshots, "save_snapshot", refuse)

    with pytest.raises(StorageError):
        snapshots_repaired(hurt, forget=True)

    assert snapshots.list_snapshots(hurt) == damaged


@pytest.mark.parametrize("dry_run", [False, True])
def test_no_snapshot_is_removed_while_a_pack_in_no_index_holds_what_it_lacks(
    repository: Repository, storage: HidingStorage, dry_run: bool
) -> None:
    for name in indexes(repository):
        storage.delete(FileKind.INDEX, name)
    before = dict(storage.files)

    with pytest.raises(DamagedError, match="repair index` first"):
        snapshots_repaired(repository, forget=True, dry_run=dry_run)
    assert storage.files == before
    index_repaired(repository)

    assert snapshots_repaired(repository, forget=True).damaged == {}


def test_other_packs_that_are_in_no_index_keep_no_damaged_snapshot(
    hurt: Repository, storage: HidingStorage
) -> None:
    before = indexes(hurt)
    with Writer(opened(hurt)) as writer:
        writer.save(DATA, b"of a backup that was killed")
    [index] = indexes(hurt) - before
    storage.delete(FileKind.INDEX, index)
    storage.save(FileKind.PACK, "0" * 64, bytes(500))

    assert len(snapshots_repaired(hurt, forget=True).removed) == 1


def test_a_snapshot_of_which_nothing_can_be_read_goes_only_if_wanted(repository: Repository) -> None:
    snapshots.save_snapshot(repository, Snapshot(9, BlobID(bytes(32)), ("/9",)))

    kept = snapshots_repaired(repository)
    assert list(kept.damaged.values()) == [None]
    assert (kept.written, kept.removed) == ([], [])
    gone = snapshots_repaired(repository, forget=True)

    assert len(gone.removed) == 1
    assert len(snapshots.list_snapshots(repository)) == 3


def test_a_tree_that_is_there_already_and_damaged_takes_no_snapshot_s_place(
    hurt: Repository, storage: HidingStorage
) -> None:
    """Of the folder that is lost the empty one remains, which is lost, too."""
    with Writer(reopened(hurt).without_index()) as writer:
        empty = writer.save(TREE, encode_tree(()))
    location = reopened(hurt).index.find(empty)
    assert location is not None
    flip(storage, location.pack, location.blob.offset + 20)
    before = snapshots.list_snapshots(hurt)

    with pytest.raises(DamagedError, match=empty.hex()):
        snapshots_repaired(hurt, forget=True)

    assert snapshots.list_snapshots(hurt) == before


# --- recover


def recovered(repository: Repository) -> Snapshot | None:
    stored = recover(
        opened(repository),
        progress=Progress(),
        say=lambda _: None,
        warn=lambda _: None,
        program_version="becalm test",
    )
    return stored.snapshot if stored else None


def test_what_was_forgotten_by_mistake_comes_back(repository: Repository) -> None:
    lost = snapshots.list_snapshots(repository)[0].snapshot.tree
    assert recovered(repository) is None
    forget(repository, 0)

    snapshot = recovered(repository)

    assert snapshot is not None
    assert (snapshot.paths, snapshot.tags) == (("/recover",), ("recovered",))
    [folder] = load_tree(reopened(repository), snapshot.tree)
    assert (folder.name.decode(), folder.subtree) == (lost.hex()[:8], lost)
    assert recovered(repository) is None


def test_directories_inside_others_are_no_roots_and_broken_ones_are_left_out(
    hurt: Repository, storage: HidingStorage
) -> None:
    top, good = (one.snapshot.tree for one in snapshots.list_snapshots(hurt))
    forget(hurt, 1, 2)
    with Writer(hurt) as writer:
        broken = writer.save(TREE, b"no tree")

    snapshot = recovered(hurt)

    assert snapshot is not None
    roots = {node.subtree for node in load_tree(reopened(hurt), snapshot.tree)}
    assert roots == {top}
    assert not roots & {good, broken}
