"""Every command on a store that misbehaves: a right result or a clear error, and never a loss.

Whatever the store does to a run, afterwards it is looked at as it is: nothing that is referred to is missing, every
snapshot that was to stay can be read, and the command can be run again.
"""

import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.errors import (
    EngineError,
    RepositoryMissingError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    WrongPasswordError,
)
from becalm_engine.repository.repository import initialise
from becalm_engine.storage.base import FileKind, Storage
from becalm_engine.storage.retry import RetryingStorage
from tests.engine.crash import edits, plays
from tests.engine.crash.plays import Files, Play
from tests.engine.crash.states import Held, content_of, faults_of, finished, lost, stored_in
from tests.engine.faults.meddling import (
    EVERYTHING,
    LISTINGS,
    READS,
    WRITES,
    Fault,
    MeddledStorage,
    cuts_short,
    fails,
    flips,
    leaves_out_the_first,
    loses,
    returns_nothing,
)
from tests.engine.repository.repositories import CHEAP, PASSWORD

Spoil = Callable[[Callable[[], Any]], Any]
Make = Callable[[Path], Play]
Wrap = Callable[[Storage], Storage]

COMMANDS = (
    plays.first_backup, plays.incremental_backup, plays.forgetting, plays.pruning, plays.mending_index,
    edits.copying, edits.tagging, edits.rewriting_and_forgetting, edits.committing,
    edits.repairing_packs, edits.repairing_snapshots,
)  # fmt: skip
STRIDE = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 8
"""In a normal run each command meets a fault at every eighth of its calls."""

