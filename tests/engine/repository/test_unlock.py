"""Unlocking: which locks go, and which stay."""

import os
import socket

import pytest

from becalm_engine.errors import DamagedError
from becalm_engine.repository.lock import unlock
from becalm_engine.storage.base import FileKind
from tests.engine.repository.locking import HOUR, dead_pid, lock_names, write_lock
from tests.engine.repository.repositories import made


def test_unlock_removes_what_nobody_can_hold_any_more() -> None:
    repository = made()
    write_lock(repository, age_nanos=HOUR)
    write_lock(repository, hostname=socket.gethostname(), pid=dead_pid())
    living = write_lock(repository, hostname=socket.gethostname(), pid=os.getpid())
    elsewhere = write_lock(repository, hostname="far away", pid=dead_pid())

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


def test_unlock_removes_an_empty_lock_and_goes_on_after_one_that_cannot_be_read() -> None:
    repository = made()
    repository.storage.save(FileKind.LOCK, "0" * 64, b"x")
    repository.storage.save(FileKind.LOCK, "f" * 64, b"")
    write_lock(repository, age_nanos=HOUR)

    with pytest.raises(DamagedError, match="unlock --remove-all"):
        unlock(repository, everything=False)

    assert lock_names(repository) == {"0" * 64}
