"""Reads directories and files and stores them as trees and blobs.

The walk runs ahead: contents of files go to threads, and a directory is encoded once all below it is stored.
What is under way is bounded, so memory does not grow with the volume.
"""

import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from becalm_engine.chunking import MIN_BYTES, WINDOW_BYTES, ZERO_BLOCK, Chunker, Read, SkipHole
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import Exclusion, Folder
from becalm_engine.errors import EngineError
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import DIR, FILE, SOCKET, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID, Buffer, blob_id
from becalm_engine.policy.parent import ChangeRules, is_unchanged
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.volume.metadata import node_of
from becalm_engine.volume.scan import Found, list_directory, open_file, skip_hole

_INLINE_BYTES = 64 * 1024
_MOST_CHUNKS_UNDER_WAY = 8
_MOST_FOLDERS_UNDER_WAY = 512


@dataclass(slots=True)
class Tally:
    """What a backup has seen, and what it could not read."""

    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    dirs_unmodified: int = 0
    bytes_processed: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _OpenFolder:
    """A directory whose entries are known, but not yet stored in full."""

    name: bytes
    node: Node | None
    before: Node | None
    entries: "list[_Entry]" = field(default_factory=list)


@dataclass(slots=True)
class _Entry:
    """One entry: a node, and where its content or its directory is still being stored."""

    node: Node | None
    contents: "list[BlobID | Future[BlobID]]" = field(default_factory=list)
    folder: _OpenFolder | None = None


