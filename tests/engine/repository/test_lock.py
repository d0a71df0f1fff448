import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from becalm_engine.errors import (
    DamagedError,
    LockedError,
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
)
from becalm_engine.format import lock_file
from becalm_engine.format.lock_file import Lock
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID
from becalm_engine.repository import hold as hold_module
from becalm_engine.repository import lock as lock_module
from becalm_engine.repository.hold import Hold
from becalm_engine.repository.lock import HeldLock, list_locks, locked, unlock
from becalm_engine.repository.repository import Repository, open_repository
from becalm_engine.repository.snapshots import remove_snapshot, save_snapshot
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.repository.faulty import FaultyStorage
from tests.engine.repository.repositories import PASSWORD, made

HOUR = 3600 * 1_000_000_000


class FakeSleep:
    """Passes no time; does `meanwhile` in the first sleep."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.slept: list[float] = []
        self._meanwhile = meanwhile

    def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == 1:
            self._meanwhile()


def two() -> tuple[Repository, Repository]:
    """Return two processes' views of one repository."""
    first = made(FaultyStorage())
    return first, open_repository(first.storage, PASSWORD)


def write_lock(
    repository: Repository,
    *,
    age_nanos: int = 0,
    exclusive: bool = True,
    hostname: str = "rose",
    pid: int = 1,
) -> str:
    lock = Lock(time.time_ns() - age_nanos, exclusive, hostname, "ann", pid)
    return repository.save_document(FileKind.LOCK, lock_file.encode(lock))


def lock_names(repository: Repository) -> set[str]:
    return {stored.name for stored in repository.storage.list(FileKind.LOCK)}


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_lock_says_who_holds_it_while_it_is_held(exclusive: bool) -> None:
    repository, other = two()

    with locked(repository, exclusive=exclusive, sleep=FakeSleep()):
        (lock,) = list_locks(other).values()

    assert lock.exclusive is exclusive
    assert (lock.hostname, lock.pid) == (socket.gethostname(), os.getpid())
    assert abs(time.time_ns() - lock.time_nanos) < HOUR
    assert lock_names(repository) == set()


def test_shared_locks_go_together() -> None:
    first, second = two()

    with (
        locked(first, exclusive=False, sleep=FakeSleep()),
        locked(second, exclusive=False, sleep=FakeSleep()),
    ):
        assert len(lock_names(first)) == 2

    assert lock_names(first) == set()


@pytest.mark.parametrize(("held", "wanted"), [(True, False), (False, True), (True, True)])
def test_an_exclusive_lock_goes_with_no_other(held: bool, wanted: bool) -> None:
    first, second = two()

    with locked(first, exclusive=held, sleep=FakeSleep()):
        before = lock_names(first)
        with (
            pytest.raises(LockedError, match="becalm unlock"),
            locked(second, exclusive=wanted, sleep=FakeSleep()),
        ):
            pytest.fail("the lock was given twice")

        assert lock_names(first) == before


@pytest.mark.parametrize(("theirs", "ours"), [(True, False), (False, True), (True, True)])
def test_a_racer_is_seen_at_the_second_look(theirs: bool, ours: bool) -> None:
    first, second = two()
    written: list[str] = []
    sleep = FakeSleep(lambda: written.append(write_lock(second, exclusive=theirs)))

    with pytest.raises(LockedError), locked(first, exclusive=ours, sleep=sleep):
        pytest.fail("the racer was not seen")

    assert sleep.slept == [0.2]
    assert lock_names(first) == set(written)


def test_a_stale_lock_is_removed_and_stands_in_nobody_s_way() -> None:
    first, second = two()
    write_lock(second, age_nanos=HOUR)

    with locked(first, exclusive=True, sleep=FakeSleep()) as held:
        assert lock_names(first) == {held.name}


def test_a_lock_of_a_host_that_is_gone_is_removed_and_that_of_another_stands() -> None:
    first, second = two()
    gone = write_lock(second, exclusive=False, hostname="rose")
    living = write_lock(second, exclusive=False, hostname="rose-2")

    with locked(first, exclusive=False, sleep=FakeSleep(), gone_hosts=frozenset({"rose"})) as held:
        assert lock_names(first) == {held.name, living}
    with (
        pytest.raises(LockedError, match="rose-2"),
        locked(first, exclusive=True, sleep=FakeSleep(), gone_hosts=frozenset({"rose"})),
    ):
        pytest.fail("the lock of a host that nobody has called gone was broken")

    assert gone not in lock_names(first)
    assert lock_names(first) == {living}


def test_the_second_look_passes_over_a_host_that_is_gone() -> None:
    first, second = two()
    sleep = FakeSleep(lambda: write_lock(second, hostname="rose"))

    with locked(first, exclusive=True, sleep=sleep, gone_hosts=frozenset({"rose"})) as held:
        assert lock_names(first) == {held.name}


