"""The first pass of a restore: walks the snapshot's tree and decides what becomes of each entry.

Directories are made on the way down. On the way up, what the snapshot does not have is deleted if that is
wanted, before anything is written: what goes may be the room that is needed.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from becalm_engine.commands.file_table import FileTable
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.restored import Action, Ledger, Path, RestoredFile, RestoreOptions
from becalm_engine.commands.whole import spot_of_whole
from becalm_engine.errors import EngineError, TargetError
from becalm_engine.format.shown import shown_text
from becalm_engine.format.tree import CHARDEV, DEV, DIR, FIFO, FILE, SOCKET, SYMLINK, Node
from becalm_engine.ids import BlobID
from becalm_engine.policy.overwrite import Verdict, is_begun_folder, judge, seems_same
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository
from becalm_engine.volume import removing, target
from becalm_engine.volume.target import Target

_MOST_PATH_CHARS = 16 * 1024
"""Four times what Linux takes in one call. Directories keep their paths, so their depth costs its square."""
_SPECIAL = frozenset((SYMLINK, DEV, CHARDEV, FIFO))


@dataclass(slots=True)
class Folder:
    """One directory: where it goes below the target, and its path in the snapshot.

    `restored`: its metadata is set, since it is asked for, or is made on the way to something. One that is there
    already and only leads to something is left as it is.
    """

    place: Path
    node: Node | None
    path: str
    restored: bool


@dataclass(slots=True)
class Plan:
    """What is left to do. Folders come after those in them; of a link, its first name is a file.

    `whole`: files that are made and written in one go.
    """

    files: list[RestoredFile] = field(default_factory=list)
    whole: FileTable = field(default_factory=FileTable)
    special: list[RestoredFile] = field(default_factory=list)
    links: list[tuple[RestoredFile, RestoredFile]] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)


Later = list[tuple[Folder, BlobID]]
"""Directories that have been made, and the trees of what goes into them."""


@dataclass(slots=True)
class _Level:
    """One directory that is being walked. `touched`: something in it is wanted. `is_empty`: nothing is there yet.

    `found`: the numbers of the files that were found there, and for which name. `listed`: all names that are there,
    once somebody had to know.
    """

    folder: Folder
    nodes: Iterator[Node]
    touched: bool
    names: set[bytes] = field(default_factory=set)
    is_empty: bool = False
    found: dict[int, bytes] = field(default_factory=dict)
    listed: frozenset[bytes] | None = None


_Same = tuple[int, int, str, tuple[BlobID, ...], bytes, int]
"""What names of one file have in common."""


def _same(node: Node) -> _Same:
    """Return what tells by which names a file goes. Its number alone does not: a live one may have gone to another."""
    return node.inode, node.device_id, node.type, node.content, node.link_target, node.device


class RestoreWalk:
    """Fills a plan. `take` gets each file that is not made and written in one go; who has it calls `settle`.

    `entered` is told each tree, and how many entries it has.
    """

    def __init__(
        self,
        repository: Repository,
        place: Target,
        options: RestoreOptions,
        ledger: Ledger,
        progress: Progress,
        *,
        entered: Callable[[BlobID, int], None],
        take: Callable[[RestoredFile, Verdict], None] | None = None,
    ) -> None:
        self.plan = Plan()
        self._told_entered = entered
        self._take_other = take or self.settle
        self._entries = 0
        self._repository = repository
        self._target = place
        self._options = options
        self._all_wanted = options.selection.is_everything
        self._ledger = ledger
        self._progress = progress
        self._hard_links: dict[_Same, RestoredFile] = {}

    def walk(self, folder: Folder, tree: BlobID, most_entries: int | None = None) -> Later:
        """Plan to restore the content of a tree into a directory that is there.

        Once so many entries were taken in, directories are made but not entered. Returns those.
        """
        self._later: Later = []
        self._most = most_entries
        levels = self._entered(folder, tree)
        while levels:
            self._progress.check()
            level = levels[-1]
            node = next(level.nodes, None)
            if node is not None:
                levels += self._take(node, level)
                continue
            levels.pop()
            self._leave(level)
            if levels:
                levels[-1].touched |= level.touched
        return self._later

    def _entered(self, folder: Folder, tree: BlobID) -> list[_Level]:
        if self._most is not None and self._entries >= self._most:
            self._later.append((folder, tree))
            return []
        try:
            nodes = load_tree(self._repository, tree)
        except EngineError as error:
            self._ledger.failed(folder.path or "/", error)
            return []
        self._entries += len(nodes)
        self._told_entered(tree, len(nodes))
        return [_Level(folder, iter(nodes), folder.restored, is_empty=self._is_empty(folder))]

    def _is_empty(self, folder: Folder) -> bool:
        """Say whether nothing is there: then no file has to be looked for."""
        try:
            with self._target.folder(folder.place) as handle, os.scandir(handle) as entries:
                return next(entries, None) is None
        except OSError:
            return False

    def _take(self, node: Node, level: _Level) -> list[_Level]:
        """Take in one entry; return a directory to be entered."""
        path = f"{level.folder.path}/{os.fsdecode(node.name)}"
        if node.name in level.names:
            self._ledger.failed(path, TargetError("the snapshot has it twice"))
            return []
        level.names.add(node.name)
        selection, all_wanted = self._options.selection, self._all_wanted
        if not all_wanted and selection.excludes(path):
            return []
        if not self._ledger.attempt(path, target.refuse_name, node.name):
            return []
        included = all_wanted or selection.includes(path)
        if node.type == DIR:
            wanted = included or selection.may_include_below(path)
            return (
                self._folder(node, Folder((*level.folder.place, node.name), node, path, included))
                if wanted
                else []
            )
        if included:
            level.touched = True
            file = RestoredFile(level.folder.place, node, path)
            self._ledger.attempt(path, self._file, file, level)
        return []

    def _folder(self, node: Node, folder: Folder) -> list[_Level]:
        assert node.subtree is not None
        if len(folder.path) > _MOST_PATH_CHARS:
            reason = f"its path has {len(folder.path)} characters, more than any program could open; left out"
            self._ledger.failed(f"{folder.path[:100]}…", TargetError(reason))
            return []
        if folder.restored and not self._ledger.attempt(folder.path, self._make, folder):
            return []
        return self._entered(folder, node.subtree)

    def _make(self, folder: Folder) -> None:
        if not self._options.dry_run:
            with self._target.folder(folder.place, make=True):
                pass

    def _file(self, file: RestoredFile, level: _Level) -> None:
        node = file.node
        if node.type == SOCKET:
            return
        if node.type != FILE and node.type not in _SPECIAL:
            raise TargetError(f"a file of type {node.type!r} cannot be made")
        found = None if level.is_empty else self._found(file)
        if found is not None:
            self._refuse_second_name(file, found, level)
        verdict = judge(self._options.overwrite, node, found)
        file.replaces = found is not None
        file.complete = verdict is Verdict.KEEP and found is not None and seems_same(node, found)
        if self._options.delete and verdict is Verdict.REPLACE and found and stat.S_ISDIR(found.st_mode):
            self._empty(file)
        spot = None
        if verdict in (Verdict.NEW, Verdict.REPLACE) and node.type == FILE:
            spot = spot_of_whole(self._repository.index, file, sparse=self._options.sparse)
        if spot is None:
            self._take_other(file, verdict)
        else:
            self.plan.whole.append(file, spot)

    def settle(self, file: RestoredFile, verdict: Verdict) -> None:
        """Plan what becomes of a file that is not made and written in one go."""
        node = file.node
        first = self._first_name(file, verdict) if node.links > 1 else file
        if verdict is Verdict.KEEP:
            self._ledger.done(Action.UNCHANGED, file.path, node.size if first is file else 0)
        elif first is not file:
            self.plan.links.append((file, first))
        elif node.type in _SPECIAL:
            self.plan.special.append(file)
        else:
            file.present = verdict in (Verdict.COMPARE, Verdict.TRUST)
            file.complete = verdict is Verdict.TRUST
            self.plan.files.append(file)

    def _first_name(self, file: RestoredFile, verdict: Verdict) -> RestoredFile:
        """Return the name that a file becomes a link to; itself if there is none yet.

        What is kept though it is another file is no name of this one. What seems to be as in the snapshot is: perhaps
        a restore that was broken off has made it, and not yet its links.
        """
        key = _same(file.node)
        if verdict is Verdict.KEEP and not file.complete:
            return self._hard_links.get(key, file)
        return self._hard_links.setdefault(key, file)

    def _found(self, file: RestoredFile) -> os.stat_result | None:
        try:
            with self._target.folder(file.folder) as folder:
                return os.stat(file.node.name, dir_fd=folder, follow_symlinks=False)
        except OSError:  # what stands in the way of making it is told when it is made
            return None

    def _refuse_second_name(self, file: RestoredFile, found: os.stat_result, level: _Level) -> None:
        """Refuse a file for which another name of the snapshot is found, as where case is ignored.

        Raises:
            TargetError: It would be written over that one.
        """
        first = level.found.setdefault(found.st_ino, file.node.name)
        if first == file.node.name:
            return
        # Both may be there: as names of one file, or as files to which a server gives one number.
        if level.listed is None:
            with self._target.folder(file.folder) as folder:
                level.listed = frozenset(target.list_names(folder))
        if not level.listed.issuperset((first, file.node.name)):
            shown = shown_text(os.fsdecode(first))
            raise TargetError(f"{shown} of the snapshot is the same name here, where case is ignored perhaps")

    def _leave(self, level: _Level) -> None:
        if level.touched:
            level.folder.restored = level.folder.restored or not self._is_there(level.folder)
            self.plan.folders.append(level.folder)
            if self._options.delete:
                self._delete_others(level.folder, level.names)

    def _is_there(self, folder: Folder) -> bool:
        """Say whether a directory is there, and is not one that an unfinished restore has made."""
        try:
            with self._target.folder(folder.place) as handle:
                return not is_begun_folder(folder.node, os.fstat(handle))
        except OSError:
            return False

    def _empty(self, file: RestoredFile) -> None:
        """Delete what is in a directory that is where a file goes."""
        with (
            self._target.folder(file.folder) as folder,
            target.closing(target.open_directory(folder, file.node.name)) as inside,
        ):
            for name in sorted(target.list_names(inside)):
                self._delete(inside, name, file.path)

    def _delete_others(self, folder: Folder, keep: set[bytes]) -> None:
        """Remove what is asked for and not in the snapshot."""
        try:
            with self._target.folder(folder.place) as handle:
                listed = frozenset(target.list_names(handle))
                others = sorted(listed - keep)
                # where case is ignored, what the snapshot has may be there, and listed by another name
                kept = target.numbers_of(handle, keep - listed if others else ())
                for name in others:
                    path = f"{folder.path}/{os.fsdecode(name)}"
                    if self._options.selection.wants(path) and not kept & target.numbers_of(handle, (name,)):
                        self._ledger.attempt(path, self._delete, handle, name, folder.path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            reason = f"cannot delete what is not in the snapshot: {error.strerror}"
            self._ledger.failed(folder.path or "/", TargetError(reason))

    def _delete(self, folder: int, name: bytes, parent: str) -> None:
        """Delete what is at a name, but for what is left out, and the directories above that."""

        def told(path: bytes) -> None:
            self._ledger.done(Action.DELETED, f"{parent}/{os.fsdecode(path)}")

        def spares(path: bytes) -> bool:
            return not self._options.selection.wants(f"{parent}/{os.fsdecode(path)}")

        if not self._options.dry_run:
            removing.remove(folder, name, told, spares)
            return
        for _, inner, _, above in removing.everything_at(folder, name, spares):
            self._progress.check()
            told(b"/".join((*above, inner)))
