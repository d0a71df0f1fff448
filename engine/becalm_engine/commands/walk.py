"""Walks a snapshot's tree without recursion: a repository may be a million directories deep."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from becalm_engine.errors import SnapshotMissingError
from becalm_engine.format.names import quote
from becalm_engine.format.tree import DIR, Node
from becalm_engine.ids import BlobID
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Visit:
    """One node on the way, and its path below the starting point, for people (`/a/b`)."""

    path: str
    node: Node


def walk(
    repository: Repository, tree: BlobID, *, enter: Callable[[Visit], bool] = lambda _: True
) -> Iterator[Visit]:
    """Yield every node below a tree, parents first; directories that `enter` refuses are not entered."""
    stack = [iter(_visits("", load_tree(repository, tree)))]
    while stack:
        visit = next(stack[-1], None)
        if visit is None:
            stack.pop()
            continue
        yield visit
        if visit.node.type == DIR and visit.node.subtree is not None and enter(visit):
            stack.append(iter(_visits(visit.path, load_tree(repository, visit.node.subtree))))


def _visits(parent: str, nodes: list[Node]) -> list[Visit]:
    return [Visit(f"{parent}/{quote(node.name)}", node) for node in nodes]


def subtree_at(repository: Repository, tree: BlobID, path: str) -> tuple[BlobID | None, Node | None]:
    """Return the tree at a path of a snapshot, or the node if it is not a directory.

    Raises:
        SnapshotMissingError: The snapshot has no such path.
    """
    current: BlobID | None = tree
    node: Node | None = None
    for component in (part for part in path.split("/") if part):
        nodes = load_tree(repository, current) if current is not None else []
        node = next((n for n in nodes if quote(n.name) == component), None)
        if node is None:
            raise SnapshotMissingError(f"the snapshot has no path {path!r}: {component!r} is not there")
        current = node.subtree if node.type == DIR else None
    return current, node
