"""A gate: a capture prepares everything, says so, and waits there until its sources stand still.

Before it there may be a first pass over what is still being written. That is a cache, and nothing else: what it has
made is published by nobody, and behind the gate every file is read again that it does not prove to be as it was. One
that changes while it is read there is told as unreadable: something still writes, and what was read is of no moment.
"""

import dataclasses
import re
import time
from dataclasses import dataclass
from pathlib import Path

from becalm_engine.commands import backup
from becalm_engine.commands.archive import Listener, Reporter
from becalm_engine.commands.backup import BackupOptions, Basis, Captured
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import arrange, leaves, present_and_missing, refuse_left_out
from becalm_engine.contract import GATE_OPEN
from becalm_engine.errors import EngineError, UsageError
from becalm_engine.ids import BlobID
from becalm_engine.repository.reader import load_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Added
from becalm_engine.volume import hot

_LOOK_SECONDS = 0.02
_MOST_CHARS = 64
_SUBTREE = re.compile(rb'"subtree":"([0-9a-f]{64})"')  # in a name, its quotes would be escaped


@dataclass(frozen=True, slots=True)
class Gate:
    """A file whose content opens the gate, and one that is made when somebody stands at it."""

    path: Path
    ready_file: Path | None = None

    def wait(self, progress: Progress) -> None:
        """Stand at the gate until it opens.

        Raises:
            StoppedError: A signal came.
        """
        self.is_open()  # one that cannot be read is to fail before anybody relies on it
        if self.ready_file is not None:
            self.ready_file.touch()
        while not self.is_open():
            progress.stop.wait(_LOOK_SECONDS)
            progress.check()

    def is_open(self) -> bool:
        """Say whether it is open; a file that is not there keeps it closed.

        Raises:
            UsageError: The file cannot be read.
        """
        try:
            with self.path.open(errors="replace") as file:
                return file.read(_MOST_CHARS).strip() == GATE_OPEN
        except FileNotFoundError:
            return False
        except OSError as error:
            raise UsageError(f"the gate {self.path} cannot be read: {error.strerror}") from error


def capture_behind(
    gate: Gate,
    repository: Repository,
    options: BackupOptions,
    *,
    pre_copy: bool,
    progress: Progress,
    report: Reporter,
    listen: Listener,
) -> Captured:
    """Capture what the sources are once the gate is open, with as little left to do then as can be.

    Raises:
        SourceMissingError: None of the sources exists.
        UsageError: The sources cannot be in one snapshot, or one would be left out of another.
    """
    present, _ = present_and_missing(options.sources)
    arrange(present)
    refuse_left_out(present, options.exclusion)  # before anybody is stopped for it
    first = _first_pass(repository, options, progress) if pre_copy else _Prepared()
    basis = first.basis or backup.find_basis(repository, options)
    _read_ahead(repository, basis.tree, progress)
    gate.wait(progress)
    behind = dataclasses.replace(options, still=True)
    captured = backup.capture(
        repository, behind, progress=progress, report=report, listen=listen, basis=basis
    )
    told = dataclasses.replace(
        captured.report, pre_copied=first.basis is not None, not_pre_copied=first.reason_against
    )
    return dataclasses.replace(captured, report=told)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a first pass has left. `basis` None: there was none, for the reason."""

    basis: Basis | None = None
    reason_against: str = ""


def _first_pass(repository: Repository, options: BackupOptions, progress: Progress) -> _Prepared:
    """Read and upload the sources while they are written, if that can be of use."""
    present, _ = present_and_missing(options.sources)
    paths = list(leaves(arrange(present)))
    # noted ahead of the sync: a page that is stored while that runs may be protected already, or not yet
    began_nanos = time.time_ns()
    reason = hot.reason_against(paths) or hot.synced(paths)
    if reason:
        return _Prepared(reason_against=reason)
    captured = backup.capture(repository, options, progress=progress, report=lambda *_: None)
    progress.restart()
    repository.load_index()  # other processes may have stored it
    return _Prepared(_basis_of(captured, began_nanos))


def _basis_of(first: Captured, began_nanos: int) -> Basis:
    told = first.report
    added = Added(told.data_blobs, told.tree_blobs, told.bytes_added, told.bytes_added_packed)
    return Basis(first.parent, first.tree, added, first.broken, began_nanos)


def _read_ahead(repository: Repository, root: BlobID | None, progress: Progress) -> None:
    """Have the trees in memory that will be compared with, as far as there is room for them."""
    waiting = [root] if root is not None else []
    while waiting and not repository.windows.is_full:
        progress.check()
        try:
            text = load_blob(repository, waiting.pop())
        except EngineError as error:
            if error.retryable:
                raise
            continue  # it will be made anew
        waiting += [BlobID(bytes.fromhex(found.decode())) for found in reversed(_SUBTREE.findall(text))]
