import contextlib
import os
import socket
import time

import pytest

from becalm_engine.errors import (
    DamagedError,
    LockedError,
    ObjectMissingError,
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
)
from becalm_engine.repository import lock
from becalm_engine.repository.lock import list_locks, locked, unlock
from becalm_engine.repository.repository import open_repository
from becalm_engine.storage.base import FileKind
from tests.engine.repository.faulty import FaultyStorage
from tests.engine.repository.locking import HOUR, FakeSleep, dead_pid, lock_names, two, write_lock
from tests.engine.repository.repositories import PASSWORD, made


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


@pytest.mark.parametrize("settled", [True, False])
def test_a_lock_that_is_old_only_by_a_wrong_clock_stands(settled: bool) -> None:
    first, second = two(5000.0, 5000.0 + 29 * 60)
    name = write_lock(second, age_nanos=HOUR)

    with (
        pytest.raises(LockedError, match="the store got the lock less than half an hour ago"),
        locked(first, exclusive=True, sleep=FakeSleep(), settled=settled) as held,
    ):
        held.check()

    assert lock_names(first) == {name}


def test_a_lock_that_is_old_by_every_clock_is_removed() -> None:
    first, second = two(5000.0, 5001.0 + 30 * 60)
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
    name = write_lock(second, hostname=socket.gethostname(), pid=dead_pid())

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


def test_a_lock_that_is_refreshed_while_it_is_read_is_found_under_its_new_name() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    old = write_lock(repository)
    new = ""

    def refresh(_: FileKind, name: str) -> StorageError | None:
        nonlocal new
        if name == old:
            new = write_lock(repository)
            storage.delete(FileKind.LOCK, old)
        return None

    storage.on_load = refresh

    assert list(list_locks(repository)) == [new]


def test_a_lock_that_is_listed_and_is_not_there_when_it_is_read_may_be_held() -> None:
    """A cache or a replica that is late says so of a lock that is held."""
    storage = FaultyStorage()
    repository = made(storage)
    held = write_lock(repository)
    storage.on_load = lambda _, name: ObjectMissingError("404") if name == held else None

    with pytest.raises(LockedError, match=held), locked(repository, exclusive=True, sleep=FakeSleep()):
        pytest.fail("the other's lock was not read, and yet ignored")


def test_a_broken_lock_is_damage_and_the_way_out_is_told() -> None:
    repository = made()
    repository.storage.save(FileKind.LOCK, "0" * 64, b"x")

    with pytest.raises(DamagedError, match="unlock --remove-all"):
        list_locks(repository)


def test_an_empty_lock_is_nobodys_as_for_restic() -> None:
    """A full disk leaves such a file."""
    repository = made()
    repository.storage.save(FileKind.LOCK, "0" * 64, b"")

    with locked(repository, exclusive=True, sleep=FakeSleep()):
        assert len(list_locks(repository)) == 1


def test_whoever_waits_for_others_waits_for_the_second_look() -> None:
    """There is no trying again at the end of the work, when a conflict would show otherwise."""
    first, second = two()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            write_lock(second, exclusive=True)
        else:
            unlock(second, everything=True)

    with locked(first, exclusive=False, settled=False, retry_seconds=60, sleep=sleep) as held:
        held.check()

    assert slept[1] == 1.0


@pytest.mark.parametrize("slow", [True, False])
def test_a_lock_that_was_long_on_its_way_is_followed_by_a_look_at_once(
    monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    """Another one had looked in vain meanwhile. It would delete packs that the block uploads, and may soon be gone."""
    storage, begun = FaultyStorage(), False
    first, second = made(storage), open_repository(storage, PASSWORD)
    monkeypatch.setattr(lock, "_SETTLE_SECONDS", 0.05 if slow else 60.0)

    def meanwhile(_kind: FileKind, _name: str) -> None:
        storage.on_save = lambda *_: None
        write_lock(second, exclusive=True)
        time.sleep(0.1)

    storage.on_save = meanwhile
    with contextlib.suppress(LockedError), locked(first, exclusive=False, settled=False):
        begun = True

    assert begun is not slow
    assert len(lock_names(first)) == 1


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
