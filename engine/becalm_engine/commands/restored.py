"""What a restore is asked for, what it did, and what it could not do."""

import enum
import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVarTuple, Unpack

from becalm_engine.commands.progress import Progress
from becalm_engine.errors import EngineError, TargetError, TargetFullError
from becalm_engine.format.shown import shown_text
from becalm_engine.format.tree import Node
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.policy.selection import Selection
from becalm_engine.volume.metadata import EVERYTHING, Problems, Restored

_Arguments = TypeVarTuple("_Arguments")
_TAKEN = (
    "its place was free and is taken now: by another name of the snapshot that is the same one here, "
    "where case is ignored perhaps, or by somebody else's file"
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

Path = tuple[bytes, ...]
"""The names of the directories that lead from the target to a folder."""


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """What to restore, and how.

    `sparse`: zeros in files that are new become holes. `processes` above 1 lets so many share the work if there
    are many files.
    """

    selection: Selection = field(default_factory=Selection)
    overwrite: Overwrite = Overwrite.ALWAYS
    delete: bool = False
    verify: bool = False
    sparse: bool = False
    dry_run: bool = False
    metadata: Restored = EVERYTHING
    processes: int = 1


class Action(enum.StrEnum):
    """What became of one file, link or directory: restic's words."""

    RESTORED = "restored"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"


@dataclass(slots=True, eq=False)
class RestoredFile:
    """One file of a restore: its directory below the target, and its path in the snapshot.

    `present`: it is there already, and is brought to the state of the snapshot by writing into it. `same` has a
    byte for each of its blobs: 1 for one that is there. `complete`: there is nothing to write. `replaces`: something
    was found in its place. Where nothing was, nothing is removed.
    """

    folder: Path
    node: Node
    path: str
    present: bool = False
    same: bytes = b""
    complete: bool = False
    replaces: bool = False
    failed: bool = False


@dataclass(slots=True)
class Outcome:
    """What a restore did, and what it could not do. Directories and links count as files, as in restic."""

    files_restored: int = 0
    files_unchanged: int = 0
    files_deleted: int = 0
    bytes_restored: int = 0
    bytes_unchanged: int = 0
    problems: Problems = field(default_factory=Problems)
    failed: list[str] = field(default_factory=list)


Listener = Callable[[Action, str, int | None], None]
"""Told what became of each path, and its size in bytes if it is a file with content of its own."""


def _nobody(_action: Action, _path: str, _size: int | None) -> None:
    """Does not listen."""


class Ledger:
    """Keeps the books of one restore: every file ends up here once, done or failed.

    Once the target is `full`, files are not tried any more: `left_out` counts them, and `first_left_out` is a path.
    They may be almost all files, so none of them is kept.
    """

    def __init__(
        self, progress: Progress, report: Callable[[str, str], None], listen: Listener | None = None
    ) -> None:
        self.outcome = Outcome()
        self.full = False
        self.left_out = 0
        self.first_left_out = ""
        self._progress = progress
        self._report = report
        self._listen = listen or _nobody
        self._failing = threading.Lock()

    def done(self, action: Action, path: str, size: int | None = None) -> None:
        """Note what became of a path."""
        outcome, length = self.outcome, size or 0
        if action is Action.DELETED:
            outcome.files_deleted += 1
        elif action is Action.UNCHANGED:
            outcome.files_unchanged += 1
            outcome.bytes_unchanged += length
        else:
            outcome.files_restored += 1
            outcome.bytes_restored += length
            self._progress.files_done += 1
        self._listen(action, path, size)

    @property
    def is_heard(self) -> bool:
        """Whether anybody wants to know of each path."""
        return self._listen is not _nobody

    def restored(self, count: int, size_bytes: int) -> None:
        """Note that so many files were restored, of whose paths nobody wants to hear."""
        self.outcome.files_restored += count
        self.outcome.bytes_restored += size_bytes
        self._progress.files_done += count

    def attempt(
        self, path: str, action: Callable[[Unpack[_Arguments]], None], *arguments: *_Arguments
    ) -> bool:
        """Do one thing for one file; a failure is that file's, not the restore's."""
        try:
            action(*arguments)
        except OSError as error:
            self.failed(path, target_error(error))
            return False
        except TargetError as error:
            self.failed(path, error)
            return False
        return True

    def failed_file(self, file: RestoredFile, error: EngineError) -> None:
        """Note that a file is not whole; the first reason is told."""
        with self._failing:
            known, file.failed = file.failed, True
        if not known:
            self.failed(file.path, error)

    def leave_out(self, file: RestoredFile) -> None:
        """Note that a file was not tried, or not to its end, since no room is left."""
        with self._failing:
            if not file.failed:
                file.failed = True
                self.first_left_out = self.first_left_out if self.left_out else file.path
                self.left_out += 1

    def failed(self, path: str, error: EngineError) -> None:
        """Note that something could not be restored."""
        with self._failing:
            self.full = self.full or isinstance(error, TargetFullError)
            self.outcome.failed.append(f"{shown_text(path)}: {error}")
            self._progress.errors += 1
        self._report(path, str(error))


def target_error(error: OSError) -> TargetError:
    """Return what the target's file system refused as an error of the engine."""
    if error.errno == errno.EEXIST:
        return TargetError(_TAKEN)
    kind = TargetFullError if error.errno in _NO_ROOM else TargetError
    return kind(error.strerror or str(error))
