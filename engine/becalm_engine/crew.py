"""Copies of this process that work beside it: for work on many small things, which holds Python's lock all the time.

Each member is forked, so it has everything that was in memory when the crew was made; it gets tasks and gives
results through a pipe. Whoever leads gets results in the order in which they come.
"""

import _thread
import contextlib
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NoReturn, Protocol, Self, TypeVar

from becalm_engine.errors import EngineError, InternalError, StoppedError, WorkerLostError
from becalm_engine.signals import SignalEvent

Task_contra = TypeVar("Task_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)
Task = TypeVar("Task")
Result = TypeVar("Result")

_TASKS_AHEAD = 2
_SMALL_BYTES = 32 * 1024
"""Tasks that wait in a pipe must fit into it: it holds some 200 KiB."""
_LOOK_SECONDS = 0.2
_THREADS = Path("/proc/self/task")
_LEAVING_SECONDS = 0.002
_LEAVING_LOOKS = 500
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_NOTHING_ELSE_RUNS: AbstractContextManager[None] = contextlib.nullcontext()


class Member(Protocol[Task_contra, Result_co]):
    """What a copy does."""

    def work(self, task: Task_contra) -> Result_co:
        """Do one task."""
        ...

    def last(self) -> Any:
        """Return what is left to be told when there are no more tasks."""
        ...


MakeMember = Callable[[threading.Event, Callable[[Any], None]], AbstractContextManager[Member[Task, Result]]]
"""Makes a member, in its own process. It gets the event that ends its work early, and whom to tell of progress."""


class _Copy:
    """One member as its leader sees it."""

    def __init__(self, pid: int, link: Connection) -> None:
        self.pid = pid
        self.link = link
        self.tasks = 0


class Crew(Generic[Task, Result]):
    """A number of members. Leaving the block ends them; leaving it by an error has them stop at a sound state.

    `told` gets what members tell about their progress; `check` is called now and then while waiting, and may
    raise to end the work. Members are forked in `quiet`, in which no thread of this process speaks to a store.
    """

    def __init__(
        self,
        count: int,
        make: MakeMember[Task, Result],
        *,
        told: Callable[[Any], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
        quiet: AbstractContextManager[object] = _NOTHING_ELSE_RUNS,
    ) -> None:
        self._told = told
        self._check = check
        self._copies: list[_Copy] = []
        self._early: deque[tuple[int, Result]] = deque()
        with quiet:
            _let_threads_go()
            self._muster(count, make)

    def _muster(self, count: int, make: MakeMember[Task, Result]) -> None:
        """Fork the members; where the system gives no more processes, fewer will do."""
        for _ in range(count):
            try:
                self._copies.append(self._forked(make))
            except OSError:
                if not self._copies:
                    raise
                return

    def _forked(self, make: MakeMember[Task, Result]) -> _Copy:
        ours, theirs = Pipe()
        with contextlib.closing(theirs):
            try:
                pid = _fork_unsignalled()
            except OSError:
                ours.close()
                raise
            if not pid:
                for other in self._copies:  # a copy that keeps these would never see its leader go
                    other.link.close()
                ours.close()
                _serve(theirs, make)
        return _Copy(pid, ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for copy in self._copies:
            if error is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(copy.pid, signal.SIGTERM)
            self._drained(copy)
            copy.link.close()
            os.waitpid(copy.pid, 0)

    @property
    def has_room(self) -> bool:
        """Whether a member would have to wait for a task."""
        return any(copy.tasks < _TASKS_AHEAD for copy in self._copies)

    @property
    def is_busy(self) -> bool:
        """Whether results are to be expected."""
        return bool(self._early) or any(copy.tasks for copy in self._copies)

    def submit(self, number: int, task: Task) -> None:
        """Give a task to the member that has the fewest.

        A large one is given to a member that waits for it: one that is at work reads nothing, and if it has a large
        result to give, both would wait for each other for ever.
        """
        copy = min(self._copies, key=lambda one: one.tasks)
        message = pickle.dumps((number, task))
        while copy.tasks and len(message) > _SMALL_BYTES:
            kind, done, value = self._received([copy])
            if kind == "result":
                self._early.append((done, value))
        copy.tasks += 1
        self._send(copy, message)

    def next(self) -> tuple[int, Result]:
        """Wait for a result; return the number of its task, and the result.

        Raises:
            WorkerLostError: A member has gone.
            EngineError: What a member failed with.
        """
        while not self._early:
            kind, number, value = self._received(self._copies)
            if kind == "result":
                self._early.append((number, value))
        return self._early.popleft()

    def last(self) -> Iterator[Any]:
        """Tell all members that there are no more tasks, and yield what each has left to tell."""
        for copy in self._copies:
            self._send(copy, pickle.dumps(None))
        for copy in self._copies:
            while (message := self._received([copy]))[0] != "last":
                pass
            yield message[2]

    def map(self, tasks: Iterable[Task]) -> Iterator[tuple[int, Result]]:
        """Yield the results of numbered tasks as they come."""
        for number, task in enumerate(tasks):
            self.submit(number, task)
            while not self.has_room:
                yield self.next()
        while self.is_busy:
            yield self.next()

    def _send(self, copy: _Copy, message: bytes) -> None:
        try:
            copy.link.send_bytes(message)
        except OSError:
            raise self._lost(copy) from None

    def _received(self, copies: list[_Copy]) -> tuple[str, int, Any]:
        links = {copy.link: copy for copy in copies}
        while not (ready := wait(list(links), timeout=_LOOK_SECONDS)):
            self._check()
        copy = links[ready[0]]  # type: ignore[index]  # it gives back what it was given
        try:
            kind, number, value = copy.link.recv()
        except (EOFError, OSError):
            raise self._lost(copy) from None
        if kind == "error":
            raise value
        if kind == "told":
            self._told(value)
        elif kind == "result":
            copy.tasks -= 1
        return kind, number, value

    def _lost(self, copy: _Copy) -> EngineError:
        return WorkerLostError(
            f"worker process {copy.pid} has gone before its time; was it killed for lack of memory?"
        )

    def _drained(self, copy: _Copy) -> None:
        """Take what a member still says, so that it can end."""
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            copy.link.send(None)
            while True:
                copy.link.recv()


def _fork_unsignalled() -> int:
    """Fork; in the copy signals stay blocked until it knows what to do with them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    pid = None
    try:
        pid = os.fork()
    finally:
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _let_threads_go() -> None:
    """Wait until threads that have ended are gone, not for Python only.

    A thread on its way out may hold a lock of OpenSSL, as one that speaks to a store may, and a copy that is made
    meanwhile waits for it for ever.
    """
    for _ in range(_LEAVING_LOOKS):
        living = _thread._count() + 1  # noqa: SLF001  the threading module knows only those that it has started
        if not _THREADS.is_dir() or len(list(_THREADS.iterdir())) <= living:
            break
        time.sleep(_LEAVING_SECONDS)


def _serve(link: Connection, make: MakeMember[Task, Result]) -> NoReturn:
    """Be a member: the rest of this process. It must not go on with what its leader was about to do."""
    stop = SignalEvent()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    status = 0
    try:
        _work(_Leader(link, stop), make, stop)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        status = 1  # the leader has gone
    except BaseException as error:  # noqa: BLE001  whatever it is, the leader must hear of it
        status = 1
        with contextlib.suppress(OSError):
            link.send(("error", 0, _portable(error)))
    finally:
        os._exit(status)


class _Leader:
    """The leader as a member sees it. If it has gone, the work is to stop: nobody will use it any more."""

    def __init__(self, link: Connection, stop: threading.Event) -> None:
        self._link = link
        self._stop = stop

    def send(self, kind: str, number: int, value: object) -> None:
        try:
            self._link.send((kind, number, value))
        except OSError:
            self._stop.set()
            raise

    def receive(self) -> Any:
        try:
            return self._link.recv()
        except (EOFError, OSError):
            self._stop.set()
            raise


def _work(leader: _Leader, make: MakeMember[Task, Result], stop: threading.Event) -> None:
    with make(stop, lambda value: leader.send("told", 0, value)) as member:
        while (given := leader.receive()) is not None:
            number, task = given
            leader.send("result", number, member.work(task))
            if stop.is_set():
                break
        if stop.is_set():
            raise StoppedError("interrupted")
        leader.send("last", 0, member.last())


def _portable(error: BaseException) -> EngineError:
    """Return an error that another process can raise."""
    if isinstance(error, EngineError):
        return error
    text = "".join(traceback.format_exception(error)).rstrip()
    return InternalError(f"internal error in a worker process: {error!r}\n{text}")
