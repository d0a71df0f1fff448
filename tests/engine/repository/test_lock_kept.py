"""A lock that is held: it is refreshed, settles, and may be lost."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from becalm_engine.errors import InternalError, LockedError, StorageUnavailableError
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID
from becalm_engine.repository import hold as hold_module
from becalm_engine.repository import lock as lock_module
from becalm_engine.repository.hold import Hold
from becalm_engine.repository.lock import HeldLock, list_locks, locked, unlock
from becalm_engine.repository.snapshots import remove_snapshot, save_snapshot
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.repository.faulty import FaultyStorage
from tests.engine.repository.locking import FakeSleep, lock_names, two, write_lock
from tests.engine.repository.repositories import made


def test_a_refresh_puts_a_new_lock_in_the_place_of_the_old() -> None:
    repository = made()
    held = HeldLock(repository, exclusive=True)
    before = held.name

    held._refresh()

    assert held.name != before
    assert lock_names(repository) == {held.name}
    assert list_locks(repository)[held.name].exclusive
    held.release()
    assert lock_names(repository) == set()


def test_a_refresh_that_fails_once_is_no_reason_to_stop() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    held = HeldLock(repository, exclusive=False)
    storage.on_save = lambda *_: StorageUnavailableError("away")

    held._refresh()

    held.check()
    assert lock_names(repository) == {held.name}
    held.release()


def test_work_whose_lock_could_not_be_kept_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FaultyStorage()
    repository = made(storage)
    snapshot = Snapshot(0, BlobID(bytes(32)), ("/data",))

    with locked(repository, exclusive=False, sleep=FakeSleep()) as held:
        stored = save_snapshot(repository, snapshot)
        storage.on_save = lambda *_: StorageUnavailableError("away")
        held._refresh()
        monkeypatch.setattr(hold_module, "_GIVE_UP_SECONDS", 0.0)
        with pytest.raises(LockedError, match=r"not be refreshed.*away"):
            save_snapshot(repository, snapshot)
        with pytest.raises(LockedError):
            remove_snapshot(repository, stored)

    assert lock_names(repository) == set()


@pytest.mark.parametrize("clock", ["time", "monotonic"])
def test_a_lock_is_lost_when_either_clock_says_so(monkeypatch: pytest.MonkeyPatch, clock: str) -> None:
    held = HeldLock(made(), exclusive=False)
    later = getattr(time, clock)() + 23 * 60
    monkeypatch.setattr(time, clock, lambda: later)

    with pytest.raises(LockedError):
        held.check()

    held.release()


@pytest.mark.parametrize("clock", ["time", "monotonic"])
def test_a_lock_that_was_lost_while_all_stood_still_is_not_had_again(
    monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    repository = made()
    later = getattr(time, clock)() + 31 * 60

    with locked(repository, exclusive=False, sleep=FakeSleep()) as held:
        with monkeypatch.context() as frozen:
            frozen.setattr(time, clock, lambda: later)
            held._refresh()  # the first that happens after the process stood still
        before = lock_names(repository)

        with pytest.raises(LockedError, match="in time"):
            repository.guard()
        held._refresh()
        assert lock_names(repository) == before


def test_a_lock_that_somebody_has_removed_is_lost() -> None:
    repository, other = two()

    with locked(repository, exclusive=False, sleep=FakeSleep()) as held:
        unlock(other, everything=True)
        held._refresh()

        assert lock_names(other) == set()
        with pytest.raises(LockedError):
            repository.guard()


def test_the_time_a_lock_was_written_counts_from_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = FaultyStorage()
    held = HeldLock(made(storage), exclusive=False)
    now = time.monotonic()

    def slow(*_: object) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: now + 20 * 60)

    storage.on_save = slow
    held._refresh()
    held.check()
    monkeypatch.setattr(time, "monotonic", lambda: now + 23 * 60)

    with pytest.raises(LockedError):
        held.check()
    held.release()


def test_a_refresh_that_was_too_long_on_its_way_saves_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others took the old lock for stale, and began, before the new one was there."""
    storage = FaultyStorage()
    held = HeldLock(made(storage), exclusive=False)
    now = time.monotonic()

    def slow(*_: object) -> None:
        monkeypatch.setattr(time, "monotonic", lambda: now + 32 * 60)

    monkeypatch.setattr(time, "monotonic", lambda: now + 20 * 60)  # until then, all refreshes were refused
    held.check()
    storage.on_save = slow
    held._refresh()

    with pytest.raises(LockedError, match="in time"):
        held.check()
    held.release()
    assert list(storage.list(FileKind.LOCK)) == []


