"""Which blobs the snapshots need, and which copies of them are of no use."""

from collections.abc import Iterable

from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.tree import DIR
from becalm_engine.ids import BlobID, PackID
from becalm_engine.policy.blob_counts import BlobCounts, Copy
from becalm_engine.repository.reader import load_tree, ranges_of, read_range, view_blob
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


def damaged_copies(repository: Repository, used: BlobCounts, progress: Progress) -> set[Copy]:
    """Return the copies that are damaged of directories that are stored several times, each read once.

    `repair snapshots` stores a tree again that is damaged where it lies: of the two it is not the damaged one that
    may stay.
    """
    damaged: set[Copy] = set()
    for pack, blobs in _stored_again(repository, used).items():
        for part in ranges_of(pack, blobs):
            progress.check()
            stored = read_range(repository, part)
            for packed in part.blobs:
                at = packed.offset - part.offset
                try:
                    view_blob(repository, packed, stored[at : at + packed.stored_bytes])
                except DamagedError:
                    damaged.add((pack, packed.offset))
    return damaged


def _stored_again(repository: Repository, used: BlobCounts) -> dict[PackID, list[PackedBlob]]:
    """Return the directories that are stored several times, by the packs that hold them."""
    packs: dict[PackID, list[PackedBlob]] = {}
    for tree in used.of_kind(BlobKind.TREE):
        places = [place for place in repository.index.find_all(tree) if place.blob.kind is BlobKind.TREE]
        for place in places if len(places) > 1 else ():
            packs.setdefault(place.pack, []).append(place.blob)
    return packs