each_command = pytest.mark.parametrize("make", COMMANDS, ids=lambda make: make.__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it left."""

    label: str
    error: EngineError | None
    files: Files


def ending(play: Play, fault: Fault, wrap: Wrap = lambda plain: plain) -> Ended:
    """Run a command on a store with a fault."""
    storage = stored_in(play.files)
    error = None
    try:
        play.run(wrap(MeddledStorage(storage, fault)))
    except EngineError as raised:
        error = raised
    files = {key: data for key, data in storage.files.items() if key[0] is not FileKind.LOCK}
    return Ended(f"call {fault.at} of {sorted(fault.on)}", error, files)


def endings(
    play: Play,
    spoil: Spoil,
    on: frozenset[str],
    *,
    lasting: bool = False,
    wrap: Wrap = lambda plain: plain,
    stride: int = STRIDE,
) -> Iterator[Ended]:
    """Run a command once for each call that may be spoilt, from the first to the last."""
    for at in itertools.count(1, stride):
        fault = Fault(at, spoil, on, lasting)
        yield ending(play, fault, wrap)
        if not fault.happened:
            return


@dataclass(slots=True)
class Judge:
    """Knows what a command is to leave of a repository. `faults` are those that it is to mend."""

    play: Play
    before: dict[str, Held]
    clean: dict[str, Held]
    faults: set[str]

    @classmethod
    def of(cls, play: Play) -> "Judge":
        clean = content_of(finished(play, play.files))
        return cls(play, content_of(play.files), clean, nameless_faults(play.files))

    def require_sound(self, ended: Ended) -> None:
        """All that was there is there, nothing more is missing, and the command can be completed."""
        about = f"{ended.label}: {ended.error!r}"
        assert nameless_faults(ended.files) <= self.faults, about
        assert lost(self.before, content_of(ended.files), self.clean, self.play) == [], about
        done = finished(self.play, ended.files)
        assert faults_of(done) == [], about
        self.require_complete(done, about)

    def require_complete(self, files: Files, about: str) -> None:
        after = content_of(files)
        assert lost(self.before, after, self.clean, self.play) == [], about
        contents = [{str(held.content) for held in some.values()} for some in (after, self.clean)]
        assert contents[0] == contents[1], about


def nameless_faults(files: Files) -> set[str]:
    """Return what is wrong with a repository, without the name of the snapshot: what several have is told of one."""
    return {re.sub("^snapshot [0-9a-f]+: ", "", fault) for fault in faults_of(files)}


@pytest.mark.slow
@each_command
@pytest.mark.parametrize(
    "error",
    [StorageUnavailableError("away"), StorageDeniedError("denied"), StorageError("odd")],
    ids=lambda error: type(error).__name__,
)
def test_a_call_that_fails_ends_in_that_error_and_costs_nothing(
    make: Make, error: StorageError, tmp_path: Path
) -> None:
    judge = Judge.of(make(tmp_path / "source"))

    for ended in endings(judge.play, fails(error), EVERYTHING):
        assert ended.error in (None, error)
        judge.require_sound(ended)


@pytest.mark.slow
@each_command
def test_a_store_that_stays_away_ends_in_an_error_and_costs_nothing(make: Make, tmp_path: Path) -> None:
    judge = Judge.of(make(tmp_path / "source"))
    away = StorageUnavailableError("away")

    for ended in endings(judge.play, fails(away), EVERYTHING, lasting=True):
        assert ended.error in (None, away)
        judge.require_sound(ended)


@pytest.mark.slow
@each_command
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_call_that_fails_once_is_repeated_and_nothing_else_is_noticed(
    make: Make, after: bool, tmp_path: Path
) -> None:
    judge = Judge.of(make(tmp_path / "source"))
    spoil = fails(StorageUnavailableError("away for a moment"), after=after)

    for ended in endings(judge.play, spoil, EVERYTHING, wrap=patient):
        assert ended.error is None
        assert faults_of(ended.files) == [], ended.label
        judge.require_complete(ended.files, ended.label)


def patient(storage: Storage) -> Storage:
    return RetryingStorage(storage, sleep=lambda _: None)


@pytest.mark.slow
@each_command
def test_a_store_that_answers_late_changes_nothing(make: Make, tmp_path: Path) -> None:
    judge = Judge.of(make(tmp_path / "source"))
    delays = iter(range(10**6))

    def late(call: Callable[[], Any]) -> Any:
        time.sleep(next(delays) * 7 % 5 / 1000)
        return call()

    ended = ending(judge.play, Fault(1, late, EVERYTHING, lasting=True))

    assert ended.error is None
    judge.require_complete(ended.files, "late")


@pytest.mark.slow
@each_command
def test_a_full_disk_ends_in_that_error_and_costs_nothing(make: Make, tmp_path: Path) -> None:
    judge = Judge.of(make(tmp_path / "source"))
    full = StorageFullError("no room")

    for ended in endings(judge.play, fails(full), WRITES, lasting=True):
        assert ended.error in (None, full)
        judge.require_sound(ended)


@pytest.mark.slow
@each_command
@pytest.mark.parametrize("spoil", [cuts_short, flips, returns_nothing], ids=lambda spoil: spoil.__name__)
def test_a_damaged_read_ends_in_an_error_that_says_so_or_is_made_up_for(
    make: Make, spoil: Spoil, tmp_path: Path
) -> None:
    judge = Judge.of(make(tmp_path / "source"))

    for ended in endings(judge.play, spoil, READS):
        assert not isinstance(ended.error, WrongPasswordError | RepositoryMissingError), ended.label
        judge.require_sound(ended)


@pytest.mark.slow
@each_command
@pytest.mark.parametrize(
    "spoil", [cuts_short, leaves_out_the_first, returns_nothing], ids=lambda s: s.__name__
)
def test_a_listing_that_leaves_something_out_costs_nothing(make: Make, spoil: Spoil, tmp_path: Path) -> None:
    judge = Judge.of(make(tmp_path / "source"))

    for ended in endings(judge.play, spoil, LISTINGS):
        judge.require_sound(ended)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [make for make in COMMANDS if make is not plays.forgetting], ids=lambda make: make.__name__
)
def test_a_store_that_loses_the_last_write_has_lost_no_more(make: Make, tmp_path: Path) -> None:
    judge = Judge.of(make(tmp_path / "source"))

    judge.require_sound(without_the_last_write(judge.play))


def without_the_last_write(play: Play) -> Ended:
    """Lose the last write of a command. Blobs are dealt out to packs by lot, so another run may write more often."""
    for _ in range(20):
        counted = Fault(0, loses, WRITES)
        play.run(MeddledStorage(stored_in(play.files), counted))
        fault = Fault(counted.calls, loses, WRITES)
        ended = ending(play, fault)
        if ended.error is not None or fault.calls == fault.at:
            return ended
    raise AssertionError("no two runs wrote equally often")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        plays.pruning, plays.mending_index, edits.repairing_packs, edits.tagging,
        edits.rewriting_and_forgetting, edits.repairing_snapshots,
    ],
    ids=lambda make: make.__name__,
)  # fmt: skip
def test_a_write_that_was_lost_makes_no_command_delete_what_it_was_to_replace(
    make: Make, tmp_path: Path
) -> None:
    judge = Judge.of(make(tmp_path / "source"))

    for ended in endings(judge.play, loses, WRITES, stride=1):
        about = f"{ended.label}: {ended.error!r}"
        assert lost(judge.before, content_of(ended.files), judge.clean, judge.play) == [], about
        # the index may list a pack that is not there: nobody could have known but by asking for each
        storage = stored_in(ended.files)
        plays.mend_index(storage, read_all=False)
        done = finished(judge.play, storage.files)
        assert faults_of(done) == [], about
        judge.require_complete(done, about)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [plays.first_backup, plays.incremental_backup, edits.copying], ids=lambda make: make.__name__
)
def test_what_a_store_has_lost_in_silence_is_found_by_a_check(make: Make, tmp_path: Path) -> None:
    judge = Judge.of(make(tmp_path / "source"))
    found = 0

    for ended in endings(judge.play, loses, WRITES, stride=1):
        if faults_of(ended.files):
            found += 1
        else:
            judge.require_sound(ended)
    assert found > 0


def test_an_init_on_a_store_that_fails_covers_nothing_up(tmp_path: Path) -> None:
    init = Play({}, lambda storage: initialise(storage, PASSWORD, cost=CHEAP))
    for error in (StorageFullError("no room"), StorageUnavailableError("away")):
        for ended in endings(init, fails(error), EVERYTHING):
            assert ended.error in (None, error)
            kinds = {kind for kind, _ in ended.files}
            assert kinds <= {FileKind.KEY} if ended.error else kinds == {FileKind.KEY, FileKind.CONFIG}