class Archiver:
    """Stores one set of sources. `report` is told each file that could not be read."""

    def __init__(
        self,
        repository: Repository,
        writer: Writer,
        chunker: Chunker,
        *,
        exclusion: Exclusion,
        rules: ChangeRules,
        progress: Progress,
        report: Callable[[str, str, str], None],
        with_atime: bool = False,
        workers: int = 2,
    ) -> None:
        self.tally = Tally()
        self._repository = repository
        self._writer = writer
        self._chunker = chunker
        self._exclusion = exclusion
        self._rules = rules
        self._progress = progress
        self._report = report
        self._with_atime = with_atime
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="store")
        self._room = threading.BoundedSemaphore(_MOST_CHUNKS_UNDER_WAY)
        self._finished: deque[_OpenFolder] = deque()
        self._zero_block: BlobID | None = None

    def store(self, root: Folder, parent: BlobID | None) -> BlobID:
        """Store the sources below `root` and return the id of the tree that holds them."""
        try:
            before = Node(b"", DIR, 0, 0, 0, 0, 0, 0, subtree=parent) if parent else None
            top = _OpenFolder(b"", None, before)
            self._walk_to_sources(root, top)
            self._finished.append(top)
            while self._finished:
                last = self._finish_oldest()
            return last
        finally:
            self._workers.shutdown(wait=True, cancel_futures=True)

    def _walk_to_sources(self, folder: Folder, into: _OpenFolder) -> None:
        """Descend to the sources through directories of which nothing else is taken."""
        if folder.leaf and not folder.children:
            self._walk(folder.path, into)
            return
        before = self._nodes_before(into)
        for name in sorted(folder.children):
            child = folder.children[name]
            found = Found(name, child.path, os.lstat(child.path))
            if child.leaf and not stat.S_ISDIR(found.stat.st_mode):
                self._take(found, into, before.get(name))
                continue
            inside = self._folder(found, into, before.get(name))
            if inside is not None:
                self._walk_to_sources(child, inside)
                self._finished.append(inside)

    def _walk(self, path: bytes, into: _OpenFolder) -> None:
        """Store all below a directory, depth first, without recursion: trees may be deep."""
        device = os.lstat(path).st_dev
        stack = [(into, self._entries(into, path, device))]
        while stack:
            folder, entries = stack[-1]
            for inside, entry_path in entries:
                stack.append((inside, self._entries(inside, entry_path, device)))
                break
            else:
                stack.pop()
                if folder is not into:
                    self._finished.append(folder)
                    self._keep_bounded()

    def _entries(self, folder: _OpenFolder, path: bytes, device: int) -> Iterator[tuple[_OpenFolder, bytes]]:
        """Store the files of a directory, and yield its directories to be entered."""
        try:
            entries, failed = list_directory(path)
        except OSError as error:
            self._unreadable(path, "scan", error)
            return
        for failed_path, failure in failed:
            self._unreadable(failed_path, "scan", failure)
        before = self._nodes_before(folder)
        for found in entries:
            self._progress.check()
            if self._exclusion.excludes(found, os.fsdecode(found.path)):
                continue
            if not stat.S_ISDIR(found.stat.st_mode):
                self._take(found, folder, before.get(found.name))
                continue
            inside = self._folder(found, folder, before.get(found.name))
            if inside is None:
                continue
            if self._exclusion.one_file_system and found.stat.st_dev != device:
                self._finished.append(inside)  # a mount point: kept, and left empty
            else:
                yield inside, found.path

    def _folder(self, found: Found, into: _OpenFolder, before: Node | None) -> _OpenFolder | None:
        node = self._node(found)
        if node is None:
            return None
        inside = _OpenFolder(found.name, node, before if before and before.type == DIR else None)
        into.entries.append(_Entry(node, folder=inside))
        return inside

    def _take(self, found: Found, into: _OpenFolder, before: Node | None) -> None:
        """Store anything but a directory."""
        node = self._node(found)
        if node is None or node.type == SOCKET:
            return
        entry = _Entry(node)
        if node.type == FILE and not self._take_file(found, entry, before):
            return
        into.entries.append(entry)

    def _node(self, found: Found) -> Node | None:
        try:
            return node_of(found.name, found.stat, found.path, with_atime=self._with_atime)
        except OSError as error:
            self._unreadable(found.path, "read metadata", error)
            return None

    def _take_file(self, found: Found, entry: _Entry, before: Node | None) -> bool:
        node = entry.node
        assert node is not None
        self._progress.current = os.fsdecode(found.path)
        if before is not None and is_unchanged(node, before, self._rules) and self._has_all(before):
            entry.contents.extend(before.content)
            self.tally.files_unmodified += 1
            self._progress.bytes_done += node.size
        else:
            try:
                node.size = self._read(found.path, entry.contents)
            except OSError as error:
                self._unreadable(found.path, "read", error)
                return False
            if before is None:
                self.tally.files_new += 1
            else:
                self.tally.files_changed += 1
        self.tally.bytes_processed += node.size
        self._progress.files_done += 1
        return True

    def _has_all(self, before: Node) -> bool:
        return all(self._repository.index.holds(BlobKind.DATA, blob) for blob in before.content)

    def _read(self, path: bytes, contents: "list[BlobID | Future[BlobID]]") -> int:
        """Read a file and store its content; return how many bytes it had."""
        handle = open_file(path)
        try:
            if os.fstat(handle).st_size < MIN_BYTES:
                first = os.read(handle, MIN_BYTES)
                if len(first) < MIN_BYTES and not os.read(handle, 1):
                    return self._store_whole(first, contents)
                os.lseek(handle, 0, os.SEEK_SET)  # it has grown, or came in pieces
            return self._store_chunks(
                lambda place: os.readv(handle, [place]),
                contents,
                skip_hole=lambda: skip_hole(handle),
                expected_bytes=os.fstat(handle).st_size,
            )
        finally:
            os.close(handle)

    def _store_whole(self, content: bytes, contents: "list[BlobID | Future[BlobID]]") -> int:
        if len(content) > _INLINE_BYTES:
            contents.append(self._submitted(content))
        elif content:
            contents.append(self._writer.save(BlobKind.DATA, content))
        self._progress.bytes_done += len(content)
        return len(content)

    def _store_chunks(
        self,
        read: Read,
        contents: "list[BlobID | Future[BlobID]]",
        skip_hole: SkipHole | None = None,
        expected_bytes: int = WINDOW_BYTES,
    ) -> int:
        size = 0
        for chunk in self._chunker.cut(read, skip_hole, expected_bytes=expected_bytes):
            self._progress.check()
            size += len(chunk)
            self._progress.bytes_done += len(chunk)
            contents.append(self._save_zeros() if chunk is ZERO_BLOCK else self._submitted(chunk))
        return size

    def _save_zeros(self) -> BlobID:
        if self._zero_block is None:
            self._zero_block = self._writer.save(BlobKind.DATA, ZERO_BLOCK)
        return self._zero_block

    def store_stream(self, read: Read) -> tuple[list[BlobID], int]:
        """Store a stream as one file's content; return its blobs and its length."""
        contents: list[BlobID | Future[BlobID]] = []
        try:
            size = self._store_chunks(read, contents)
            return [_settled(blob) for blob in contents], size
        finally:
            self._workers.shutdown(wait=True, cancel_futures=True)

    def _submitted(self, chunk: Buffer) -> "Future[BlobID]":
        self._room.acquire()
        future = self._workers.submit(self._save_chunk, chunk)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _save_chunk(self, chunk: Buffer) -> BlobID:
        return self._writer.save(BlobKind.DATA, chunk)

    def _keep_bounded(self) -> None:
        while len(self._finished) > _MOST_FOLDERS_UNDER_WAY:
            self._finish_oldest()

    def _finish_oldest(self) -> BlobID:
        """Encode and store the directory that was left first; those below it were left before."""
        folder = self._finished.popleft()
        nodes = []
        for entry in folder.entries:
            node = entry.node
            assert node is not None
            if node.type == FILE:
                node.content = tuple([_settled(blob) for blob in entry.contents])
            nodes.append(encode_node(node))
        content = encode_tree(nodes)
        tree = blob_id(content)
        self._writer.save_as(tree, BlobKind.TREE, content)
        if folder.node is not None:
            folder.node.subtree = tree
            self._count(folder, tree)
        folder.entries.clear()
        return tree

    def _count(self, folder: _OpenFolder, tree: BlobID) -> None:
        if folder.before is None:
            self.tally.dirs_new += 1
        elif folder.before.subtree == tree:
            self.tally.dirs_unmodified += 1
        else:
            self.tally.dirs_changed += 1

    def _nodes_before(self, folder: _OpenFolder) -> dict[bytes, Node]:
        """Return what the parent snapshot has in this directory; a broken tree means reading all again."""
        if folder.before is None or folder.before.subtree is None:
            return {}
        try:
            return {node.name: node for node in load_tree(self._repository, folder.before.subtree)}
        except EngineError as error:
            if error.retryable:
                raise
            return {}

    def _unreadable(self, path: bytes, during: str, error: OSError) -> None:
        shown = os.fsdecode(path).encode(errors="backslashreplace").decode()
        self.tally.unreadable.append((shown, error.strerror or str(error)))
        self._progress.errors += 1
        self._report(shown, during, error.strerror or str(error))


def _settled(blob: "BlobID | Future[BlobID]") -> BlobID:
    return blob.result() if isinstance(blob, Future) else blob
