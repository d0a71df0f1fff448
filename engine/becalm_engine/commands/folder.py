"""Stores what lies directly in one directory. What is below its directories is somebody else's task.

A file counts as unchanged if the parent snapshot has the very same text about it, all but the content: nothing
is decoded then. Only what differs is looked at more closely.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from becalm_engine.commands.files import Content, FileStore, Room, settled
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import Exclusion
from becalm_engine.commands.stored import FolderTask, StoredFolder, Subfolder
from becalm_engine.errors import DamagedError, EngineError, InternalError, UsageError
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import (
    DIR,
    SOCKET,
    Node,
    decode_node,
    encode_content,
    encode_node,
    encode_tree,
    encode_xattrs,
    json_name,
)
from becalm_engine.format.tree_text import texts_by_name
from becalm_engine.ids import BlobID, blob_id, parse_id
from becalm_engine.policy.parent import ChangeRules, is_settled, is_unchanged
from becalm_engine.repository.reader import MAX_BLOB_BYTES, load_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.volume.metadata import file_head, node_of, read_xattrs
from becalm_engine.volume.scan import (
    Unseen,
    has_changed,
    list_directory,
    list_unseen,
    open_directory,
    open_file,
    path_below,
)

T = TypeVar("T")

_CONTENT = ',"content":['


@dataclass(frozen=True, slots=True)
class FolderRules:
    """How directories are stored. `listing`: what becomes of each file is told.

    `still`: nothing is written any more, so a file that changes while it is read cannot be relied on.
    """

    exclusion: Exclusion
    changes: ChangeRules
    with_atime: bool = False
    listing: bool = False
    still: bool = False


@dataclass(slots=True)
class _Pending:
    """A file that has been read: its name, where its node goes, the beginning of that, and what it consists of."""

    name: bytes
    key: str
    position: int
    text: str
    content: Content
    size_bytes: int


@dataclass(slots=True)
class _Visit:
    """An open directory, what the parent snapshot says of its entries, and which contents are still being stored."""

    path: bytes
    handle: int
    before: dict[str, str]
    counted: dict[str, str]
    stored: StoredFolder
    pending: list["_Pending"] = field(default_factory=list)
    room: Room = field(default_factory=Room)

    def add(self, text: str) -> None:
        """Take the JSON of a node."""
        self.stored.texts.append(text)
        self.room.take(len(text))

    def failed(self, name: bytes, during: str, error: OSError) -> None:
        """Note an entry that cannot be stored."""
        self.stored.unreadable.append(_failure(os.path.join(self.path, name), during, error))


class FolderStore:
    """Stores directories through one writer."""

    def __init__(
        self,
        repository: Repository,
        writer: Writer,
        files: FileStore,
        rules: FolderRules,
        progress: Progress,
    ) -> None:
        self._repository = repository
        self._writer = writer
        self._files = files
        self._rules = rules
        self._progress = progress

    def store(self, task: FolderTask) -> StoredFolder:
        """Store the files of a directory; its tree, too, if there are no directories in it."""
        stored = StoredFolder()
        before, text_before = self._before(task.before)
        counted = before if task.counted == task.before else self.texts_before(task.counted)
        try:
            handle = open_directory(task.path, followed=task.followed)
        except OSError as error:
            stored.unreadable.append(_failure(task.path, "scan", error))
        else:
            try:
                self._visit(_Visit(task.path, handle, before, counted, stored))
            finally:
                os.close(handle)
        if not stored.folders:
            stored.tree = self.save_tree(stored.texts, task.before, text_before)
            stored.texts = []
        return stored

    def store_alone(
        self, path: bytes, before: dict[str, str], counted: dict[str, str], *, is_way: bool = False
    ) -> StoredFolder:
        """Store one entry of a directory, of whose nodes these are the JSON.

        `is_way`: sources lie below it, so it has to be a directory, or links that lead to one.
        """
        folder, name = os.path.split(path)
        visit = _Visit(folder, -1, before, counted, StoredFolder())
        try:
            visit.handle = os.open(folder or b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            visit.failed(name, "scan", error)
            return visit.stored
        try:
            if is_way:
                inside = name + b"/."  # what is asked of it is answered by what links lead to
                found = os.stat(inside, dir_fd=visit.handle, follow_symlinks=False)
                self._other(visit, name, found, inside)
            else:
                self._entry(visit, name, os.stat(name, dir_fd=visit.handle, follow_symlinks=False))
            self._settle(visit)
        except OSError as error:
            visit.failed(name, "scan", error)
        finally:
            os.close(visit.handle)
        return visit.stored

    def texts_before(self, tree: BlobID | None) -> dict[str, str]:
        """Return the JSON of each node of a tree, by its name; nothing if the tree is not there."""
        return self._before(tree)[0]

    def save_tree(self, texts: list[str], before: BlobID | None = None, text_before: bytes = b"") -> BlobID:
        """Store the tree of nodes that are texts; one that is as before is there already.

        Raises:
            UsageError: The directory has so many entries that its tree could not be read back.
        """
        content = encode_tree(texts)
        if len(content) > MAX_BLOB_BYTES:
            raise UsageError(
                f"a directory has {len(texts)} entries, and no restore could read a tree of {len(content)} bytes; "
                "exclude it, or spread its files over several"
            )
        if before is not None and content == text_before:
            return before
        tree = blob_id(content)
        self._writer.save_as(tree, BlobKind.TREE, content)
        return tree

    def _before(self, tree: BlobID | None) -> tuple[dict[str, str], bytes]:
        """Return what the parent snapshot has of a directory; a broken tree means reading all again."""
        if tree is None:
            return {}, b""
        try:
            text = load_blob(self._repository, tree)
        except EngineError as error:
            if error.retryable:
                raise
            return {}, b""
        known = self._repository.index.holds(BlobKind.TREE, tree)
        return texts_by_name(text), text if known else b""

    def _visit(self, visit: _Visit) -> None:
        exclusion = self._rules.exclusion
        entries: Sequence[Unseen]
        try:
            # where nothing is known or left out, every file is opened, which tells as much as looking at it
            all_new = not (visit.before or exclusion)
            entries, failed = (list_unseen if all_new else list_directory)(visit.handle)
        except OSError as error:
            visit.failed(b"", "scan", error)
            return
        only = exclusion.only(visit.path)
        if only is not None:
            entries, failed = _named(entries, only), _named(failed, only)
        for name, failure in failed:
            visit.failed(name, "scan", failure)
        excludes = exclusion.excludes if exclusion else None
        self._progress.current = os.fsdecode(visit.path)
        for name, found in entries:
            self._progress.check()
            if excludes is None or found is None or not excludes(os.path.join(visit.path, name), found):
                self._entry(visit, name, found)
        self._settle(visit)

    def _entry(self, visit: _Visit, name: bytes, found: os.stat_result | None) -> None:
        if found is None or stat.S_ISREG(found.st_mode):
            self._file(visit, name, found)
        else:
            self._other(visit, name, found)

    def _other(self, visit: _Visit, name: bytes, found: os.stat_result, where: bytes = b"") -> None:
        """Take a directory, a link or a special file; `where` it lies, if that is not by its name."""
        try:
            path = path_below(visit.handle, where or name)
            node = node_of(name, found, path, with_atime=self._rules.with_atime)
        except OSError as error:
            visit.failed(name, "read metadata", error)
            return
        if node.type == SOCKET:
            return
        text = encode_node(node)
        if node.type == DIR:
            key = json_name(name)
            before = visit.before.get(key)
            counted = visit.counted.get(key)
            subtree = _subtree(before)
            visit.stored.folders.append(
                Subfolder(
                    len(visit.stored.texts),
                    name,
                    text[:-1],
                    subtree,
                    subtree if counted == before else _subtree(counted),
                    is_mount_point=self._rules.exclusion.one_file_system
                    and found.st_dev != os.fstat(visit.handle).st_dev,
                )
            )
        visit.add(text)

    def _file(self, visit: _Visit, name: bytes, found: os.stat_result | None) -> None:
        key, text = json_name(name), None
        before = visit.before.get(key)
        if found is not None and before is not None:
            text = self._unchanged(visit, name, found, key, before)
        if text is not None and found is not None:
            visit.add(text)
            self._progress.bytes_done += found.st_size
            self._count(visit, name, key, found.st_size, is_as_counted=visit.counted.get(key) == before)
        else:
            try:
                self._read(visit, name, key)
            except OSError as error:
                visit.failed(name, "read", error)
                return
        self._progress.files_done += 1

    def _count(self, visit: _Visit, name: bytes, key: str, size_bytes: int, *, is_as_counted: bool) -> None:
        tally = visit.stored.tally
        tally.bytes_processed += size_bytes
        if key not in visit.counted:
            became = "new"
            tally.files_new += 1
        elif is_as_counted:
            became = "unchanged"
            tally.files_unmodified += 1
        else:
            became = "modified"
            tally.files_changed += 1
        if self._rules.listing:
            visit.stored.files.append((became, os.path.join(visit.path, name), size_bytes))

    def _unchanged(
        self, visit: _Visit, name: bytes, found: os.stat_result, key: str, before: str
    ) -> str | None:
        """Return the JSON of a file's node if its content need not be read."""
        rules = self._rules.changes
        if not is_settled(found.st_mtime_ns, found.st_ctime_ns, rules):
            return None
        head = file_head(key, found, found.st_size, with_atime=self._rules.with_atime)
        if before.startswith(head) and before.startswith(_CONTENT, len(head)):
            known = before[len(head) + len(_CONTENT) : -len("]}")]
            if self._holds_listed(known, found.st_size):
                return before
        node = _node(before)
        try:
            now = node_of(name, found, path_below(visit.handle, name), with_atime=self._rules.with_atime)
        except OSError:
            return None  # reading it will say why
        if node is None or not is_unchanged(now, node, rules) or not self._holds_all(node.content, now.size):
            return None
        now.content = node.content
        return encode_node(now)

    def _holds_listed(self, listed: str, size_bytes: int) -> bool:
        """Say whether the repository has the blobs of a list in JSON, the content of a file of that length."""
        try:
            blobs = [parse_id(one[1:-1]) for one in listed.split(",")] if listed else []
            return self._holds_all(blobs, size_bytes)
        except DamagedError:
            return False

    def _holds_all(self, blobs: Sequence[bytes], size_bytes: int) -> bool:
        """Say whether the repository has these blobs, and they may be the content of a file of that length."""
        if size_bytes and not blobs:
            return False
        holds = self._repository.index.holds
        for blob in blobs:  # noqa: SIM110  twice as fast as a generator, and done for every file
            if not holds(BlobKind.DATA, BlobID(blob)):
                return False
        return True

    def _read(self, visit: _Visit, name: bytes, key: str) -> None:
        """Read and store a file.

        Raises:
            OSError: That is not possible, or the file was not still meanwhile although it had to be.
        """
        content: Content = []
        handle, found = open_file(name, visit.handle)
        try:
            length = self._files.store(handle, found.st_size, content, most_chunks=visit.room.most_chunks)
            xattrs = read_xattrs(handle)
            if self._rules.still and has_changed(handle, found):
                raise OSError(0, "it changed while it was read")
        finally:
            os.close(handle)
        text = file_head(key, found, length, with_atime=self._rules.with_atime) + encode_xattrs(xattrs)
        visit.pending.append(_Pending(name, key, len(visit.stored.texts), text, content, length))
        visit.stored.texts.append("")
        visit.room.take(len(text), chunks=len(content))

    def _settle(self, visit: _Visit) -> None:
        """Write down what files consist of, once that is stored: those that were read for nothing show then."""
        self._files.settle()
        for read in visit.pending:
            if read.size_bytes and not read.content:
                raise InternalError(
                    f"internal error: a file of {read.size_bytes} bytes was read and not stored"
                )
            text = f"{read.text}{encode_content(settled(read.content))}}}"
            visit.stored.texts[read.position] = text
            is_as_counted = text == visit.counted.get(read.key)
            self._count(visit, read.name, read.key, read.size_bytes, is_as_counted=is_as_counted)
        visit.pending.clear()


def _named(found: Sequence[tuple[bytes, T]], only: frozenset[bytes]) -> list[tuple[bytes, T]]:
    return [one for one in found if one[0] in only]


def _node(text: str | None) -> Node | None:
    """Return a node of the parent snapshot, if it can be read."""
    try:
        return decode_node(text) if text else None
    except DamagedError:
        return None


def _subtree(text: str | None) -> BlobID | None:
    """Return the tree of a directory's node."""
    node = _node(text)
    return node.subtree if node and node.type == DIR else None


def _failure(path: bytes, during: str, error: OSError) -> tuple[bytes, str, str]:
    return path, during, error.strerror or str(error)
