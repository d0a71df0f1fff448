import _thread
import contextlib
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.crew import Crew
from becalm_engine.errors import EngineError, StorageFullError, WorkerLostError


class Doubler:
    """Doubles numbers, and sums up what it got."""

    def __init__(self, stop: threading.Event, tell: Callable[[Any], None]) -> None:
        self.sum = 0
        self._stop = stop
        self._tell = tell

    def work(self, task: int | str) -> int:
        if isinstance(task, str):
            return self._special(task)
        self.sum += task
        self._tell(task)
        return 2 * task

    def _special(self, task: str) -> int:
        if task == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "full":
            raise StorageFullError("no room")
        if task == "stumble":
            raise KeyError("surprise")
        assert self._stop.wait(20), "nobody stopped it"
        Path(task).touch()
        raise EngineError("stopped")

    def last(self) -> int:
        return self.sum


@contextlib.contextmanager
def doubler(stop: threading.Event, tell: Callable[[Any], None]) -> Iterator[Doubler]:
    yield Doubler(stop, tell)


def test_members_are_forked_while_it_is_quiet() -> None:
    quiet = threading.Lock()

    class Told(Doubler):
        """Tells whether it was quiet when it was forked."""

        def last(self) -> int:
            return quiet.locked()

    @contextlib.contextmanager
    def told(stop: threading.Event, tell: Callable[[Any], None]) -> Iterator[Doubler]:
        yield Told(stop, tell)

    with Crew(2, told, quiet=quiet) as crew:
        assert not quiet.locked()
        assert list(crew.last()) == [True, True]


def test_every_task_is_done_once_and_each_member_says_what_it_had() -> None:
    told: list[int] = []

    with Crew(3, doubler, told=told.append) as crew:
        results = dict(crew.map(range(100)))
        sums = list(crew.last())

    assert results == {number: 2 * number for number in range(100)}
    assert sum(sums) == sum(range(100))
    assert len(sums) == 3
    assert sorted(told) == list(range(100))


def test_tasks_are_spread_and_bounded() -> None:
    with Crew(2, doubler) as crew:
        given = 0
        while crew.has_room:
            crew.submit(given, given)
            given += 1

        assert given == 4
        assert crew.is_busy
        assert sorted(crew.next()[0] for _ in range(given)) == [0, 1, 2, 3]
        assert not crew.is_busy


@pytest.mark.parametrize(("task", "error", "text"), [
    ("die", WorkerLostError, "gone before its time"),
    ("full", StorageFullError, "no room"),
    ("stumble", EngineError, "KeyError"),
])  # fmt: skip
def test_the_failure_of_one_is_the_failure_of_all(task: str, error: type[EngineError], text: str) -> None:
    before = children()

    with pytest.raises(error, match=text), Crew(2, doubler) as crew:
        list(crew.map([1, task, 2, 3]))

    assert children() == before


def test_an_error_of_the_leader_stops_the_members_at_a_sound_state(tmp_path: Path) -> None:
    before = children()

    def fail() -> None:
        with Crew(2, doubler) as crew:
            crew.submit(1, str(tmp_path / "one"))
            crew.submit(2, str(tmp_path / "two"))
            raise EngineError("the leader fails")

    with pytest.raises(EngineError, match="the leader fails"):
        fail()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    assert children() == before


def test_the_leader_looks_about_while_it_waits(tmp_path: Path) -> None:
    def check() -> None:
        raise EngineError("enough")

    with pytest.raises(EngineError, match="enough"), Crew(1, doubler, check=check) as crew:
        list(crew.map([str(tmp_path / "one")]))


def test_members_end_when_their_leader_is_killed(tmp_path: Path) -> None:
    leader = os.fork()
    if not leader:
        with Crew(2, doubler):
            (tmp_path / "pids").write_text(" ".join(str(pid) for pid in children()))
            (tmp_path / "pids").rename(tmp_path / "ready")
            time.sleep(60)
        os._exit(0)
    wait((tmp_path / "ready").exists)
    members = [int(pid) for pid in (tmp_path / "ready").read_text().split()]
    assert len(members) == 2

    os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)

    wait(lambda: not any(lives(pid) for pid in members))


