"""Trees and files of snapshots: each directory is looked at once, however many snapshots share it."""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import lt

from becalm_engine.commands.findings import BadBlobs, Findings
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError, EngineError, tells_of_data
from becalm_engine.format.names import quote
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.plain_tree import PlainEntry, plain_entries
from becalm_engine.format.tree import DIR, FILE, Node, decode_tree, faults_of_order
from becalm_engine.ids import BlobID
from becalm_engine.policy.blob_counts import BlobCounts
from becalm_engine.repository.blob_index import BlobIndex
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot

_SOUND, _DAMAGED = 0, 1


@dataclass(slots=True)
class _Level:
    """One directory that is being looked at, and those in it that are still to come."""

    tree: BlobID
    name: bytes
    folders: Iterator[tuple[bytes, BlobID]]
    sound: bool


class TreeCheck:
    """Finds faults in what snapshots hold, and tells each once: with the first snapshot that has it."""

    def __init__(self, repository: Repository, findings: Findings, progress: Progress) -> None:
        self._repository = repository
        self._findings = findings
        self._progress = progress
        self._seen = BlobCounts()
        """Which trees are damaged, or hold something that is."""
        self._levels: list[_Level] = []
        self._snapshot = ""

    def is_sound(self, stored: StoredSnapshot) -> bool:
        """Look at all that a snapshot holds, except what others were found to hold already."""
        self._snapshot = stored.short
        sound = self._enter(b"", stored.snapshot.tree)
        while self._levels:
            self._progress.check()
            level = self._levels[-1]
            name, tree = next(level.folders, (b"", None))
            if tree is not None:
                level.sound &= self._enter(name, tree)
                continue
            self._levels.pop()
            self._seen.put(BlobKind.TREE, level.tree, _SOUND if level.sound else _DAMAGED)
            sound = level.sound
            if self._levels:
                self._levels[-1].sound &= sound
        return sound

    def _enter(self, name: bytes, tree: BlobID) -> bool:
        """Look at a directory unless that was done before; return what is known of it so far."""
        if not self._seen.add(BlobKind.TREE, tree):
            return self._seen.get(BlobKind.TREE, tree) == _SOUND
        level = _Level(tree, name, iter(()), sound=True)
        self._levels.append(level)
        try:
            nodes = load_tree(self._repository, tree)
        except EngineError as error:
            if not tells_of_data(error):
                raise
            self._tell(str(error))
            return True  # the level knows, and tells its parent when it is left
        if not self._repository.index.holds(BlobKind.TREE, tree):
            self._tell(f"blob {tree.hex()} is not a tree blob")
        for fault in _faults(self._repository.index, nodes, self._findings.lost):
            self._tell(fault)
        level.folders = iter(
            [(node.name, node.subtree) for node in nodes if node.type == DIR and node.subtree is not None]
        )
        return True

    def _tell(self, fault: str) -> None:
        self._levels[-1].sound = False
        path = "/".join(quote(level.name) for level in self._levels) or "/"
        self._findings.errors.append(f"snapshot {self._snapshot}: {path}: {fault}")


def is_sound_tree(index: BlobIndex, content: bytes) -> bool:
    """Say whether a tree can be read and has no faults, and all that it refers to is there as what it is needed for.

    If that is so of every tree, it is so of all that any of them holds, and nobody need walk from one to the next.
    """
    if (plain := plain_entries(content)) is not None and _is_sound_plain(index, plain):
        return True
    try:
        nodes = decode_tree(content)
    except DamagedError:
        return False
    return all(
        index.holds(BlobKind.TREE, node.subtree) for node in nodes if node.subtree is not None
    ) and not any(_faults(index, nodes, BadBlobs()))


def _is_sound_plain(index: BlobIndex, entries: list[PlainEntry]) -> bool:
    """Say whether there is nothing wrong with a tree of plain entries; what is wrong, `_faults` knows."""
    names = [entry.name for entry in entries]
    return (
        all(map(lt, names, names[1:]))
        and not (b"." in names or b".." in names)
        and all(_is_sound_entry(index, entry) for entry in entries)
    )


def _is_sound_entry(index: BlobIndex, entry: PlainEntry) -> bool:
    if entry.subtree is not None:
        return index.holds(BlobKind.TREE, entry.subtree)
    size = 0
    for blob in entry.content:
        length = index.content_bytes(BlobKind.DATA, blob)
        if length is None:
            return False
        size += length
    return size == entry.size


def _faults(index: BlobIndex, nodes: list[Node], lost: BadBlobs) -> Iterator[str]:
    """Yield what is wrong with the entries of a directory; what is in its directories is not looked at."""
    yield from faults_of_order(nodes)
    for node in nodes:
        if node.name in (b"", b".", b"..") or b"/" in node.name or b"\0" in node.name:
            yield f"an entry is named {node.name!r}"
        if node.type == FILE and (fault := _fault_of_file(index, node, lost)):
            yield f"file {quote(node.name)!r}: {fault}"


def _fault_of_file(index: BlobIndex, node: Node, lost: BadBlobs) -> str:
    size = 0
    for blob in node.content:
        length = index.content_bytes(BlobKind.DATA, blob)
        if length is None:
            return f"blob {blob.hex()} is {'not a data blob' if blob in index else 'missing'}"
        if lost.is_lost(index, BlobKind.DATA, blob):
            return f"blob {blob.hex()} is damaged"
        size += length
    return "" if size == node.size else f"states {node.size} bytes, but its blobs have {size}"
