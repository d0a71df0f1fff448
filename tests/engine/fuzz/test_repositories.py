"""Documents that a thief of the key has changed, in a repository that is otherwise whole: every command on it."""

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from becalm_engine.cli import nodes, show
from becalm_engine.commands import stats
from becalm_engine.commands.check import check
from becalm_engine.commands.copy import Copier
from becalm_engine.commands.diff import Comparison
from becalm_engine.commands.find import Finder, Wanted
from becalm_engine.commands.listing import entries
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.prune import execute, prepare
from becalm_engine.commands.repair_index import repair_index
from becalm_engine.commands.repair_snapshots import repair_snapshots
from becalm_engine.commands.rewrite import TreeRewriter
from becalm_engine.commands.walk import Walk
from becalm_engine.errors import EngineError
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import to_document
from becalm_engine.format.tree import FIFO, SYMLINK, encode_node, encode_tree
from becalm_engine.ids import BlobID, blob_id
from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.prune import Limits, UnusedLimit
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Repository, open_repository
from becalm_engine.storage.base import FileKind
from tests.engine.commands.planted import folder, node
from tests.engine.commands.world import restore
from tests.engine.fuzz.mutants import as_bytes, mutated
from tests.engine.hostile.forge import Forge
from tests.engine.repository.repositories import PASSWORD, made
from tests.engine.storage.memory import MemoryStorage

