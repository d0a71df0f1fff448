"""Puts directories together to trees, from the deepest up.

Directories are stored one by one, by this process or by several (`Stores`), in whatever order they come back.
One whose directories are all stored gets its tree, and only then goes into the one above it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from becalm_engine.commands.folder import FolderStore
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import Folder, leaves
from becalm_engine.commands.stored import FolderTask, StoredFolder, Subfolder, Tally
from becalm_engine.ids import BlobID

Reporter = Callable[[str, str, str], None]
"""Told of each file that could not be read: its path, what was being done, and the reason."""

Listener = Callable[[str, str, int], None]
"""Told what became of each file (new, modified, unchanged), its path, and its length in bytes."""


class Stores(Protocol):
    """Whatever stores directories."""

    @property
    def has_room(self) -> bool:
        """Whether another task may be given now; always so if there are none."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether anything is to be expected."""
        ...

    def submit(self, number: int, task: FolderTask) -> None:
        """Give a task."""
        ...

    def next(self) -> tuple[int, StoredFolder]:
        """Return the number of a task that is done, and what became of it."""
        ...


class Alone:
    """Stores directories in this process, one after the other."""

    def __init__(self, folders: FolderStore) -> None:
        self._folders = folders
        self._tasks: list[tuple[int, FolderTask]] = []

    @property
    def has_room(self) -> bool:
        """Whether nothing waits."""
        return not self._tasks

    @property
    def is_busy(self) -> bool:
        """Whether something waits."""
        return bool(self._tasks)

    def submit(self, number: int, task: FolderTask) -> None:
        """Take a task."""
        self._tasks.append((number, task))

    def next(self) -> tuple[int, StoredFolder]:
        """Do it."""
        number, task = self._tasks.pop()
        return number, self._folders.store(task)


@dataclass(slots=True)
class _OpenFolder:
    """A directory that is not stored yet, its nodes, and how many of those still lack their tree.

    `followed`: links may lead to it.
    """

    path: bytes
    place: Subfolder
    above: "_OpenFolder | None"
    followed: bool = False
    texts: list[str] = field(default_factory=list)
    missing: int = 0


class Archiver:
    """Stores one set of sources. `report` is told each file that could not be read."""

    def __init__(
        self,
        folders: FolderStore,
        stores: Stores,
        progress: Progress,
        report: Reporter,
        listen: Listener = lambda *_: None,
    ) -> None:
        self.tally = Tally()
        self.unreadable: list[str] = []
        self._folders = folders
        self._stores = stores
        self._progress = progress
        self._report = report
        self._listen = listen
        self._waiting: list[_OpenFolder] = []
        self._given: dict[int, _OpenFolder] = {}
        self._count = 0
        self._tree: BlobID | None = None

    def store(self, root: Folder, before: BlobID | None, counted: BlobID | None) -> BlobID:
        """Store the sources below `root` and return the id of the tree that holds them.

        Contents are taken from the tree `before`; new is what the tree `counted` does not have.
        """
        self._arrange(root, _OpenFolder(root.path, Subfolder(0, b"", "", before, counted), None))
        while self._waiting or self._stores.is_busy:
            self._progress.check()
            while self._waiting and self._stores.has_room:
                self._give(self._waiting.pop())
            number, stored = self._stores.next()
            self._take(self._given.pop(number), stored)
        assert self._tree is not None
        return self._tree

    def _arrange(self, source: Folder, folder: _OpenFolder) -> None:
        """Descend to the sources through directories of which nothing else is taken."""
        if source.leaf and not source.children:
            self._waiting.append(folder)
            return
        before = self._folders.texts_before(folder.place.before)
        counted = self._folders.texts_before(folder.place.counted)
        inside: list[tuple[Folder, _OpenFolder]] = []
        for name in sorted(source.children):
            child = source.children[name]
            stored = self._stored(child, before, counted)
            for place in stored.folders:
                place.position += len(folder.texts)
                inside.append((child, _OpenFolder(child.path, place, folder, child.is_way)))
            folder.texts += stored.texts
            self._count_in(stored)
        folder.missing = len(inside)
        for child, opened in inside:
            self._arrange(child, opened)
        if not inside:
            self._finish(folder, self._folders.save_tree(folder.texts))

    def _stored(self, source: Folder, before: dict[str, str], counted: dict[str, str]) -> StoredFolder:
        """Store a source or a folder on the way to some; if that leads nowhere, none of them can be read."""
        stored = self._folders.store_alone(source.path, before, counted, is_way=source.is_way)
        if source.is_way:
            stored.unreadable = [
                (path, during, reason) for path in leaves(source) for _, during, reason in stored.unreadable
            ]
        return stored

    def _give(self, folder: _OpenFolder) -> None:
        self._count += 1
        self._given[self._count] = folder
        place = folder.place
        task = FolderTask(folder.path, place.before, place.counted, folder.followed)
        self._stores.submit(self._count, task)

    def _take(self, folder: _OpenFolder, stored: StoredFolder) -> None:
        """Go on with what became of a directory: to those in it, or to the one above it."""
        self._count_in(stored)
        if stored.tree is not None:
            self._finish(folder, stored.tree)
            return
        folder.texts, folder.missing = stored.texts, len(stored.folders)
        for place in reversed(stored.folders):
            inside = _OpenFolder(os.path.join(folder.path, place.name), place, folder)
            if place.is_mount_point:  # kept, and left empty
                self._finish(inside, self._folders.save_tree([]))
            else:
                self._waiting.append(inside)

    def _finish(self, folder: _OpenFolder, tree: BlobID) -> None:
        """Write the tree of a directory into the one above it, and so on as far as those are complete."""
        while folder.above is not None:
            self._count_folder(folder.place.counted, tree)
            above, place = folder.above, folder.place
            above.texts[place.position] = place.node_text(tree)
            above.missing -= 1
            if above.missing:
                return
            folder, tree = above, self._folders.save_tree(above.texts)
        self._tree = tree

    def _count_folder(self, counted: BlobID | None, tree: BlobID) -> None:
        if counted is None:
            self.tally.dirs_new += 1
        elif counted == tree:
            self.tally.dirs_unmodified += 1
        else:
            self.tally.dirs_changed += 1

    def _count_in(self, stored: StoredFolder) -> None:
        self.tally.add(stored.tally)
        for became, path, size in stored.files:
            self._listen(became, os.fsdecode(path), size)
        for path, during, reason in stored.unreadable:
            shown = os.fsdecode(path).encode(errors="backslashreplace").decode()
            self.unreadable.append(shown)
            self._progress.errors += 1
            self._report(shown, during, reason)
