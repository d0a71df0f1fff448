"""`becalm stats`: how large snapshots are, counted in four ways."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.walk import Walk
from becalm_engine.errors import DamagedError
from becalm_engine.format.crypto import OVERHEAD_BYTES
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import DIR, Node
from becalm_engine.ids import BlobID, digest
from becalm_engine.repository.blob_index import Location
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository

RESTORE_SIZE, FILES, BLOBS_PER_FILE, RAW_DATA = (
    "restore-size", "files-by-contents", "blobs-per-file", "raw-data",
)  # fmt: skip
MODES = (RESTORE_SIZE, FILES, BLOBS_PER_FILE, RAW_DATA)


@dataclass(slots=True)
class Sizes:
    """The sums. Sizes are bytes; the last four are known in mode raw-data only, and not in format 1."""

    snapshots: int = 0
    files: int = 0
    blobs: int = 0
    total: int = 0
    uncompressed: int = 0
    compressed_blobs: int = 0
    compressed_blobs_plain: int = 0

    @property
    def ratio(self) -> float:
        """How many bytes each stored byte of a compressed blob stands for."""
        return self.compressed_blobs_plain / self.compressed_blobs if self.compressed_blobs else 0.0

    @property
    def progress_percent(self) -> float:
        """How much of the data is compressed."""
        return self.compressed_blobs_plain / self.uncompressed * 100 if self.uncompressed else 0.0

    @property
    def saving_percent(self) -> float:
        """How much room compression saves."""
        return (1 - self.total / self.uncompressed) * 100 if self.uncompressed else 0.0


@dataclass(slots=True)
class _Seen:
    """What was counted already, over all snapshots."""

    trees: set[BlobID] = field(default_factory=set)
    contents: set[bytes] = field(default_factory=set)
    references: set[bytes] = field(default_factory=set)
    files: set[bytes] = field(default_factory=set)


def count(repository: Repository, roots: Iterable[BlobID], mode: str, progress: Progress) -> Sizes:
    """Walk the trees of snapshots and count."""
    if mode == RAW_DATA:
        return _raw(repository, list(roots), progress)
    sizes, seen = Sizes(), _Seen()
    for root in roots:
        sizes.snapshots += 1
        if mode == RESTORE_SIZE:
            _count_restored(repository, root, sizes, progress)
        else:
            _count_contents(repository, root, sizes, seen, mode, progress)
    return sizes


@dataclass(slots=True)
class _Level:
    """A directory that is being counted: what it adds each time that it occurs, all below it included."""

    tree: BlobID
    files: int = 0
    bytes: int = 0


def _count_restored(repository: Repository, root: BlobID, sizes: Sizes, progress: Progress) -> None:
    """Count what a restore writes: of hard links the first. A directory that occurs again is not read again."""
    known: dict[BlobID, tuple[int, int]] = {}
    linked: set[tuple[int, int]] = set()
    walk = Walk(repository, root)
    levels = [_Level(root)]
    for node in walk:
        progress.check()
        _leave(levels, walk.depth, known)
        sizes.total += _size_of_first(node, linked)
        level = levels[-1]
        level.files += 1
        level.bytes += 0 if _is_linked(node) else node.size
        if node.type == DIR and node.subtree is not None:
            if node.subtree in known:
                files, size = known[node.subtree]
                level.files, level.bytes = level.files + files, level.bytes + size
                sizes.total += size
                walk.skip()
            else:
                levels.append(_Level(node.subtree))
    _leave(levels, 1, known)
    sizes.files += levels[0].files


def _leave(levels: list[_Level], depth: int, known: dict[BlobID, tuple[int, int]]) -> None:
    """Add what was counted in directories that the walk has left to those above them."""
    while len(levels) > max(depth, 1):
        left = levels.pop()
        known[left.tree] = left.files, left.bytes
        levels[-1].files += left.files
        levels[-1].bytes += left.bytes


def _is_linked(node: Node) -> bool:
    return node.links != 1 and node.type != DIR and bool(node.inode)


def _size_of_first(node: Node, linked: set[tuple[int, int]]) -> int:
    """Return a file's size, or nothing if it is one that was counted under another name."""
    if not _is_linked(node):
        return node.size
    identity = node.inode, node.device_id
    if identity in linked:
        return 0
    linked.add(identity)
    return node.size


def _count_contents(
    repository: Repository, root: BlobID, sizes: Sizes, seen: _Seen, mode: str, progress: Progress
) -> None:
    """Count every content once, whatever it is called; restic counts empty ones as one more."""
    walk = Walk(repository, root)
    keys = [b""]
    for node in walk:
        progress.check()
        del keys[walk.depth :]
        key = digest(keys[-1] + node.name)  # of the path, which may be far too long to keep
        if node.type == DIR:
            keys.append(key)
            if node.subtree in seen.trees:  # all contents in it were seen, wherever it was
                walk.skip()
            elif node.subtree is not None:
                seen.trees.add(node.subtree)
        content = digest(b"".join(node.content))
        if content in seen.contents:
            continue
        seen.contents.add(content)
        if mode == FILES:
            sizes.files += 1
            sizes.total += node.size
        else:
            _count_references(repository, node, key, sizes, seen)


def _count_references(repository: Repository, node: Node, path: bytes, sizes: Sizes, seen: _Seen) -> None:
    """Count each blob once for each path that refers to it."""
    if node.content and path not in seen.files:
        seen.files.add(path)
        sizes.files += 1
    for blob in node.content:
        reference = digest(path + blob)
        if reference not in seen.references:
            seen.references.add(reference)
            sizes.total += _found(repository, blob).blob.content_bytes
            sizes.blobs += 1


def _raw(repository: Repository, roots: list[BlobID], progress: Progress) -> Sizes:
    """Count each blob once, as it lies in the repository."""
    sizes = Sizes(snapshots=len(roots))
    for kind, blob in _used(repository, roots, progress):
        packed = _found_as(repository, kind, blob).blob
        sizes.blobs += 1
        sizes.total += packed.stored_bytes
        if repository.config.version > 1:
            plain = packed.content_bytes + OVERHEAD_BYTES
            sizes.uncompressed += plain
            if packed.plain_bytes:
                sizes.compressed_blobs += packed.stored_bytes
                sizes.compressed_blobs_plain += plain
    return sizes


def _used(repository: Repository, roots: list[BlobID], progress: Progress) -> set[tuple[BlobKind, BlobID]]:
    """Return all blobs below the roots, as what they are needed for: a file may be the text of a directory."""
    used = {(BlobKind.TREE, root) for root in roots}
    waiting = list(dict.fromkeys(roots))
    while waiting:
        progress.check()
        for node in load_tree(repository, waiting.pop()):
            used.update((BlobKind.DATA, blob) for blob in node.content)
            if node.type == DIR and node.subtree is not None and (BlobKind.TREE, node.subtree) not in used:
                used.add((BlobKind.TREE, node.subtree))
                waiting.append(node.subtree)
    return used


def _found_as(repository: Repository, kind: BlobKind, blob: BlobID) -> Location:
    """Return where a blob lies as what it is needed for; a repository of former versions may hold it as the other."""
    places = repository.index.find_all(blob)
    return next((place for place in places if place.blob.kind is kind), None) or _found(repository, blob)


def _found(repository: Repository, blob: BlobID) -> Location:
    location = repository.index.find(blob)
    if location is None:
        raise DamagedError(f"blob {blob.hex()} is in no index")
    return location
