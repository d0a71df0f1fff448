"""restic's lock protocol: look, write, wait, look again; refresh; remove.

Both tools may work on one repository. A lock that nobody has refreshed for half an hour is stale: its process
is gone, or has stopped itself, because a holder that cannot refresh gives up its work before that. Who knows that a
host is gone for good need not wait so long for its locks.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from becalm_engine.errors import (
    DamagedError,
    EngineError,
    InternalError,
    LockedError,
    ObjectMissingError,
    StorageError,
)
from becalm_engine.format import lock_file
from becalm_engine.format.lock_file import Lock
from becalm_engine.policy import locks
from becalm_engine.repository.hold import Hold, Moment
from becalm_engine.repository.keys import username
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind, StoredFile

_SETTLE_SECONDS = 0.2
_REFRESH_SECONDS = 300.0
_LOOKS = 3


@contextlib.contextmanager
def locked(
    repository: Repository,
    *,
    exclusive: bool,
    retry_seconds: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
    settled: bool = True,
    gone_hosts: frozenset[str] = frozenset(),
) -> Iterator["HeldLock"]:
    """Hold a lock while the block runs. Locks of `gone_hosts`, on which nothing runs any more, count for nothing.

    The protocol wants a second look a moment after the lock is written. Unless it is to be `settled`, the block
    does not wait for that: `check` does, which comes before anything is written that others rely on. Whoever is
    ready to wait for others waits for the second look as well: there is no trying again once the work is done.
    If it took long to write the lock, there is a look before the block, too: a prune that has seen no lock would
    take packs that are uploaded now for nobody's, and may be gone again at the look after the moment.

    Raises:
        LockedError: Another process holds one that conflicts, and still did after `retry_seconds`.
    """
    settled = settled or retry_seconds > 0
    wait = sleep if settled else None
    wish = _Wish(exclusive, gone_hosts)
    held = _acquired(repository, wish, retry_seconds=retry_seconds, sleep=sleep, settle=wait)
    repository.guard, repository.forked_guard = held.check, held.check_kept
    repository.quiet = held.quiet
    try:
        yield held
    finally:
        held.release()


@dataclass(frozen=True, slots=True)
class _Wish:
    """The lock that is wanted, and the hosts whose locks do not stand in its way."""

    exclusive: bool
    gone_hosts: frozenset[str] = frozenset()


def _acquired(
    repository: Repository,
    wish: _Wish,
    *,
    retry_seconds: float,
    sleep: Callable[[float], None],
    settle: Callable[[float], None] | None,
) -> "HeldLock":
    deadline, delay = time.monotonic() + retry_seconds, 1.0
    while True:
        try:
            return _tried(repository, wish, settle=settle)
        except LockedError:
            if time.monotonic() + delay > deadline:
                raise
        sleep(delay)
        delay = min(2 * delay, 60.0)


def _tried(repository: Repository, wish: _Wish, *, settle: Callable[[float], None] | None) -> "HeldLock":
    started = time.monotonic()
    _refuse_conflicts(repository, wish, own="")
    held = HeldLock(
        repository, exclusive=wish.exclusive, settled=settle is not None, gone_hosts=wish.gone_hosts
    )
    # within this time another one sees the new lock at its own second look
    was_quick = time.monotonic() - started < _SETTLE_SECONDS
    if settle is None and was_quick:
        return held
    try:
        if settle is not None:
            settle(_SETTLE_SECONDS)  # another process may have written its lock at the same moment
        _refuse_conflicts(repository, wish, own=held.name)
    except BaseException:
        held.release()
        raise
    return held


def _refuse_conflicts(repository: Repository, wish: _Wish, *, own: str) -> None:
    """Raise if another holds a lock that conflicts; remove those that nobody holds.

    The clock of the store has to agree that a lock is stale, and what that shows is known by the own lock. Before
    there is one, stale locks are passed over: there is a second look.
    """
    others, written = _look(repository, own)
    for name, lock in others.items():
        stale = locks.is_stale(lock, now_nanos=time.time_ns())
        agreed = stale and locks.is_stored_long(written[name], written.get(own))
        if agreed or locks.is_gone(lock, wish.gone_hosts, socket.gethostname()):
            with contextlib.suppress(StorageError):  # it stands in nobody's way, also if it stays
                repository.storage.delete(FileKind.LOCK, name)
        elif (own or not stale) and locks.conflicts(lock, exclusive=wish.exclusive):
            raise LockedError(
                f"repository is already {lock.describe()}{_CLOCKS if stale else ''}; "
                "if that process is gone, remove its lock with `becalm unlock`"
            )


_CLOCKS = " (its clock or that of this machine is wrong: the store got the lock less than half an hour ago)"


def _is_void(lock: Lock, gone_hosts: frozenset[str]) -> bool:
    return locks.is_void(lock, now_nanos=time.time_ns(), gone_hosts=gone_hosts, own_host=socket.gethostname())


def list_locks(repository: Repository) -> dict[str, Lock]:
    """Return all locks by name; see `_look`."""
    return _look(repository, "")[0]


def _look(repository: Repository, own: str) -> tuple[dict[str, Lock], dict[str, float | None]]:
    """Return all locks but the own one by name, and when the store got each of all. An empty one is nobody's.

    Whoever refreshes a lock writes another and removes it. So if one disappears meanwhile, they are listed again.

    Raises:
        DamagedError: One cannot be read, so nobody knows what it forbids.
        LockedError: The same of one that is listed again and again, and not there when it is read.
    """
    for _ in range(_LOOKS):
        listed = list(repository.storage.list(FileKind.LOCK))
        others = [stored for stored in listed if stored.size_bytes and stored.name != own]
        found = {stored.name: _read(repository, stored) for stored in others}
        held = {name: lock for name, lock in found.items() if lock is not None}
        if len(held) == len(found):
            return held, {stored.name: stored.written for stored in listed}
    missing = next(name for name in found if name not in held)
    raise LockedError(
        f"lock {missing} is listed, and is not there when it is read: nobody knows what it forbids"
    )


def _read(repository: Repository, stored: StoredFile) -> Lock | None:
    try:
        return lock_file.decode(repository.load_document(FileKind.LOCK, stored.name))
    except ObjectMissingError:
        return None
    except DamagedError as error:
        raise DamagedError(
            f"lock {stored.name} cannot be read, so nobody knows what it forbids: {error}; "
            "if nothing works on the repository, `becalm unlock --remove-all` removes it"
        ) from error


def unlock(repository: Repository, *, everything: bool, gone_hosts: frozenset[str] = frozenset()) -> int:
    """Remove empty and stale locks and those of `gone_hosts`, or all of them; return how many.

    Raises:
        DamagedError: One cannot be read. All that can be removed are removed before.
    """
    removed, unread = 0, None
    for stored in list(repository.storage.list(FileKind.LOCK)):
        try:
            if everything or _removable(repository, stored, gone_hosts):
                repository.storage.delete(FileKind.LOCK, stored.name)
                removed += 1
        except DamagedError as error:
            unread = error
    if unread is not None:
        raise unread
    return removed


def _removable(repository: Repository, stored: StoredFile, gone_hosts: frozenset[str]) -> bool:
    lock = _read(repository, stored) if stored.size_bytes else None
    if lock is None:  # a full disk leaves an empty one behind; restic passes it over, too
        return True
    if _is_void(lock, gone_hosts):
        return True
    return lock.hostname == socket.gethostname() and not _process_lives(lock.pid)


def _process_lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


class HeldLock:
    """A lock of this process, refreshed by a thread until it is released; that looks again if it is not `settled`."""

    def __init__(
        self,
        repository: Repository,
        *,
        exclusive: bool,
        settled: bool = True,
        gone_hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._repository = repository
        self._wish = _Wish(exclusive, gone_hosts)
        self._settled = threading.Event()
        self._doubtful = not settled
        self._conflict: EngineError | None = None
        if settled:
            self._settled.set()
        self._problem: StorageError | None = None
        self._hold = Hold()
        self.quiet = threading.Lock()
        """Held while this thread speaks to the store, and by whoever wants it not to."""
        self.name = self._write()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise if there was another lock, or this one could not be kept: what was done may not be published.

        Raises:
            LockedError: It may not; trying again may help.
        """
        self._settled.wait()
        if self._conflict is not None:
            raise self._conflict
        if self._doubtful:
            self._repository.refuse_lost_index()
            self._doubtful = False
        self.check_kept()

    def check_kept(self) -> None:
        """Raise if this lock could not be kept. A forked copy may ask, also while the lock settles.

        Raises:
            LockedError: It may be broken by now; trying again may help.
        """
        if self._hold.is_lost:
            why = f": {self._problem}" if self._problem else ""
            raise LockedError(f"the lock could not be refreshed in time, others may have broken it{why}")

    def release(self) -> None:
        """Remove the lock. A store that refuses leaves it to become stale.

        A copy of this process that is still at work must publish nothing from here on.
        """
        self._released.set()
        self._thread.join()
        self._hold.lose()
        with contextlib.suppress(StorageError):
            self._repository.storage.delete(FileKind.LOCK, self.name)

    def _write(self) -> str:
        lock = Lock(
            time_nanos=time.time_ns(),
            exclusive=self._wish.exclusive,
            hostname=socket.gethostname(),
            username=username(),
            pid=os.getpid(),
            uid=os.getuid(),
            gid=os.getgid(),
        )
        return self._repository.save_document(FileKind.LOCK, lock_file.encode(lock))

    def _keep(self) -> None:
        if not self._settled.is_set():
            self._look_again()
        while not self._released.wait(_REFRESH_SECONDS):
            with self.quiet:
                self._refresh()

    def _look_again(self) -> None:
        """See whether another process wrote its lock at the same moment, unless all is over before."""
        try:
            if not self._released.wait(_SETTLE_SECONDS):
                with self.quiet:
                    _refuse_conflicts(self._repository, self._wish, own=self.name)
        except EngineError as error:
            self._conflict = error
            self._hold.lose()
        except BaseException as error:  # noqa: BLE001  whatever it is, nobody has looked
            self._conflict = InternalError(f"internal error: nobody looked for other locks: {error!r}")
            self._hold.lose()
        finally:
            self._settled.set()

    def _refresh(self) -> None:
        """Put a new lock in the place of the old, unless others may have taken that for stale: then all is lost."""
        if self._hold.is_lost:  # this process stood still; a new lock would hide what others did meanwhile
            self._hold.lose()
            return
        old, now = self.name, Moment.now()
        try:
            self._repository.storage.load(FileKind.LOCK, old)
            self.name = self._write()
            if self._hold.is_lost:  # the old one may have been stale before the new one was there
                self._hold.lose()
            self._hold.refreshed(now)
            self._repository.storage.delete(FileKind.LOCK, old)
        except StorageError as error:
            self._problem = error
            if isinstance(error, ObjectMissingError):  # somebody has removed it
                self._hold.lose()
