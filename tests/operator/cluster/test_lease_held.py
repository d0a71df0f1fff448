"""Whether the Lease is held, as others may see it."""

import asyncio

from becalm_operator.cluster.lease import Lease
from becalm_operator.handlers.metrics import Metrics
from tests.operator.cluster.test_lease import FakeLeases
from tests.operator.handlers.virtual_time import virtually


def test_it_is_held_for_its_term_after_the_last_renewal_and_again_with_the_next() -> None:
    async def scenario() -> list[bool]:
        leases = FakeLeases()
        lease = Lease(leases, "one")
        seen = [lease.is_held()]
        await lease.acquire()
        keeping = asyncio.create_task(lease.keep())
        await asyncio.sleep(100.5)
        leases.down = True
        seen.append(lease.is_held())
        for seconds in (29, 1, 1000):
            await asyncio.sleep(seconds)
            seen.append(lease.is_held())
        leases.down = False
        await asyncio.sleep(2)
        seen.append(lease.is_held())
        keeping.cancel()
        await lease.release()
        return [*seen, lease.is_held()]

    assert virtually(scenario()) == [False, True, True, False, False, True, False]


def test_a_stand_by_does_not_hold_it() -> None:
    async def scenario() -> bool:
        leases = FakeLeases()
        await Lease(leases, "one").acquire()
        second = Lease(leases, "two")
        trying = asyncio.create_task(second.acquire())
        await asyncio.sleep(10)
        trying.cancel()
        return second.is_held()

    assert not virtually(scenario())


def test_the_metrics_say_whether_it_is_held() -> None:
    def shown(metrics: Metrics) -> bool:
        return "\nbecalm_lease_held 1.0\n" in metrics.text().decode()

    metrics = Metrics()
    assert not shown(metrics)
    metrics.holds_lease = lambda: True
    assert shown(metrics)
