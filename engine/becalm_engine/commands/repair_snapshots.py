"""`becalm repair snapshots`: writes damaged snapshots again, without what is lost.

It believes the index, so that has to be repaired first: no snapshot is removed if a pack of which that does not
know holds what it lacks. Nothing is taken for lost on the word of one read, or of one that failed: only what was
found damaged or gone, again and again.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.removal import pack_sizes, require_written
from becalm_engine.errors import DamagedError, ObjectMissingError, StorageError
from becalm_engine.format.names import quote
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import DIR, FILE, Node, decode_tree, encode_node, encode_tree
from becalm_engine.ids import BlobID, FileID, PackID, blob_id, parse_id
from becalm_engine.policy.blob_counts import BlobCounts
from becalm_engine.repository import index_files, snapshots
from becalm_engine.repository.pack_header import read_header
from becalm_engine.repository.reader import load_stored, load_tree, open_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.repository.writer import Writer

_TAG = "repaired"
_EMPTY = encode_tree(())
_EMPTY_TREE = blob_id(_EMPTY)
"""The one tree whose text is known by its id: where it is lost, storing it again heals all that need it."""

Save = Callable[[bytes], BlobID]
"""Stores the text of a directory, or only says which id it would have."""


@dataclass(slots=True)
class SnapshotRepair:
    """Damaged snapshots by name: what each became, None where nothing of it can be read.

    `empty_lost` says that snapshots need the tree of an empty directory, and that it could not be read.
    """

    damaged: dict[str, BlobID | None] = field(default_factory=dict)
    empty_lost: bool = False
    written: list[StoredSnapshot] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def repair_snapshots(
    repository: Repository,
    chosen: Sequence[StoredSnapshot],
    *,
    dry_run: bool,
    forget: bool,
    progress: Progress,
    say: Callable[[str], None],
) -> SnapshotRepair:
    """Repair snapshots. First all that is lost is told; then trees, new snapshots, and only then what is removed.

    Raises:
        StorageError: Something cannot be read for another reason than that it is damaged or gone, or is read
            differently a second time. No snapshot was written or removed then.
        DamagedError: Snapshots are to be removed, and a pack that is in no index holds what they lack.
    """
    repair = SnapshotRepair()
    looking = _TreeRepair(repository, blob_id, progress)
    for stored in chosen:
        say(f"\nsnapshot {stored.short} of {list(stored.snapshot.paths)} at {stored.snapshot.local_time}")
        tree = looking.repaired(stored.snapshot.tree, say)
        if tree != stored.snapshot.tree:
            repair.damaged[stored.name] = tree
    repair.empty_lost = looking.empty_lost
    if forget and repair.damaged:
        _refuse_unlisted(repository, looking.lost)
    if dry_run:
        return repair
    damaged = [stored for stored in chosen if stored.name in repair.damaged]
    standing = _write(repository, damaged, repair, progress)
    if forget:
        for one in standing:
            snapshots.require_stored(repository, one)
        for stored in damaged:
            snapshots.remove_snapshot(repository, stored)
            repair.removed.append(stored.name)
    return repair


def _refuse_unlisted(repository: Repository, lost: BlobCounts) -> None:
    """See that no pack outside the index holds what seems lost: an index file may be, and nothing else."""
    listed = frozenset(repository.index.packs())
    for pack, size_bytes in pack_sizes(repository).items():
        blobs = [] if pack in listed else _in_header(repository, pack, size_bytes)
        if any(lost.get(blob.kind, blob.id) is not None for blob in blobs):
            raise DamagedError(
                f"pack {pack.hex()} holds what seems lost, and is in no index; no snapshot was removed. "
                "Run `becalm repair index` first"
            )


def _in_header(repository: Repository, pack: PackID, size_bytes: int) -> list[PackedBlob]:
    try:
        return read_header(repository, pack, size_bytes=size_bytes)
    except DamagedError:
        return []


def _write(
    repository: Repository, damaged: Sequence[StoredSnapshot], repair: SnapshotRepair, progress: Progress
) -> list[StoredSnapshot]:
    """Write what is left of snapshots, but for what an earlier run has written; return all that stand for them."""
    if damaged or repair.empty_lost:
        _write_trees(repository, damaged, repair, progress)
    if not damaged:
        return []
    told = snapshots.only_damaged(lambda *_: None)  # by whoever has chosen
    present: dict[BlobID, list[StoredSnapshot]] = {}
    for one in snapshots.list_snapshots(repository, broken=told):
        present.setdefault(one.snapshot.tree, []).append(one)
    standing = []
    for stored in damaged:
        tree = repair.damaged[stored.name]
        if tree is None:  # nothing is left of it
            continue
        repaired, there = _repaired(stored, tree), present.setdefault(tree, [])
        twin = next((one for one in there if one.snapshot == repaired), None)
        if twin is None:
            twin = snapshots.save_snapshot(repository, repaired)
            repair.written.append(twin)
            there.append(twin)
        standing.append(twin)
    return standing


def _repaired(stored: StoredSnapshot, tree: BlobID) -> Snapshot:
    """Return a snapshot with what is left of its tree. All else of it stays: others may have the same origin."""
    original = stored.snapshot.original or FileID(parse_id(stored.name))
    tags = tuple(dict.fromkeys((*stored.snapshot.tags, _TAG)))
    return replace(stored.snapshot, tree=tree, original=original, tags=tags)


def _write_trees(
    repository: Repository, damaged: Sequence[StoredSnapshot], repair: SnapshotRepair, progress: Progress
) -> None:
    """Look at all that is damaged once more, store what becomes of it, and see that this is what was told.

    Raises:
        StorageError: It is not, or the store has not stored it.
        DamagedError: What was to be stored is there already, and damaged.
    """
    repository.load_index()  # an index file that a listing left out is in the next
    trees: dict[BlobID, None] = {}  # in the order in which they lie in packs
    unread = {place.pack for place in repository.index.find_all(_EMPTY_TREE)} if repair.empty_lost else set()
    with Writer(repository) as writer:
        if repair.empty_lost:
            _store_empty(writer)
            trees[_EMPTY_TREE] = None

        def save(text: bytes) -> BlobID:
            tree = writer.save(BlobKind.TREE, text)
            trees[tree] = None
            return tree

        writing = _TreeRepair(repository, save, progress)
        for stored in damaged:
            tree = writing.repaired(stored.snapshot.tree, lambda _: None)
            _require_same(stored, tree, repair.damaged[stored.name])
    _require_stored(repository, trees, writer.indexes, unread)


def _require_stored(
    repository: Repository, trees: Iterable[BlobID], indexes: Sequence[str], unread: Collection[PackID]
) -> None:
    """See that trees are there, with packs and index files. The empty one is in other packs than in those unread."""
    packs = set()
    for tree in trees:
        packs.update([p.pack for p in repository.index.find_all(tree) if p.pack not in unread][:1])
    require_written(repository, packs)
    index_files.require_written(repository, indexes)
    for tree in trees:
        load_tree(repository, tree)


def _store_empty(writer: Writer) -> None:
    """Store the tree of an empty directory, also where the index has a copy: that one cannot be read."""
    if not writer.save_as(_EMPTY_TREE, BlobKind.TREE, _EMPTY):
        writer.put(_EMPTY_TREE, BlobKind.TREE, _EMPTY)


def _require_same(stored: StoredSnapshot, tree: BlobID | None, told: BlobID | None) -> None:
    if tree != told:
        raise StorageError(
            f"snapshot {stored.short} was read differently a second time, so nobody knows what is damaged; "
            "no snapshot was written or removed. Try again"
        )


@dataclass(slots=True)
class _Folder:
    """A directory on its way: nodes that were not looked at yet, and those that stay."""

    tree: BlobID
    path: str
    waiting: list[Node]
    nodes: list[Node] = field(default_factory=list)
    changed: bool = False


class _TreeRepair:
    """Rewrites trees, each once, however many snapshots share it. Without recursion: they may be deep.

    `lost` are the blobs that were sought in vain.
    """

    def __init__(self, repository: Repository, save: Save, progress: Progress) -> None:
        self._repository = repository
        self._save = save
        self._progress = progress
        self._done: dict[BlobID, BlobID] = {}
        self.empty_lost = False
        self.lost = BlobCounts()

    def repaired(self, root: BlobID, say: Callable[[str], None]) -> BlobID | None:
        """Return the tree without what is lost: itself if nothing is, None if it cannot be read at all."""
        if root in self._done:
            if self._done[root] != root:
                say("  damaged as a snapshot above")
            return self._done[root]
        first = self._opened(root, "", say)
        if first is None:
            say("  dir '/': not readable")
            return None
        folders = [first]
        while folders:
            self._progress.check()
            inside = self._step(folders[-1], say)
            if inside is not None:
                folders.append(inside)
            elif not folders[-1].waiting:
                self._finish(folders.pop())
        return self._done[root]

    def _opened(self, tree: BlobID, path: str, say: Callable[[str], None]) -> _Folder | None:
        """Return a directory, or None if it is damaged or gone, which was seen twice. The empty one never is."""
        try:
            nodes = load_tree(self._repository, tree)
        except (DamagedError, ObjectMissingError):
            found = self._seen_again(tree)
            if found is None and tree == _EMPTY_TREE:
                say(f"  dir {path or '/'!r}: stored again as the empty directory that it was")
                self.empty_lost, found = True, []
            if found is None:
                self.lost.add(BlobKind.TREE, tree)
                return None
            nodes = found
        return _Folder(tree, path, nodes[::-1])

    def _seen_again(self, tree: BlobID) -> list[Node] | None:
        """Look at every copy of a tree by itself: one that cannot be read may be whole, whatever the others are."""
        for location in self._repository.index.find_all(tree):
            try:
                stored = load_stored(self._repository, location)
                return decode_tree(open_blob(self._repository, location.blob, stored))
            except (DamagedError, ObjectMissingError):
                continue
        return None

    def _step(self, folder: _Folder, say: Callable[[str], None]) -> _Folder | None:
        """Look at the next node; return a directory that has to be looked at before it."""
        if not folder.waiting:
            return None
        node = folder.waiting[-1]
        path = f"{folder.path}/{quote(node.name)}"
        if node.type == DIR:
            assert node.subtree is not None
            if node.subtree not in self._done:
                inside = self._opened(node.subtree, path, say)
                if inside is not None:
                    return inside
                say(f"  dir {path!r}: replaced with empty directory")
                self._done[node.subtree] = self._save(_EMPTY)
            folder.changed |= self._done[node.subtree] != node.subtree
            node.subtree = self._done[node.subtree]
        folder.waiting.pop()
        self._take(folder, node, path, say)
        return None

    def _take(self, folder: _Folder, node: Node, path: str, say: Callable[[str], None]) -> None:
        if node.type == "irregular":
            say(f"  file {path!r}: removed node with invalid type {node.type!r}")
            folder.changed = True
            return
        if node.type == FILE and (fault := self._fault(node)):
            say(f"  file {path!r}: {fault}")
            folder.changed = True
        folder.nodes.append(node)

    def _fault(self, node: Node) -> str:
        """Leave out of a file what is lost, and say what was wrong with it."""
        sizes = {blob: self._size(blob) for blob in node.content}
        content = tuple([blob for blob in node.content if sizes[blob] is not None])
        for blob in sizes.keys() - content:
            self.lost.add(BlobKind.DATA, blob)
        size = sum(sizes[blob] or 0 for blob in content)
        lost = len(node.content) - len(content)
        wrong_size, stated = node.size != size, node.size
        node.content, node.size = content, size
        if lost:
            return f"removed missing content: {size} of {stated} bytes stay"
        return "fixed incorrect size" if wrong_size else ""

    def _size(self, blob: BlobID) -> int | None:
        places = self._repository.index.find_all(blob)
        return next((p.blob.content_bytes for p in places if p.blob.kind is BlobKind.DATA), None)

    def _finish(self, folder: _Folder) -> None:
        if not folder.changed:
            self._done[folder.tree] = folder.tree
            return
        ordered = sorted(folder.nodes, key=lambda node: node.name)
        self._done[folder.tree] = self._save(encode_tree(encode_node(node) for node in ordered))