def ended_in_time(pid: int) -> bool:
    """Wait for a process of ours, and end it if that takes too long; say whether it ended by itself."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def test_large_tasks_and_large_results_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """A pipe holds neither, and both ends would write into theirs for ever."""

    @contextlib.contextmanager
    def echoing(stop: threading.Event, tell: Callable[[Any], None]) -> Iterator[Any]:
        member = Doubler(stop, tell)
        member.work = lambda task: task  # type: ignore[method-assign,assignment,return-value]
        yield member

    leader = os.fork()
    if not leader:
        with Crew[bytes, bytes](2, echoing) as crew:
            sizes = {number: len(result) for number, result in crew.map([bytes(1_000_000)] * 7)}
        (tmp_path / "sizes").write_text(str(sorted(sizes.items())))
        os._exit(0)

    assert ended_in_time(leader)
    assert (tmp_path / "sizes").read_text() == str([(number, 1_000_000) for number in range(7)])


def test_a_member_whose_leader_is_killed_stops_what_it_does(tmp_path: Path) -> None:
    """It must not go on storing, and publish what nobody waits for."""

    @contextlib.contextmanager
    def telling(stop: threading.Event, tell: Callable[[Any], None]) -> Iterator[Any]:
        member = Doubler(stop, tell)

        def tell_on(_: int) -> int:
            while True:
                (tmp_path / "working").touch()
                tell("still here")
                time.sleep(0.01)

        member.work = tell_on  # type: ignore[method-assign,assignment]
        try:
            yield member
        finally:
            (tmp_path / f"stopped-{stop.is_set()}").touch()

    leader = os.fork()
    if not leader:
        with Crew(1, telling) as crew:
            crew.submit(1, 1)
            while True:
                crew.next()
    wait((tmp_path / "working").exists)

    os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)

    wait(lambda: bool(list(tmp_path.glob("stopped-*"))))
    assert [path.name for path in tmp_path.glob("stopped-*")] == ["stopped-True"]


@pytest.mark.parametrize(("allowed", "members"), [(1, 1), (2, 2), (3, 3)])
def test_where_the_system_gives_no_more_processes_fewer_will_do(
    allowed: int, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_forks(monkeypatch, allowed)

    with Crew(3, doubler) as crew:
        assert dict(crew.map(range(10))) == {number: 2 * number for number in range(10)}
        assert len(list(crew.last())) == members


def test_where_it_gives_none_signals_are_heard_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_forks(monkeypatch, 0)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    with pytest.raises(BlockingIOError):
        Crew(3, doubler)

    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def limit_forks(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    """Have the system refuse to fork after so many times."""
    fork, left = os.fork, iter(range(allowed))

    def limited() -> int:
        if next(left, None) is None:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", limited)


def children() -> set[int]:
    """Return the processes that this one has begun and not waited for."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(entry.path, "stat").read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == os.getpid():
                    found.add(int(entry.name))
    return found


def lives(pid: int) -> bool:
    """Say whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_threads_that_have_ended_for_python_are_gone_before_a_copy_is_made() -> None:
    """One that the system still winds up may hold a lock of a library, which nobody releases in the copy."""
    library, thread = ctypes.CDLL(None), ctypes.c_ulong()
    library.pthread_create(ctypes.byref(thread), None, library.usleep, ctypes.c_void_p(200_000))
    library.pthread_detach(thread)
    living = _thread._count() + 1
    assert len(list(Path("/proc/self/task").iterdir())) > living

    with Crew(1, doubler) as crew:
        left = len(list(Path("/proc/self/task").iterdir()))
        assert dict(crew.map([1])) == {0: 2}

    assert left <= living
