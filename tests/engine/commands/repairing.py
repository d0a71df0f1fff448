"""The repairs as the tests run them, and what they are run on."""

from collections.abc import Callable

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.prune import execute, prepare
from becalm_engine.commands.repair_index import IndexRepair, repair_index
from becalm_engine.commands.repair_packs import PackRepair, repair_packs
from becalm_engine.commands.repair_snapshots import SnapshotRepair, repair_snapshots
from becalm_engine.format import index_file
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import DIR, FILE, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID, PackID
from becalm_engine.policy.prune import Limits, UnusedLimit
from becalm_engine.repository import index_files, snapshots
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.commands.stores import DATA, TREE, HidingStorage, opened
from tests.engine.repository.repositories import contents, made, reopened


def index_repaired(
    repository: Repository, *, read_all: bool = False, say: Callable[[str], None] = lambda _: None
) -> IndexRepair:
    return repair_index(opened(repository), read_all=read_all, progress=Progress(), say=say)


def packs_repaired(
    repository: Repository,
    *ids: str,
    kept: dict[str, bytes] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> PackRepair:
    def keep(name: str, data: bytes) -> None:
        if kept is not None:
            kept[name] = data

    return repair_packs(opened(repository), ids, keep_copy=keep, progress=Progress(), say=say)


def snapshots_repaired(
    repository: Repository,
    *,
    dry_run: bool = False,
    forget: bool = False,
    told: list[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> SnapshotRepair:
    again = reopened(repository)
    return repair_snapshots(
        again,
        snapshots.list_snapshots(again),
        dry_run=dry_run,
        forget=forget,
        progress=Progress(),
        say=say or (told if told is not None else []).append,
    )


def data_pack(repository: Repository) -> PackID:
    """Return a pack with several blobs of data, each of which lies nowhere else."""
    grouped = reopened(repository).index.by_pack()
    return next(pack for pack, blobs in grouped.items() if len(blobs) > 2 and blobs[0].kind is DATA)


def cut(storage: HidingStorage, pack: PackID, size_bytes: int) -> None:
    """Take so many bytes from the end of a pack, and its header with them."""
    key = FileKind.PACK, pack.hex()
    storage.files[key] = storage.files[key][:-size_bytes]


def pruned(repository: Repository) -> None:
    again = opened(repository)
    prepared = prepare(again, Limits(UnusedLimit(size_bytes=0)), progress=Progress(), say=lambda _: None)
    execute(again, prepared, progress=Progress(), say=lambda _: None)


def hurt_in(storage: HidingStorage) -> Repository:
    """One snapshot: a file without its second half, one of a wrong size, a folder that is lost, a whole one."""
    repository = made(storage)
    [half] = contents(1)

    def file(name: bytes, size: int, *blobs: BlobID) -> str:
        return encode_node(Node(name, FILE, 0, 0, 0, 0, 0, 0, size=size, content=blobs))

    def folder(name: bytes, tree: BlobID) -> str:
        return encode_node(Node(name, DIR, 0, 0, 0, 0, 0, 0, subtree=tree))

    with Writer(repository) as writer:
        first = writer.save(DATA, half)
        inside = writer.save(TREE, encode_tree([file(b"half", 4000, first, BlobID(bytes(32)))]))
        good = writer.save(TREE, encode_tree([file(b"good", 2000, first)]))
        names = [folder(b"bad", inside), file(b"big", 1, first), folder(b"gone", BlobID(bytes(31) + b"x")),
                 folder(b"good", good)]  # fmt: skip
        tree = writer.save(TREE, encode_tree(names))
    snapshots.save_snapshot(repository, Snapshot(1, tree, ("/a",), tags=("nightly",)))
    snapshots.save_snapshot(repository, Snapshot(2, good, ("/b",)))
    return repository


def first_tree(repository: Repository) -> BlobID:
    return snapshots.list_snapshots(repository)[0].snapshot.tree


def in_parts(repository: Repository) -> None:
    """Have two index files list every pack, each a part of it."""
    old = index_files.names(repository)
    entries = [entry for name in old for entry in index_files.entries_of(repository, name)]
    for part in (0, 1):
        listed = [(pack, blobs[part::2]) for pack, blobs in entries if blobs[part::2]]
        repository.save_document(FileKind.INDEX, index_file.encode(listed))
    for name in old:
        repository.storage.delete(FileKind.INDEX, name)
