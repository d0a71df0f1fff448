import fcntl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from e2e.turns import Turns

_PATIENCE_SECONDS = 20
Turn = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def turns(tmp_path: Path) -> Turns:
    return Turns(tmp_path)


def _take(turn: Turn, do: Callable[[], object]) -> None:
    with turn():
        do()


def _await_waiting(turns: Turns) -> None:
    """Wait until somebody is the next."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with (turns.folder / "next.lock").open("w") as file:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(0.001)
    raise TimeoutError


def test_many_work_beside_each_other(turns: Turns) -> None:
    met = threading.Barrier(3, timeout=_PATIENCE_SECONDS)
    with ThreadPoolExecutor(3) as pool:
        works = [pool.submit(_take, turns.beside, met.wait) for _ in range(3)]

    assert [work.exception() for work in works] == [None] * 3


@pytest.mark.parametrize("how", ["alone", "beside"])
def test_who_is_alone_is_disturbed_by_nobody(turns: Turns, how: str) -> None:
    seen: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with turns.alone():
            other = pool.submit(_take, getattr(turns, how), lambda: seen.append("disturbed"))
            with pytest.raises(TimeoutError):
                other.result(0.05)
            seen.append("over")
        other.result(_PATIENCE_SECONDS)

    assert seen == ["over", "disturbed"]


def test_who_waits_to_be_alone_goes_before_those_who_come_later(turns: Turns) -> None:
    seen: list[str] = []
    with ThreadPoolExecutor(2) as pool, turns.beside():
        pool.submit(_take, turns.alone, lambda: seen.append("alone"))
        _await_waiting(turns)
        pool.submit(_take, turns.beside, lambda: seen.append("beside"))

    assert seen == ["alone", "beside"]


def test_what_is_done_once_is_done_when_anybody_goes_on(turns: Turns) -> None:
    seen: list[str] = []

    def go_on() -> None:
        turns.once("installed", lambda: seen.append("installed"))
        seen.append("on")

    with ThreadPoolExecutor(3) as pool:
        for work in [pool.submit(go_on) for _ in range(3)]:
            work.result(_PATIENCE_SECONDS)

    assert seen == ["installed", "on", "on", "on"]


def test_the_first_of_several_begins_and_the_last_ends(turns: Turns) -> None:
    seen: list[str] = []
    begin, end = partial(seen.append, "begins"), partial(seen.append, "ends")
    for _ in range(2):
        with turns.together("resting", begin, end), turns.together("resting", begin, end):
            seen.append("at work")

    assert seen == ["begins", "at work", "ends"] * 2
