import asyncio
from collections.abc import Awaitable, Callable

import pytest

from becalm_operator.cluster.lease import Lease
from becalm_operator.cluster.port import Key
from becalm_operator.errors import LeaseLostError
from becalm_operator.handlers.queue import Queue
from becalm_operator.handlers.running import lead
from tests.operator.cluster.test_lease import FakeLeases
from tests.operator.handlers.virtual_time import now, virtually

KEY = Key("Backup", "shop", "nightly")


class Leading:
    """An operator whose reconciles take an hour, or as long as the test says."""

    def __init__(self, lasts: float = 3600.0) -> None:
        self.leases = FakeLeases()
        self.lease = Lease(self.leases, "one")
        self.lasts = lasts
        self.finished: list[float] = []
        self.queue = Queue(self._reconcile)
        self.stop = asyncio.Event()
        self.others_ended = 0

    async def _reconcile(self, key: Key) -> float | None:
        await asyncio.sleep(self.lasts)
        self.finished.append(now())
        return None

    async def other(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.others_ended += 1

    async def lead(self) -> None:
        await self.lease.acquire()
        await lead(self.lease, self.queue, [self.other(), self.other()], self.stop, 10.0)


def played(scenario: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await scenario()

    virtually(run())


def test_a_clean_stop_finishes_reconciles_and_gives_the_lease_back() -> None:
    async def scenario() -> None:
        leading = Leading(lasts=4)
        task = asyncio.create_task(leading.lead())
        await asyncio.sleep(100)
        leading.queue.add(KEY)
        await asyncio.sleep(1)
        leading.stop.set()
        await task
        assert leading.finished == [104]
        assert now() == 104
        assert leading.leases.holder is None
        assert leading.others_ended == 2

    played(scenario)


def test_a_clean_stop_waits_ten_seconds_at_most_and_keeps_the_lease_meanwhile(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        leading = Leading()
        task = asyncio.create_task(leading.lead())
        await asyncio.sleep(100)
        leading.queue.add(KEY)
        await asyncio.sleep(1)
        leading.stop.set()
        await asyncio.sleep(9)
        assert leading.leases.holder == "one"
        await task
        assert now() == 111
        assert leading.finished == []

    played(scenario)


def test_a_lost_lease_ends_everything_at_once() -> None:
    async def scenario() -> None:
        leading = Leading(lasts=15)
        task = asyncio.create_task(leading.lead())
        await asyncio.sleep(1)
        leading.queue.add(KEY)
        await Lease(leading.leases, "two").seize()
        with pytest.raises(LeaseLostError):
            await task
        assert now() == 10
        assert leading.finished == []
        assert leading.others_ended == 2
        assert leading.leases.holder == "two"

    played(scenario)


def test_whatever_else_ends_by_itself_ends_the_operator_with_its_error() -> None:
    async def scenario() -> None:
        leading = Leading()
        await leading.lease.acquire()

        async def failing() -> None:
            await asyncio.sleep(5)
            raise KeyError("bug")

        with pytest.raises(KeyError):
            await lead(leading.lease, leading.queue, [failing()], leading.stop, 10.0)

    played(scenario)