# an example is a repository and a dozen commands
slowly = settings(
    max_examples=settings().max_examples // 2,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def honest(forge: Forge) -> tuple[BlobID, dict[str, Any]]:
    """Store what the mutants refer to; return a directory and the document of one that holds it."""
    inner = forge.tree([forge.file(b"inner", b"inner")])
    listed = [
        folder(b"dir", inner),
        forge.file(b"file", b"content", inode=5, links=2, device_id=1, xattrs=(("user.a", b"b"),)),
        node(b"link", SYMLINK, link_target=b"file", inode=5, links=2, device_id=1),
        node(b"pipe", FIFO),
    ]
    text = encode_tree(map(encode_node, listed))
    return forge.raw_tree(text), json.loads(text)


def opened(forge: Forge) -> Repository:
    storage = MemoryStorage()
    storage.files.update(forge.files)
    return open_repository(storage, PASSWORD)


def try_everything(forge: Forge) -> None:
    """Run the commands; errors of ours are what they are to end with, if with any."""
    for command in (_check, _look, _restore, _copy, _prune, _repair):
        try:
            command(opened(forge))
        except EngineError:
            continue


def _check(repository: Repository) -> None:
    check(repository, read_data=True, progress=Progress(), say=lambda _: None)


def _look(repository: Repository) -> None:
    every = snapshots.list_snapshots(repository)
    repository.load_index()
    for stored in every:
        json.dumps([to_document(stored.snapshot), show.snapshot_document(stored)])
        nodes.snapshot_line(stored)
        _look_into(repository, stored.snapshot.tree)
    comparison = Comparison(repository, metadata=True, progress=Progress(), tell=lambda *_: None)
    _exhaust(comparison.changes(every[0].snapshot.tree, every[-1].snapshot.tree))


def _look_into(repository: Repository, tree: BlobID) -> None:
    for entry in entries(repository, tree, [], recursive=True):
        for long in (False, True):
            nodes.node_line(entry.path, entry.node, long=long, human=long).encode("utf-8", "surrogateescape")
        nodes.listed_document(entry.path, entry.node)
        nodes.found_document(entry.path, entry.node)
    _exhaust(Finder(repository, Wanted(("*",)), Progress()).find(tree, lambda *_: None))
    for mode in stats.MODES:
        stats.count(repository, [tree], mode, Progress())
    TreeRewriter(repository, [Patterns(["inner"])], None, Progress()).rewrite(tree)
    _exhaust(Walk(repository, tree))


def _restore(repository: Repository) -> None:
    every = snapshots.list_snapshots(repository)
    repository.load_index()
    for stored in every:
        with tempfile.TemporaryDirectory(dir=_MEMORY) as place:
            outside = Path(place, "outside")
            outside.mkdir()
            try:
                restore(repository, stored.snapshot.tree, Path(place, "target"), verify=True)
            finally:
                assert sorted(os.listdir(place)) in (["outside"], ["outside", "target"])  # noqa: PTH208
                assert list(outside.iterdir()) == []


def _copy(repository: Repository) -> None:
    every = snapshots.list_snapshots(repository)
    repository.load_index()
    target = made()
    try:
        _exhaust(Copier(repository, target, Progress(), pack_bytes=10_000).copy(every))
    finally:
        faults = check(
            open_repository(target.storage, PASSWORD), read_data=True, progress=Progress(), say=_nothing
        )
        # what is copied as it is may be nonsense; what it refers to is there
        assert not [fault for fault in faults.errors if "is in no index" in fault or "is missing" in fault]


def _prune(repository: Repository) -> None:
    limits = Limits(UnusedLimit(size_bytes=0))
    prepared = prepare(repository, limits, progress=Progress(), say=_nothing, allow_remove_all=False)
    execute(repository, prepared, progress=Progress(), say=_nothing, pack_bytes=10_000)
    _check(open_repository(repository.storage, PASSWORD))


def _repair(repository: Repository) -> None:
    repair_index(repository, read_all=True, progress=Progress(), say=_nothing)
    again = open_repository(repository.storage, PASSWORD)
    every = snapshots.list_snapshots(again)
    again.load_index()
    repair_snapshots(again, every, dry_run=False, forget=True, progress=Progress(), say=_nothing)


def _nothing(_: str) -> None:
    """Say nothing."""


def _exhaust(events: Iterable[object]) -> None:
    for _ in events:
        pass


_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@slowly
@given(st.data())
def test_trees(data: st.DataObject) -> None:
    forge = Forge()
    tree, document = honest(forge)
    forge.snapshot(tree)
    forge.snapshot(forge.raw_tree(as_bytes(data.draw(mutated(document))) + b"\n"))
    forge.finish()

    try_everything(forge)


@slowly
@given(st.data())
def test_snapshots(data: st.DataObject) -> None:
    forge = Forge()
    tree, _ = honest(forge)
    forge.snapshot(tree)
    document = {
        "time": "2026-01-02T00:00:00+01:00", "tree": tree.hex(), "parent": "ab" * 32, "paths": ["/x"], "tags": ["t"],
        "hostname": "h", "username": "u", "uid": 1, "gid": 2, "excludes": ["x"], "original": "cd" * 32,
        "summary": {"files_new": 1, "total_bytes_processed": 5},
    }  # fmt: skip
    forge.document(FileKind.SNAPSHOT, as_bytes(data.draw(mutated(document))))
    forge.finish()

    try_everything(forge)


@slowly
@given(st.data())
def test_index_files(data: st.DataObject) -> None:
    forge = Forge()
    tree, _ = honest(forge)
    forge.snapshot(tree)
    files = forge.finish()
    repository = opened(forge)
    [name] = [name for kind, name in files if kind is FileKind.INDEX]
    document = json.loads(repository.load_document(FileKind.INDEX, name))
    if data.draw(st.booleans()):
        del files[FileKind.INDEX, name]
    forge.document(FileKind.INDEX, as_bytes(data.draw(mutated(document))))

    try_everything(forge)


@slowly
@given(st.binary(max_size=40), st.integers(0, 2**32 - 1), st.booleans())
def test_blobs_of_any_length(content: bytes, plain_bytes: int, as_tree: bool) -> None:
    forge = Forge()
    tree, _ = honest(forge)
    forge.snapshot(tree)
    kind = BlobKind.TREE if as_tree else BlobKind.DATA
    blob = forge.blob(content, kind, plain_bytes=plain_bytes, named=blob_id(content))
    forge.snapshot(forge.tree([node(b"a", content=(blob,), size=len(content)), folder(b"b", blob)]))
    forge.finish()

    try_everything(forge)
