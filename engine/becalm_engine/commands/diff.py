"""`becalm diff`: what differs between two trees."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError, EngineError, tells_of_data
from becalm_engine.format.tree import DIR, FILE, Node
from becalm_engine.ids import BlobID
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository

Pair = tuple[Node | None, Node | None]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a comparison. `modifier` is of + - M T U ?, as in restic; a directory's path ends in a slash."""

    path: bytes
    modifier: str


@dataclass(slots=True)
class Tally:
    """What was added, or what was removed. Bytes are plain, of blobs that only one side has."""

    files: int = 0
    dirs: int = 0
    others: int = 0
    data_blobs: int = 0
    tree_blobs: int = 0
    bytes: int = 0

    def count(self, node: Node) -> None:
        """Count one node."""
        if node.type == FILE:
            self.files += 1
        elif node.type == DIR:
            self.dirs += 1
        else:
            self.others += 1


@dataclass(slots=True)
class Difference:
    """The sums of a comparison."""

    changed_files: int = 0
    added: Tally = field(default_factory=Tally)
    removed: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class _Blobs:
    """Blobs of one side, by kind. Sets of both kinds, since one id may be both in a hostile repository."""

    data: set[BlobID] = field(default_factory=set)
    trees: set[BlobID] = field(default_factory=set)

    def add(self, node: Node) -> None:
        if node.type == FILE:
            self.data.update(node.content)
        elif node.type == DIR and node.subtree is not None:
            self.trees.add(node.subtree)


@dataclass(slots=True)
class _Level:
    """A directory on the way: pairs of nodes that are still to be compared, and its name with a slash at its end.

    `key` are its trees on both sides, and `changes` how many changes were known when it was entered.
    """

    pairs: Iterator[Pair]
    name: bytes
    key: tuple[BlobID | None, ...] = ()
    changes: int = 0


class Comparison:
    """Compares two trees. `tell` hears of each directory that cannot be read; `failed` counts them."""

    def __init__(
        self,
        repository: Repository,
        *,
        metadata: bool,
        progress: Progress,
        tell: Callable[[bytes, EngineError], None],
    ) -> None:
        self.result = Difference()
        self.failed = 0
        self._repository = repository
        self._metadata = metadata
        self._progress = progress
        self._tell = tell
        self._before, self._after, self._common = _Blobs(), _Blobs(), _Blobs()
        self._levels: list[_Level] = []
        self._alike: set[tuple[BlobID | None, ...]] = set()
        self._changes = 0
        self._prefix: bytes | None = None

    def changes(self, before: BlobID, after: BlobID) -> Iterator[Change]:
        """Yield the changes from one tree to the other, then complete `result`."""
        self._before.trees.add(before)
        self._after.trees.add(after)
        pairs = _pairs(load_tree(self._repository, before), load_tree(self._repository, after))
        self._levels = [_Level(pairs, b"/")]
        while self._levels:
            self._progress.check()
            pair = next(self._levels[-1].pairs, None)
            if pair is None:
                self._leave(self._levels.pop())
                continue
            change = self._compared(*pair)
            if change is not None:
                self._changes += 1
                yield change
            self._descend(*pair)
        self._sum(self._before, self._after, self.result.removed)
        self._sum(self._after, self._before, self.result.added)

    def _compared(self, old: Node | None, new: Node | None) -> Change | None:
        if old is not None:
            self._before.add(old)
        if new is not None:
            self._after.add(new)
        if old is not None and new is not None:
            modifier = self._modifier(old, new)
            return Change(self._path(new), modifier) if modifier else None
        if old is not None:
            self.result.removed.count(old)
            return Change(self._path(old), "-")
        assert new is not None
        self.result.added.count(new)
        return Change(self._path(new), "+")

    def _modifier(self, old: Node, new: Node) -> str:
        modifier = "T" if old.type != new.type else ""
        if old.type == new.type == FILE and old.content != new.content:
            self.result.changed_files += 1
            # the same times, size and inode, and other content: the disk has changed it, nobody else
            return "M?" if replace(old, content=()) == replace(new, content=()) else "M"
        if self._metadata and old != new:
            modifier += "U"
        return modifier

    def _descend(self, old: Node | None, new: Node | None) -> None:
        """Enter a directory; what both sides have alike is only counted."""
        below = [node.subtree for node in (old, new) if node is not None and node.type == DIR]
        if len(below) == 1 and (old is None or new is None):
            self._enter((old or new), [below[0] if old else None, below[0] if new else None])
        elif len(below) == 2 and below[0] == below[1]:
            self._collect(below[0])
        elif len(below) == 2:
            self._enter(new, below)

    def _leave(self, level: _Level) -> None:
        self._prefix = None
        if level.changes == self._changes:
            self._alike.add(level.key)

    def _enter(self, node: Node | None, trees: Sequence[BlobID | None]) -> None:
        """Compare what is in a directory, unless there was nothing to tell of the same two before."""
        assert node is not None
        if tuple(trees) in self._alike:
            return
        try:
            old, new = (load_tree(self._repository, tree) if tree else [] for tree in trees)
        except EngineError as error:
            self._fault(self._path(node), error)
            return
        self._levels.append(_Level(_pairs(old, new), node.name + b"/", tuple(trees), self._changes))
        self._prefix = None

    def _collect(self, tree: BlobID | None) -> None:
        """Note the blobs of a directory that both sides have; each is looked at once."""
        waiting = [tree] if tree is not None else []
        while waiting:
            self._progress.check()
            try:
                nodes = load_tree(self._repository, waiting.pop())
            except EngineError as error:
                self._fault(b"", error)
                continue
            for node in nodes:
                if node.type == DIR and node.subtree is not None and node.subtree not in self._common.trees:
                    waiting.append(node.subtree)
                self._common.add(node)

    def _fault(self, path: bytes, error: EngineError) -> None:
        if not tells_of_data(error):
            raise error
        self.failed += 1
        self._changes += 1
        self._tell(path, error)

    def _path(self, node: Node) -> bytes:
        if self._prefix is None:
            self._prefix = b"".join(level.name for level in self._levels)
        return self._prefix + node.name + (b"/" if node.type == DIR else b"")

    def _sum(self, own: _Blobs, other: _Blobs, into: Tally) -> None:
        """Count the blobs that one side has alone."""
        data = own.data - other.data - self._common.data
        trees = own.trees - other.trees - self._common.trees
        into.data_blobs, into.tree_blobs = len(data), len(trees)
        for blob in (*data, *trees):
            location = self._repository.index.find(blob)
            if location is None:
                self._fault(b"", DamagedError(f"blob {blob.hex()} is in no index"))
            else:
                into.bytes += location.blob.content_bytes


def _pairs(before: list[Node], after: list[Node]) -> Iterator[Pair]:
    """Put the nodes of two directories side by side by name; both come in order, or are put in order."""
    old = {node.name: node for node in before}
    new = {node.name: node for node in after}
    for name in sorted(old.keys() | new.keys()):
        yield old.get(name), new.get(name)
