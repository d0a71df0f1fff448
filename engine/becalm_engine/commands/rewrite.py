"""`becalm rewrite`: snapshots without some of their files, or with another host or time."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timezone
from typing import Any

from becalm_engine.commands.edit import Replacer, save_edited, with_tags
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.removal import require_written
from becalm_engine.errors import DamagedError, UsageError
from becalm_engine.format import gotime
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import DIR, FILE, Node, decode_tree
from becalm_engine.format.tree_text import without
from becalm_engine.ids import BlobID, blob_id, digest
from becalm_engine.policy.patterns import Patterns
from becalm_engine.repository import index_files
from becalm_engine.repository.reader import load_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.repository.writer import Writer

_TAG = "rewrite"
_MOST_KNOWN = 500_000
"""Some 100 MiB."""


@dataclass(frozen=True, slots=True)
class RewriteOptions:
    """What to change. Empty and None mean that it stays; `forget` replaces the snapshots.

    `zone` is that of the new time; None is this process' own.
    """

    excludes: tuple[Patterns, ...] = ()
    hostname: str = ""
    time_nanos: int | None = None
    zone: timezone | None = None
    forget: bool = False
    dry_run: bool = False

    def refuse_senseless(self) -> None:
        """Raise `UsageError` if nothing is to be changed."""
        if not any(self.excludes) and not self.hostname and self.time_nanos is None:
            raise UsageError("nothing to do: give --exclude…, --new-host or --new-time")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A tree after the rewrite, and the files and bytes that are left in it."""

    tree: BlobID
    files: int
    bytes: int


@dataclass(slots=True)
class _Folder:
    """A directory on the way: its tree as stored, what was dropped from it, and which subtrees are others now."""

    tree: BlobID
    content: bytes
    nodes: Iterator[tuple[int, Node]]
    place: bytes
    entered: tuple[int, Node] | None = None
    dropped: set[int] = field(default_factory=set)
    subtrees: dict[int, tuple[BlobID, BlobID]] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0


class TreeRewriter:
    """Leaves files out of trees. What is kept keeps its very bytes; unchanged trees stay the same blobs.

    A directory that occurs several times at one place, or at any if names alone decide, is rewritten once.
    `writer` None stores nothing. `unseen` are new trees that nobody has looked for in the store yet.
    """

    def __init__(
        self, repository: Repository, excludes: Sequence[Patterns], writer: Writer | None, progress: Progress
    ) -> None:
        self._repository = repository
        self._excludes = excludes
        self._by_name = all(patterns.names_only for patterns in excludes)
        self._writer = writer
        self._progress = progress
        self.unseen: set[BlobID] = set()
        self._seen_indexes: set[str] = set()
        self._known: dict[bytes, Rewritten] = {}
        self._names: list[bytes] = []
        self._prefix = "/"

    def require_written(self, indexes: Collection[str]) -> None:
        """See that the packs of new trees are in the store, and the index files of them, once they are uploaded."""
        if self.unseen:
            places = [self._repository.index.find(tree) for tree in self.unseen]
            require_written(self._repository, {place.pack for place in places if place is not None})
            index_files.require_written(self._repository, set(indexes) - self._seen_indexes, beside=indexes)
            self._seen_indexes.update(indexes)
            self.unseen.clear()

    def rewrite(self, root: BlobID) -> Rewritten:
        """Return a tree without what is excluded, without recursion: trees may be deep."""
        result = self._known.get(digest(root))
        if result is not None:
            return result
        stack = [self._opened(root, b"")]
        while True:
            self._progress.check()
            inside = self._next_inside(stack[-1])
            if inside is not None:
                stack.append(inside)
                continue
            folder = stack.pop()
            result = self._closed(folder)
            if not stack:
                return result
            self._leave()
            _take(stack[-1], result)

    def _next_inside(self, folder: _Folder) -> _Folder | None:
        """Go on in a directory until one has to be entered."""
        for position, node in folder.nodes:
            path = self._prefix + os.fsdecode(node.name)
            if any(patterns.match(path) for patterns in self._excludes):
                folder.dropped.add(position)
            elif node.type == DIR:
                assert node.subtree is not None
                folder.entered = position, node
                place = b"" if self._by_name else digest(folder.place + node.name)
                known = self._known.get(digest(place + node.subtree))
                if known is None:
                    self._enter(node.name)
                    return self._opened(node.subtree, place)
                _take(folder, known)
            elif node.type == FILE:
                folder.files += 1
                folder.bytes += node.size
        return None

    def _opened(self, tree: BlobID, place: bytes) -> _Folder:
        content = load_blob(self._repository, tree)
        try:
            return _Folder(tree, content, iter(enumerate(decode_tree(content))), place)
        except DamagedError as error:
            raise DamagedError(f"tree {tree.hex()}: {error}") from error

    def _closed(self, folder: _Folder) -> Rewritten:
        tree = folder.tree
        if folder.dropped or folder.subtrees:
            content = without(folder.content, folder.dropped, folder.subtrees)
            tree = blob_id(content)
            if self._writer is not None:
                self._writer.save_as(tree, BlobKind.TREE, content)
                self.unseen.add(tree)
        result = Rewritten(tree, folder.files, folder.bytes)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[digest(folder.place + folder.tree)] = result
        return result

    def _enter(self, name: bytes) -> None:
        self._names.append(name)
        self._prefix += os.fsdecode(name) + "/"

    def _leave(self) -> None:
        self._prefix = self._prefix[: -len(os.fsdecode(self._names.pop())) - 1]


