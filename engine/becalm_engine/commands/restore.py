"""`becalm restore`: writes a snapshot's files into a folder.

First the tree is walked: directories are made, links and special files created, and for each file it is
decided what to write. Then come the contents (`contents`). Metadata is last, directories after all that is in them.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVarTuple, Unpack

from becalm_engine.commands.contents import Contents, RestoredFile
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import EngineError, TargetError
from becalm_engine.format.names import quote
from becalm_engine.format.tree import CHARDEV, DEV, DIR, FIFO, FILE, SOCKET, SYMLINK, Node
from becalm_engine.ids import BlobID
from becalm_engine.policy.patterns import Patterns
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository
from becalm_engine.volume import target
from becalm_engine.volume.metadata import Problems, set_metadata, set_metadata_at
from becalm_engine.volume.target import Target

_Arguments = TypeVarTuple("_Arguments")
_NO_PATTERNS = Patterns(())


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What to restore, and how. `overwrite` is one of always, if-changed, if-newer, never."""

    include: Patterns = _NO_PATTERNS
    exclude: Patterns = _NO_PATTERNS
    overwrite: str = "always"
    delete: bool = False
    verify: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class Outcome:
    """What a restore did, and what it could not do."""

    files_restored: int = 0
    files_unchanged: int = 0
    files_deleted: int = 0
    bytes_restored: int = 0
    problems: Problems = field(default_factory=Problems)
    failed: list[str] = field(default_factory=list)


_Path = tuple[bytes, ...]
_SPECIAL = frozenset((SYMLINK, DEV, CHARDEV, FIFO))


@dataclass(slots=True)
class _Folder:
    """One directory: where it goes below the target, and how it is shown to people."""

    path: _Path
    node: Node
    shown: str
    included: bool


