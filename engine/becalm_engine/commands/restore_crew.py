"""The walk of a restore by several processes: each takes some directories, and hands over what it planned.

A walk begins in one process. What it has not entered when it has met enough entries becomes tasks, and so does what a
task has not entered. Only who leads sees hard links, and keeps the books.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from becalm_engine.commands.file_table import FileTable
from becalm_engine.commands.progress import Progress, ToldProgress
from becalm_engine.commands.restore_walk import Folder, Later, Plan, RestoreWalk
from becalm_engine.commands.restored import Ledger, RestoredFile, RestoreOptions
from becalm_engine.commands.unfolding import UnfoldingGuard
from becalm_engine.crew import Crew
from becalm_engine.errors import EngineError
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID
from becalm_engine.policy.overwrite import Verdict
from becalm_engine.repository.repository import Repository
from becalm_engine.volume.target import Target

_ALONE_ENTRIES = 2000
"""So many are looked at before it is worth while to make processes."""
_TASK_ENTRIES = 4000
_TASK_FOLDERS = 16
_TASKS_EACH = 4
"""With few directories, tasks are so small that each process gets that many."""


@dataclass(slots=True)
class Walked:
    """What became of some directories. `others` are files that are not made and written in one go."""

    whole: FileTable
    folders: list[Folder]
    later: Later
    others: list[tuple[RestoredFile, Verdict]] = field(default_factory=list)
    failed: list[tuple[str, EngineError]] = field(default_factory=list)
    entered: list[tuple[BlobID, int]] = field(default_factory=list)
    """Trees, and how many entries each has: whether they unfold without end is seen by who sees all of them."""


class _Failures(Ledger):
    """Notes what could not be restored, for the books of somebody else."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress, lambda *_: None)
        self.noted: list[tuple[str, EngineError]] = []

    def failed(self, path: str, error: EngineError) -> None:
        """Note it."""
        self.noted.append((path, error))


@dataclass(frozen=True, slots=True)
class Walking:
    """What a walk needs. Makes members, too: what it holds is there before they are forked."""

    repository: Repository
    target: Target
    options: RestoreOptions
    root: BlobID

    @contextlib.contextmanager
    def __call__(self, stop: threading.Event, tell: Callable[[Any], None]) -> Iterator["_Member"]:
        """Be a member, for the block."""
        progress = ToldProgress(stop=stop, tell=tell)
        with contextlib.closing(self.target.forked()) as place:
            repository = self.repository.forked(stop)
            yield _Member(Walking(repository, place, self.options, self.root), progress)


class _Member:
    """One process's walk."""

    def __init__(self, walking: Walking, progress: ToldProgress) -> None:
        self._walking = walking
        self._progress = progress

    def work(self, task: Later) -> Walked:
        """Walk some directories."""
        ledger = _Failures(self._progress)
        others: list[tuple[RestoredFile, Verdict]] = []
        entered: list[tuple[BlobID, int]] = []
        walking = self._walking
        walk = RestoreWalk(
            walking.repository,
            walking.target,
            walking.options,
            ledger,
            self._progress,
            entered=lambda tree, entries: entered.append((tree, entries)),
            take=lambda file, verdict: others.append((file, verdict)),
        )
        later: Later = []
        for folder, tree in task:
            later += walk.walk(folder, tree, _TASK_ENTRIES)
        return Walked(walk.plan.whole, walk.plan.folders, later, others, ledger.noted, entered)

    def last(self) -> None:
        """Nothing is left to tell."""


def planned(walking: Walking, top: Node | None, ledger: Ledger, progress: Progress) -> Plan:
    """Plan to restore a tree into the target, which gets the metadata of `top`."""
    options = walking.options
    guard = UnfoldingGuard(walking.repository, walking.root, progress)
    walk = RestoreWalk(walking.repository, walking.target, options, ledger, progress, entered=guard.enter)
    root = Folder((), top, "", restored=not any(options.selection.include))
    later = walk.walk(root, walking.root, _ALONE_ENTRIES if _may_be_shared(options) else None)
    if later:
        for part in _in_order(walking, later, guard, progress):
            _take(part, walk, ledger)
        # a directory comes after those in it: whatever is done in it moves its times
        walk.plan.folders.sort(key=lambda folder: -len(folder.place))
    return walk.plan


def _may_be_shared(options: RestoreOptions) -> bool:
    """Say whether a directory can be left before those in it: not if what is in them says what becomes of it."""
    return options.processes > 1 and not options.delete and options.selection.is_everything


def _take(part: Walked, walk: RestoreWalk, ledger: Ledger) -> None:
    """Enter into plan and books what another process has found."""
    walk.plan.whole.extend(part.whole)
    walk.plan.folders += part.folders
    for path, error in part.failed:
        ledger.failed(path, error)
    for file, verdict in part.others:
        walk.settle(file, verdict)


def _in_order(walking: Walking, later: Later, guard: UnfoldingGuard, progress: Progress) -> Iterator[Walked]:
    """Have directories walked, and yield what became of them in the order in which they were found."""
    waiting, parts, given = deque(later), {}, 0
    processes, quiet = walking.options.processes, walking.repository.quiet
    with Crew(processes, walking, told=progress.take, check=progress.check, quiet=quiet) as crew:
        while waiting or crew.is_busy:
            while waiting and crew.has_room:
                count = min(_TASK_FOLDERS, -(-len(waiting) // (_TASKS_EACH * processes)))
                crew.submit(given, [waiting.popleft() for _ in range(count)])
                given += 1
            number, part = crew.next()
            for tree, entries in part.entered:
                guard.enter(tree, entries)
            waiting.extend(part.later)
            parts[number] = part
        for _ in crew.last():
            pass
    for number in range(given):
        yield parts.pop(number)
