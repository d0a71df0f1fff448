"""Which blobs the snapshots need."""

from collections.abc import Iterable

from becalm_engine.commands.progress import Progress
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import DIR
from becalm_engine.ids import BlobID
from becalm_engine.policy.blob_counts import BlobCounts
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository


def used_blobs(repository: Repository, trees: Iterable[BlobID], progress: Progress) -> BlobCounts:
    """Return every blob below some trees; each directory is read once.

    Raises:
        DamagedError: A directory cannot be read, so nobody knows what it needs.
    """
    used = BlobCounts()
    waiting = [tree for tree in trees if used.add(BlobKind.TREE, tree)]
    while waiting:
        progress.check()
        for node in load_tree(repository, waiting.pop()):
            for blob in node.content:
                used.add(BlobKind.DATA, blob)
            if node.type == DIR and node.subtree is not None and used.add(BlobKind.TREE, node.subtree):
                waiting.append(node.subtree)
    return used