class Restorer:
    """Restores one tree into an open folder. `report` is told each file that could not be restored."""

    def __init__(
        self,
        repository: Repository,
        options: RestoreOptions,
        *,
        progress: Progress,
        report: Callable[[str, str], None],
    ) -> None:
        self.outcome = Outcome()
        self._repository = repository
        self._options = options
        self._progress = progress
        self._report = report
        self._files: list[RestoredFile] = []
        self._hard_links: dict[tuple[int, int], RestoredFile] = {}
        self._linked: list[tuple[RestoredFile, RestoredFile]] = []
        self._folders: list[_Folder] = []
        self._failing = threading.Lock()

    def restore(self, tree: BlobID, root: int, top: Node | None = None) -> None:
        """Restore the content of `tree` into the open directory `root`, which gets the metadata of `top`."""
        self._target = Target(root)
        if top is not None:
            self._folders.append(_Folder((), top, "/", not self._options.include))
        with contextlib.closing(self._target):
            self._restore(tree)

    def _restore(self, tree: BlobID) -> None:
        contents = Contents(self._repository, self._target, self._progress, self._failed_file)
        self._plan(tree)
        self._progress.files_total = len(self._files)
        self._progress.bytes_total = sum(file.node.size for file in self._files)
        if self._options.dry_run:
            self.outcome.files_restored += len(self._files)
            self.outcome.bytes_restored = self._progress.bytes_total
            return
        self._write(contents)
        for name, existing in self._linked:
            self._attempt(name.path, self._link, name, existing)
        for folder in sorted(self._folders, key=lambda one: len(one.path), reverse=True):
            if folder.included or folder.path in self._target.made:
                self._attempt(folder.shown, self._finish_folder, folder)
        if self._options.verify:
            self._verify(contents)

    def _write(self, contents: Contents) -> None:
        for file in self._files:
            self._progress.check()
            file.failed = not self._attempt(file.path, contents.create, file)
        contents.write(file for file in self._files if not file.failed)
        for file in self._files:
            self._progress.check()
            if self._attempt(file.path, self._finish_file, file) and not file.failed:
                self.outcome.files_restored += 1
                self.outcome.bytes_restored += file.node.size
                self._progress.files_done += 1

    def _verify(self, contents: Contents) -> None:
        for file in self._files:
            self._progress.check()
            if not file.failed:
                self._attempt(file.path, contents.verify, file)

    # --- first pass: the shape

    def _plan(self, tree: BlobID) -> None:
        waiting: list[tuple[BlobID, _Path, str]] = [(tree, (), "")]
        while waiting:
            self._progress.check()
            current, folder, shown = waiting.pop()
            try:
                nodes = load_tree(self._repository, current)
            except EngineError as error:
                self._failed(shown or "/", error)
                continue
            taken: set[bytes] = set()
            for node in nodes:
                if node.name in taken:
                    self._failed(f"{shown}/{quote(node.name)}", TargetError("the snapshot has it twice"))
                    continue
                taken.add(node.name)
                self._plan_node(node, folder, f"{shown}/{quote(node.name)}", waiting)
            if self._options.delete:
                self._delete_others(folder, taken, shown)

    def _plan_node(
        self, node: Node, folder: _Path, shown: str, waiting: list[tuple[BlobID, _Path, str]]
    ) -> None:
        if self._options.exclude and self._options.exclude.match(shown):
            return
        try:
            target.refuse_name(node.name)
        except TargetError as error:
            self._failed(shown, error)
            return
        included = not self._options.include or self._options.include.match_any_parent(shown)
        if node.type == DIR:
            assert node.subtree is not None
            inside = _Folder((*folder, node.name), node, shown, included)
            if self._attempt(shown, self._plan_folder, inside):
                waiting.append((node.subtree, inside.path, shown))
        elif included:
            self._attempt(shown, self._plan_file, RestoredFile(folder, node, shown))

    def _plan_folder(self, folder: _Folder) -> None:
        if folder.included and not self._options.dry_run:
            with self._target.folder(folder.path, make=True):
                pass
        self._folders.append(folder)

    def _plan_file(self, file: RestoredFile) -> None:
        node = file.node
        if node.type == SOCKET:
            return
        if node.type != FILE and node.type not in _SPECIAL:
            raise TargetError(f"a file of type {node.type!r} cannot be made")
        if node.links > 1 and (first := self._hard_links.setdefault(_identity(node), file)) is not file:
            self._linked.append((file, first))
        elif self._keeps_present(file):
            self.outcome.files_unchanged += 1
        elif node.type == FILE:
            self._files.append(file)
        else:
            self._create_special(file)

    def _create_special(self, file: RestoredFile) -> None:
        if not self._options.dry_run:
            with self._target.folder(file.folder, make=True) as folder:
                target.create_special(folder, file.node.name, file.node)
                set_metadata_at(folder, file.node.name, file.node, file.path, self.outcome.problems)
        self.outcome.files_restored += 1

    def _keeps_present(self, file: RestoredFile) -> bool:
        """Say whether a file that is there already stays as it is."""
        rule = self._options.overwrite
        if rule == "always" or (file.node.type != FILE and rule != "never"):
            return False
        try:
            with self._target.folder(file.folder) as folder:
                found = os.stat(file.node.name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return False
        if rule == "never":
            return True
        if rule == "if-newer":
            return found.st_mtime_ns >= file.node.mtime
        return found.st_mtime_ns == file.node.mtime and found.st_size == file.node.size

    def _delete_others(self, folder: _Path, keep: Iterable[bytes], shown: str) -> None:
        """Remove what the snapshot does not have in a directory that is restored whole."""
        if self._options.include and not self._options.include.match_any_parent(shown or "/"):
            return
        try:
            with self._target.folder(folder) as handle:
                for name in set(target.list_names(handle)).difference(keep):
                    path = f"{shown}/{quote(name)}"
                    if not self._options.exclude.match(path):
                        self._attempt(path, self._delete, handle, name)
        except FileNotFoundError:
            return
        except OSError as error:
            reason = f"cannot delete what is not in the snapshot: {error.strerror}"
            self._failed(shown or "/", TargetError(reason))

    def _delete(self, folder: int, name: bytes) -> None:
        if not self._options.dry_run:
            target.remove(folder, name)
        self.outcome.files_deleted += 1

    # --- last pass: metadata and hard links

    def _finish_file(self, file: RestoredFile) -> None:
        with self._target.folder(file.folder) as folder:
            handle = target.open_for_writing(folder, file.node.name)
            with target.closing(handle):
                set_metadata(handle, file.node, file.path, self.outcome.problems)

    def _link(self, name: RestoredFile, existing: RestoredFile) -> None:
        with (
            self._target.folder(name.folder, make=True) as folder,
            self._target.folder(existing.folder) as source,
        ):
            target.remove(folder, name.node.name)
            os.link(
                existing.node.name,
                name.node.name,
                src_dir_fd=source,
                dst_dir_fd=folder,
                follow_symlinks=False,
            )
        self.outcome.files_restored += 1

    def _finish_folder(self, folder: _Folder) -> None:
        with self._target.folder(folder.path) as handle:
            set_metadata(handle, folder.node, folder.shown, self.outcome.problems)

    def _attempt(
        self, path: str, action: Callable[[Unpack[_Arguments]], None], *arguments: *_Arguments
    ) -> bool:
        """Do one thing for one file; a failure is that file's, not the restore's."""
        try:
            action(*arguments)
        except OSError as error:
            self._failed(path, TargetError(error.strerror or str(error)))
            return False
        except TargetError as error:
            self._failed(path, error)
            return False
        return True

    def _failed_file(self, file: RestoredFile, error: EngineError) -> None:
        """Note that a file is not whole; the first reason is told."""
        with self._failing:
            known, file.failed = file.failed, True
        if not known:
            self._failed(file.path, error)

    def _failed(self, path: str, error: EngineError) -> None:
        with self._failing:
            self.outcome.failed.append(f"{path}: {error}")
            self._progress.errors += 1
        self._report(path, str(error))


def _identity(node: Node) -> tuple[int, int]:
    """Return what nodes have in common that are one file with several names."""
    return node.inode, node.device_id