def _take(folder: _Folder, inside: Rewritten) -> None:
    """Note what became of the directory that was entered last."""
    assert folder.entered is not None
    position, node = folder.entered
    assert node.subtree is not None
    folder.files += inside.files
    folder.bytes += inside.bytes
    if inside.tree != node.subtree:
        folder.subtrees[position] = node.subtree, inside.tree


def rewrite(
    repository: Repository, every: Sequence[StoredSnapshot], options: RewriteOptions, progress: Progress
) -> Iterator[tuple[StoredSnapshot, StoredSnapshot | None]]:
    """Rewrite snapshots; yield each with the one that was stored instead, with itself if it would be rewritten.

    None says that nothing about it is to be changed. With `forget` the lock is exclusive.
    """
    if options.dry_run:
        rewriter = TreeRewriter(repository, options.excludes, None, progress)
        for stored in every:
            yield stored, stored if _changes(stored, rewriter, options) else None
        return
    with Writer(repository) as writer:
        rewriter = TreeRewriter(repository, options.excludes, writer, progress)
        replacer = Replacer(repository) if options.forget else None
        for stored in every:
            changes = _changes(stored, rewriter, options)
            if not changes:
                yield stored, None
                continue
            writer.flush()
            rewriter.require_written(writer.indexes)
            if replacer is not None:
                yield stored, replacer.replace(stored, changes)
            else:
                yield stored, save_edited(repository, stored, changes)


def _changes(stored: StoredSnapshot, rewriter: TreeRewriter, options: RewriteOptions) -> dict[str, Any]:
    """Return the fields that become others, or nothing."""
    snapshot = stored.snapshot
    changes: dict[str, Any] = {}
    if any(options.excludes):
        result = rewriter.rewrite(snapshot.tree)
        if result.tree != snapshot.tree:
            changes["tree"] = result.tree.hex()
            changes["summary"] = _summary(snapshot.summary, result)
    if options.hostname:
        changes["hostname"] = options.hostname
    if options.time_nanos is not None:
        zone = options.zone or gotime.local_zone(options.time_nanos)
        changes["time"] = gotime.encode_in(options.time_nanos, zone)
    if changes:
        changes["original"] = stored.name
        changes["tags"] = list(snapshot.tags) if options.forget else with_tags(snapshot.tags, [_TAG])
    return changes


def _summary(summary: Mapping[str, Any], result: Rewritten) -> dict[str, Any]:
    sums = {"total_files_processed": result.files, "total_bytes_processed": result.bytes}
    empty = dict.fromkeys(
        ("files_new", "files_changed", "files_unmodified", "dirs_new", "dirs_changed", "dirs_unmodified",
         "data_blobs", "tree_blobs", "data_added", "data_added_packed"), 0,
    )  # fmt: skip
    return {**(summary or empty), **sums}