def test_a_forked_copy_writes_no_index_without_a_lock(tmp_path: Path) -> None:
    repository = made(LocalStorage(tmp_path))

    def work(held: HeldLock) -> None:
        with Writer(repository.forked(threading.Event())) as writer:
            writer.save(BlobKind.DATA, b"x")
            unlock(repository, everything=True)
            held._refresh()

    with locked(repository, exclusive=False, sleep=FakeSleep()) as held, pytest.raises(LockedError):
        work(held)

    assert list(repository.storage.list(FileKind.INDEX)) == []


def test_a_snapshot_during_whose_upload_all_stood_still_is_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = FaultyStorage()
    repository = made(storage)
    later = time.time() + 31 * 60

    def stands_still(kind: FileKind, _name: str) -> None:
        if kind is FileKind.SNAPSHOT:
            monkeypatch.setattr(time, "time", lambda: later)

    with locked(repository, exclusive=False, sleep=FakeSleep()):
        storage.on_save = stands_still
        with pytest.raises(LockedError):
            save_snapshot(repository, Snapshot(0, BlobID(bytes(32)), ("/data",)))

    assert list(storage.list(FileKind.SNAPSHOT)) == []


def test_a_process_that_was_forked_hears_that_the_lock_is_lost() -> None:
    hold = Hold()
    pid = os.fork()
    if not pid:
        hold.lose()
        os._exit(0)
    os.waitpid(pid, 0)

    assert hold.is_lost


def test_a_lock_that_is_not_settled_is_had_at_once_and_doubts_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "_SETTLE_SECONDS", 0.05)
    first, second = two()

    with locked(first, exclusive=False, settled=False) as held:
        write_lock(second)  # at the same moment: its own first look was before

        with pytest.raises(LockedError, match="already"):
            first.guard()
        with pytest.raises(LockedError):
            held.check()


def test_while_it_is_quiet_no_thread_speaks_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "_SETTLE_SECONDS", 0.01)
    storage = FaultyStorage()
    repository = made(storage)
    loads: list[str] = []

    with locked(repository, exclusive=False, settled=False):
        write_lock(repository, exclusive=False)  # something to load at the second look
        with repository.quiet:
            storage.on_load = lambda kind, _: loads.append(kind.value)
            time.sleep(0.1)
            assert loads == []
        repository.guard()
        assert loads


def test_a_lock_that_nobody_disputes_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = made()
    monkeypatch.setattr(lock_module, "_SETTLE_SECONDS", 0.05)

    with locked(repository, exclusive=False, settled=False):
        with Writer(repository) as writer:
            writer.save(BlobKind.DATA, b"x")
        repository.guard()

    assert list_locks(repository) == {}


def test_what_was_removed_while_the_lock_settled_may_not_be_relied_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock_module, "_SETTLE_SECONDS", 0.05)
    repository, other = two()
    with Writer(other) as writer:
        writer.save(BlobKind.DATA, b"old")

    with locked(repository, exclusive=False, settled=False):
        repository.load_index()
        for stored in list(other.storage.list(FileKind.INDEX)):
            other.storage.delete(FileKind.INDEX, stored.name)

        with pytest.raises(LockedError, match="run it again"):
            repository.guard()


def test_where_the_second_look_ends_in_an_error_of_ours_nobody_believes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock_module, "_SETTLE_SECONDS", 0.01)
    storage = FaultyStorage()
    repository = made(storage)

    def starve(*_: object) -> None:
        raise MemoryError

    with locked(repository, exclusive=False, settled=False):
        storage.on_load = starve
        write_lock(repository, exclusive=False)
        with pytest.raises(InternalError, match="MemoryError"):
            repository.guard()


def test_a_short_command_does_not_wait_until_its_lock_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = made()
    monkeypatch.setattr(lock_module, "_SETTLE_SECONDS", 3600.0)

    with locked(repository, exclusive=False, settled=False):
        repository.load_index()

    assert list_locks(repository) == {}


def test_a_lock_is_lost_for_a_copy_that_outlives_its_holder(tmp_path: Path) -> None:
    """Others take its lock for stale then, and what the copy would publish may be gone."""
    seen, holder = tmp_path / "seen", os.fork()
    if not holder:
        hold, own = Hold(), os.getpid()
        if not os.fork():
            before = hold.is_lost
            os.kill(own, signal.SIGKILL)
            while os.getppid() == own:
                time.sleep(0.01)
            (tmp_path / "part").write_text(f"{before} {hold.is_lost}")
            (tmp_path / "part").rename(seen)
            os._exit(0)
        signal.pause()
    os.waitpid(holder, 0)

    deadline = time.monotonic() + 20
    while not seen.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert seen.read_text() == "False True"


def test_a_lock_that_is_released_protects_nobody_any_more() -> None:
    held = HeldLock(made(), exclusive=False)
    held.check_kept()

    held.release()

    with pytest.raises(LockedError):
        held.check_kept()