def test_a_fresh_lock_of_a_dead_process_stands_until_it_is_stale() -> None:
    first, second = two()
    name = write_lock(second, hostname=socket.gethostname(), pid=_dead_pid())

    with pytest.raises(LockedError), locked(first, exclusive=True, sleep=FakeSleep()):
        pytest.fail("another container's lock was broken: their host names and process ids repeat")

    assert lock_names(first) == {name}


def test_waiting_ends_when_the_other_lets_go() -> None:
    first, second = two()
    name = write_lock(second)
    sleep = FakeSleep(lambda: second.storage.delete(FileKind.LOCK, name))

    with locked(first, exclusive=True, retry_seconds=3600, sleep=sleep) as held:
        assert lock_names(first) == {held.name}

    assert sleep.slept == [1.0, 0.2]


def test_a_lock_is_released_when_the_work_fails() -> None:
    repository, _ = two()

    with pytest.raises(KeyError), locked(repository, exclusive=True, sleep=FakeSleep()):
        raise KeyError

    assert lock_names(repository) == set()


def test_a_lock_is_released_when_waiting_is_interrupted() -> None:
    repository, _ = two()

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), locked(repository, exclusive=True, sleep=interrupted):
        pytest.fail("nothing was interrupted")

    assert lock_names(repository) == set()


def test_a_lock_that_cannot_be_read_is_not_passed_over() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    write_lock(repository)
    storage.on_load = lambda *_: StorageUnavailableError("away")

    with pytest.raises(StorageUnavailableError), locked(repository, exclusive=True, sleep=FakeSleep()):
        pytest.fail("the other's lock was not read, and yet ignored")


def test_a_lock_that_disappears_while_it_is_read_is_no_lock() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    write_lock(repository)

    def vanish(_: FileKind, name: str) -> StorageError | None:
        storage.delete(FileKind.LOCK, name)
        return None

    storage.on_load = vanish

    assert list_locks(repository) == {}


def test_a_broken_lock_is_damage() -> None:
    repository = made()
    repository.storage.save(FileKind.LOCK, "0" * 64, b"x")

    with pytest.raises(DamagedError):
        list_locks(repository)


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


def test_a_stale_lock_that_may_not_be_deleted_stands_in_nobodys_way() -> None:
    class NoDelete(FaultyStorage):
        """Deletes nothing, as a bucket for appending only."""

        def delete(self, kind: FileKind, name: str) -> None:
            raise StorageDeniedError("no")

    repository = made(NoDelete())
    stale = write_lock(repository, age_nanos=HOUR)

    with locked(repository, exclusive=True, sleep=FakeSleep()) as held:
        assert lock_names(repository) == {stale, held.name}


def test_a_storage_that_refuses_to_delete_leaves_the_lock_to_become_stale() -> None:
    class NoDelete(FaultyStorage):
        """Deletes nothing, as a bucket for appending only."""

        def delete(self, kind: FileKind, name: str) -> None:
            raise StorageDeniedError("no")

    repository = made(NoDelete())

    with locked(repository, exclusive=False, sleep=FakeSleep()):
        pass

    assert len(lock_names(repository)) == 1


def test_unlock_removes_what_nobody_can_hold_any_more() -> None:
    repository = made()
    write_lock(repository, age_nanos=HOUR)
    write_lock(repository, hostname=socket.gethostname(), pid=_dead_pid())
    living = write_lock(repository, hostname=socket.gethostname(), pid=os.getpid())
    elsewhere = write_lock(repository, hostname="far away", pid=_dead_pid())

    removed = unlock(repository, everything=False)

    assert removed == 2
    assert lock_names(repository) == {living, elsewhere}


def test_unlock_removes_the_locks_of_a_host_that_is_gone() -> None:
    repository = made()
    write_lock(repository, hostname="rose")
    other = write_lock(repository, hostname="tulip")
    own = write_lock(repository, hostname=socket.gethostname(), pid=os.getpid())

    removed = unlock(repository, everything=False, gone_hosts=frozenset({"rose", socket.gethostname()}))

    assert removed == 1
    assert lock_names(repository) == {other, own}


def test_unlock_leaves_the_lock_of_a_process_that_may_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lives, as somebody else."""
    repository = made()
    theirs = write_lock(repository, hostname=socket.gethostname(), pid=4711)

    def forbidden(_pid: int, _number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)

    assert unlock(repository, everything=False) == 0
    assert lock_names(repository) == {theirs}


def test_unlock_of_everything_removes_even_what_is_broken() -> None:
    repository = made()
    write_lock(repository)
    repository.storage.save(FileKind.LOCK, "0" * 64, b"x")

    removed = unlock(repository, everything=True)

    assert removed == 2
    assert lock_names(repository) == set()


def _dead_pid() -> int:
    """Return the id of a process that has ended and was waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


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


def test_a_short_command_does_not_wait_until_its_lock_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = made()
    monkeypatch.setattr(lock_module, "_SETTLE_SECONDS", 3600.0)

    with locked(repository, exclusive=False, settled=False):
        repository.load_index()

    assert list_locks(repository) == {}
