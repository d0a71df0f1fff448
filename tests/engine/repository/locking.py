"""Locks of others, and the time between two looks."""

import subprocess
import sys
import time
from collections.abc import Callable

from becalm_engine.format import lock_file
from becalm_engine.format.lock_file import Lock
from becalm_engine.repository.repository import Repository, open_repository
from becalm_engine.storage.base import FileKind
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


def two(*times: float) -> tuple[Repository, Repository]:
    """Return two processes' views of one repository; the files that come are written at these `times`."""
    storage, clock = FaultyStorage(), iter(times)
    first = made(storage)
    storage.clock = lambda: next(clock, None)
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


def dead_pid() -> int:
    """Return the id of a process that has ended and was waited for."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
