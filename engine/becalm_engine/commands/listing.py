"""`becalm ls`: which nodes of a snapshot are listed."""

import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from becalm_engine.commands.walk import Walk
from becalm_engine.errors import UsageError
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID
from becalm_engine.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class Entry:
    """A listed node and its raw path."""

    path: bytes
    node: Node


def entries(
    repository: Repository, tree: BlobID, folders: Sequence[bytes], *, recursive: bool
) -> Iterator[Entry]:
    """Return what is in the folders, or everything if none is named; with `recursive` also what is deeper.

    Raises:
        UsageError: A folder is no absolute path.
    """
    return _entries(repository, tree, [_cleaned(folder) for folder in folders], recursive=recursive)


def _entries(
    repository: Repository, tree: BlobID, wanted: Sequence[bytes], *, recursive: bool
) -> Iterator[Entry]:
    walk = Walk(repository, tree)
    for node in walk:
        path = walk.path
        within = not wanted or any(_is_below(path, folder) for folder in wanted)
        if within:
            yield Entry(path, node)
        if not (within and recursive) and not _leads_to(path, wanted):
            walk.skip()


def _cleaned(folder: bytes) -> bytes:
    if not folder.startswith(b"/"):
        raise UsageError("folders to list are absolute paths of the snapshot: they begin with a slash")
    return b"/" + posixpath.normpath(folder).strip(b"/")


def _is_below(path: bytes, folder: bytes) -> bool:
    return folder in (b"/", path) or path.startswith(folder + b"/")


def _leads_to(path: bytes, wanted: Sequence[bytes]) -> bool:
    return not wanted or any(_is_below(folder, path) for folder in wanted)


_ORDERS: dict[str, Callable[[Entry], object]] = {
    "size": lambda entry: entry.node.size,
    "time": lambda entry: entry.node.mtime,
    "mtime": lambda entry: entry.node.mtime,
    "atime": lambda entry: entry.node.atime,
    "ctime": lambda entry: entry.node.ctime,
    "extension": lambda entry: _extension(entry.node.name),
}
ORDERS = ("name", *_ORDERS)


def in_order(listed: Iterator[Entry], order: str, *, reverse: bool) -> Iterator[Entry]:
    """Sort a listing; by name it comes sorted already, directory by directory."""
    if order == "name" and not reverse:
        return listed
    collected = list(listed)
    key = _ORDERS.get(order)
    if key is not None:
        collected.sort(key=lambda entry: (key(entry), entry.path))
    return reversed(collected) if reverse else iter(collected)


def _extension(name: bytes) -> bytes:
    """Return what follows the last dot, the dot included, as Go's `filepath.Ext`."""
    at = name.rfind(b".")
    return name[at:] if at >= 0 else b""
