"""`becalm recover`: makes a snapshot of all directories that no snapshot holds."""

import os
import socket
import time
from collections import Counter
from collections.abc import Callable

from becalm_engine.commands.progress import Progress
from becalm_engine.errors import EngineError, tells_of_data
from becalm_engine.format import gotime
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import DIR, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID
from becalm_engine.policy.blob_counts import BlobCounts
from becalm_engine.repository import snapshots
from becalm_engine.repository.keys import username
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.repository.writer import Writer

_TREE = BlobKind.TREE
_HELD = 1
_SHORT_BYTES = 4


def recover(
    repository: Repository,
    *,
    progress: Progress,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    program_version: str,
) -> StoredSnapshot | None:
    """Write a snapshot with a folder for each directory that lies in no other and is no snapshot's root.

    Snapshots that are damaged are told: what they held is recovered with the rest.
    """

    def pass_over(name: str, error: EngineError) -> None:
        warn(f"passing over snapshot {name[:8]}: {error}")

    every = snapshots.list_snapshots(repository, broken=snapshots.only_damaged(pass_over))
    repository.load_index()
    trees = _trees(repository)
    say(f"load {len(trees)} trees")
    _mark_held(repository, trees, progress, warn)
    for stored in every:
        if trees.get(_TREE, stored.snapshot.tree) is not None:
            trees.put(_TREE, stored.snapshot.tree, _HELD)
    roots = sorted(blob for _, blob, number in trees if number != _HELD)
    say(f"\nfound {len(roots)} unreferenced roots")
    if not roots:
        say("no snapshot to write.")
        return None
    now = time.time_ns()
    shorts = Counter(root[:_SHORT_BYTES] for root in roots)
    nodes = [_folder(root, now, unique=shorts[root[:_SHORT_BYTES]] == 1) for root in roots]
    nodes.sort(key=lambda node: node.name)
    with Writer(repository) as writer:
        tree = writer.save(_TREE, encode_tree(map(encode_node, nodes)))
    stored = snapshots.save_snapshot(repository, _snapshot(tree, now, program_version))
    say(f"saved new snapshot {stored.short}")
    return stored


def _trees(repository: Repository) -> BlobCounts:
    trees = BlobCounts()
    for place in repository.index:
        if place.blob.kind is _TREE:
            trees.add(_TREE, place.blob.id)
    return trees


def _mark_held(
    repository: Repository, trees: BlobCounts, progress: Progress, warn: Callable[[str], None]
) -> None:
    """Mark directories that lie in another; one that cannot be read is left out."""
    progress.files_total = len(trees)
    for _, tree, _ in list(trees):
        progress.check()
        progress.files_done += 1
        try:
            nodes = load_tree(repository, tree)
        except EngineError as error:
            if not tells_of_data(error):
                raise
            warn(f"unable to load tree {tree.hex()}: {error}")
            trees.put(_TREE, tree, _HELD)
            continue
        for node in nodes:
            if node.type == DIR and node.subtree is not None and trees.get(_TREE, node.subtree) is not None:
                trees.put(_TREE, node.subtree, _HELD)


def _folder(root: BlobID, now: int, *, unique: bool) -> Node:
    name = root[:_SHORT_BYTES].hex() if unique else root.hex()
    return Node(name.encode(), DIR, 0o755, now, now, now, os.getuid(), os.getgid(), subtree=root)


def _snapshot(tree: BlobID, now: int, program_version: str) -> Snapshot:
    return Snapshot(
        time_nanos=now,
        tree=tree,
        paths=("/recover",),
        hostname=socket.gethostname(),
        username=username(),
        uid=os.getuid(),
        gid=os.getgid(),
        tags=("recovered",),
        program_version=program_version,
        zone=gotime.local_zone(now),
    )
