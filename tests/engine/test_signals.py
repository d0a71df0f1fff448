import gc
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from becalm_engine.signals import SignalEvent


@pytest.fixture
def event() -> SignalEvent:
    return SignalEvent()


@pytest.fixture
def flood(event: SignalEvent) -> Iterator[list[int]]:
    """A signal that sets the event, at every moment; returns how often it came."""
    came: list[int] = []

    def heed(*_: object) -> None:
        came.append(1)
        event.set()

    before = signal.signal(signal.SIGALRM, heed)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    yield came
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_handler_may_set_it_whatever_it_interrupts(event: SignalEvent, flood: list[int]) -> None:
    """In the middle of waiting the event's own lock is held, and a handler would wait for it for ever."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        event.wait(0.0001)
        event.clear()

    assert len(flood) > 100


def test_a_signal_ends_the_waiting(event: SignalEvent, flood: list[int]) -> None:
    assert event.wait(60)
    assert flood


def test_it_wakes_all_that_wait(event: SignalEvent) -> None:
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(event.wait())) for _ in range(3)]
    for thread in threads:
        thread.start()

    event.set()

    for thread in threads:
        thread.join(20)
    assert woken == [True] * 3
    assert event.wait(60), "it stays set"


@pytest.mark.parametrize("seconds", [0, -1, 0.01])
def test_one_that_nobody_sets_is_waited_for_so_long_at_most(event: SignalEvent, seconds: float) -> None:
    assert not event.wait(seconds)
    assert not event.is_set()


def test_it_may_be_set_again(event: SignalEvent) -> None:
    event.set()
    event.set()
    event.clear()

    assert not event.wait(0)
    event.clear()
    event.set()
    assert event.wait(0)


def test_its_file_goes_with_it() -> None:
    event = SignalEvent()
    file = event._file
    assert os.fstat(file)

    del event
    gc.collect()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
