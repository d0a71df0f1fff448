"""Walks a snapshot's tree without recursion: a repository may be a million directories deep."""

import os
from collections.abc import Callable, Iterator

from becalm_engine.errors import EngineError, SnapshotMissingError, tells_of_data
from becalm_engine.format.names import quote
from becalm_engine.format.tree import DIR, Node
from becalm_engine.ids import BlobID
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository

Broken = Callable[[BlobID, bytes, EngineError], None]
"""Told of a directory that cannot be read: its tree, its path, and why."""


class Walk:
    """Yields every node below a tree, parents first, and knows where it is.

    With `broken`, a directory that cannot be read is told and left out; without it, it ends the walk.
    A path is made when it is asked for: those of all open directories would need the square of the depth.
    """

    def __init__(self, repository: Repository, root: BlobID, *, broken: Broken | None = None) -> None:
        self.tree = root
        self._repository = repository
        self._broken = broken
        self._levels: list[tuple[BlobID, Iterator[Node]]] = []
        self._names: list[bytes] = []
        self._prefix: bytes | None = None
        self._node: Node | None = None
        self._skipped = False

    @property
    def depth(self) -> int:
        """How many directories the node lies in, the root included."""
        return len(self._levels)

    @property
    def path(self) -> bytes:
        """The path of the node that was yielded last, from the root of the walk (`/a/b`)."""
        if self._prefix is None:
            self._prefix = b"".join(b"/" + name for name in self._names)
        return self._prefix + b"/" + self._node.name if self._node else b"/"

    def tail(self, count: int) -> bytes:
        """Return the last components of the path, `count` of them above the node's own name (`/b/c`)."""
        assert self._node is not None
        above = self._names[max(0, len(self._names) - count) :]
        return b"".join(b"/" + name for name in (*above, self._node.name))

    def skip(self) -> None:
        """Do not enter the directory that was yielded last."""
        self._skipped = True

    def __iter__(self) -> Iterator[Node]:
        self._enter(self.tree)
        while self._levels:
            self.tree, nodes = self._levels[-1]
            self._node = next(nodes, None)
            if self._node is None:
                self._levels.pop()
                self._rename(None)
                continue
            self._skipped = False
            yield self._node
            if self._node.type == DIR and self._node.subtree is not None and not self._skipped:
                self._enter(self._node.subtree)

    def _enter(self, tree: BlobID) -> None:
        try:
            nodes = load_tree(self._repository, tree)
        except EngineError as error:
            if self._broken is None or not tells_of_data(error):
                raise
            self._broken(tree, self.path, error)
            return
        self._levels.append((tree, iter(nodes)))
        if self._node is not None:
            self._rename(self._node.name)

    def _rename(self, entered: bytes | None) -> None:
        self._prefix = None
        if entered is not None:
            self._names.append(entered)
        elif self._names:
            self._names.pop()


def subtree_at(repository: Repository, tree: BlobID, path: str) -> tuple[BlobID | None, Node | None]:
    """Return the tree at a path of a snapshot, or the node if it is not a directory.

    A component is meant as it is, or as it is quoted where it is shown.

    Raises:
        SnapshotMissingError: The snapshot has no such path.
    """
    current: BlobID | None = tree
    node: Node | None = None
    for component in (part for part in path.split("/") if part not in ("", ".")):
        nodes = load_tree(repository, current) if current is not None else []
        node = _named(nodes, component)
        if node is None:
            raise SnapshotMissingError(f"the snapshot has no path {path!r}: {component!r} is not there")
        current = node.subtree if node.type == DIR else None
    return current, node


def _named(nodes: list[Node], component: str) -> Node | None:
    raw = os.fsencode(component)
    exact = next((node for node in nodes if node.name == raw), None)
    return exact or next((node for node in nodes if quote(node.name) == component), None)
