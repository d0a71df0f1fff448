"""There is no operator any more: the watchdog alone starts everything."""

import asyncio

import pytest

from becalm_operator.api.names import RELEASED_ANNOTATION
from becalm_operator.cluster.port import Key
from becalm_operator.handlers.watchdog import watch_once
from tests.operator.fake import movers
from tests.operator.fake.controllers import tick
from tests.operator.fake.wrapped import Counting, Dying, OperatorDiedError, only_reads
from tests.operator.simulation.invariants import check_always, check_end
from tests.operator.simulation.shop import DOWNTIME_SECONDS, RESTORED, RUN, Operator, Shop

_EVERY_SECONDS = 300
_MOST_TICKS = 400


async def begun(key: Key) -> Shop:
    """Return a shop in which a run has begun whose movers never end."""
    shop = await Shop.open()
    await (shop.back_up() if key == RUN else shop.restore())
    shop.script("mover" if key == RUN else "restore", movers.HANGS)
    return shop


async def work_until_down(shop: Shop, operator: Operator) -> None:
    """Let the operator work until its movers run; it may die before."""
    for _ in range(40):
        await operator.work()
        tick(shop.state)


async def left_to_the_watchdog(shop: Shop) -> None:
    """Let time pass, in which the watchdog comes by every five minutes."""
    for at in range(_EVERY_SECONDS + DOWNTIME_SECONDS):
        if at % _EVERY_SECONDS == _EVERY_SECONDS - 1:
            assert await watch_once(shop.cluster, lambda: shop.state.now)
        check_always(shop)
        tick(shop.state)


@pytest.mark.parametrize("key", [RUN, RESTORED], ids=str)
def test_an_operator_that_is_gone_for_good_leaves_nothing_down(key: Key) -> None:
    async def play() -> Shop:
        shop = await begun(key)
        await work_until_down(shop, Operator(shop.state, shop.cluster))
        assert not shop.is_up()
        await left_to_the_watchdog(shop)
        return shop

    shop = asyncio.run(play())

    assert shop.is_up()
    run = shop.run(key)
    assert run is not None
    assert RELEASED_ANNOTATION in run.metadata.annotations
    about = [event for who, event in shop.state.events if event.reason == "ReleasedByWatchdog"]
    assert len(about) == 2


@pytest.mark.parametrize("key", [RUN, RESTORED], ids=str)
def test_an_operator_that_comes_back_late_tells_who_started_the_workloads(key: Key) -> None:
    async def play() -> Shop:
        shop = await begun(key)
        await work_until_down(shop, Operator(shop.state, shop.cluster))
        await left_to_the_watchdog(shop)
        operator = Operator(shop.state, shop.cluster)
        for _ in range(60):
            await operator.work()
            check_always(shop)
            tick(shop.state)
        return shop

    shop = asyncio.run(play())

    check_end(shop, key)
    run = shop.run(key)
    assert run is not None
    assert run.status.reason == "DowntimeExceeded"
    assert "the watchdog started workloads of it at 2026-" in run.status.message
    stops = shop.cluster.stops
    assert len(stops) == len(set(stops)), "a workload was stopped twice"


@pytest.mark.slow
def test_wherever_the_operator_dies_the_watchdog_starts_what_it_has_left() -> None:
    async def calls() -> int:
        shop = await begun(RUN)
        counting = Counting(shop.cluster)
        await work_until_down(shop, Operator(shop.state, counting))
        return sum(not only_reads(call) for call in counting.calls)

    async def play(at: int) -> Shop:
        shop = await begun(RUN)
        with pytest.raises(OperatorDiedError):
            await work_until_down(shop, Operator(shop.state, DyingAtWrites(shop.cluster, at, after=True)))
        await left_to_the_watchdog(shop)
        return shop

    for at in range(asyncio.run(calls())):
        assert asyncio.run(play(at)).is_up(), f"died after write {at}"


class DyingAtWrites(Dying):
    """Counts writes alone: after a read nothing is left behind that was not there before."""

    async def around(self, name, call):  # type: ignore[no-untyped-def]
        return await call(self._inner) if only_reads(name) else await super().around(name, call)


def test_beside_an_operator_at_work_the_watchdog_does_no_harm() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.back_up()
        operator = Operator(shop.state, shop.cluster)
        for _ in range(_MOST_TICKS):
            await operator.work()
            assert await watch_once(shop.cluster, lambda: shop.state.now)
            check_always(shop)
            if shop.is_over(RUN) and shop.is_up():
                break
            tick(shop.state)
        return shop

    shop = asyncio.run(play())

    check_end(shop)
    run = shop.run()
    assert run is not None
    assert (run.status.phase, run.metadata.annotations) == ("Succeeded", {})
