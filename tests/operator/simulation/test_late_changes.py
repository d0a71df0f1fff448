"""Workloads that are changed while a run is stopping others: what was looked at before holds no more."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.conditions import Reason
from tests.operator.fake.controllers import tick
from tests.operator.fake.lab import SHOP
from tests.operator.simulation.shop import DB, RUN, WEB, Operator, Shop

_MOST_TICKS = 400


async def _scaled(shop: Shop) -> None:
    await shop.lab.scale(DB, 2)


async def _mounting_more(shop: Shop) -> None:
    shop.state.workload(SHOP, DB).mounts = ("archive",)
    await shop.lab.edit(DB)


async def _deleting_its_claims(shop: Shop) -> None:
    shop.state.workload(SHOP, DB).deletes_claims = True
    await shop.lab.edit(DB)


async def _until(shop: Shop, operator: Operator, seen: Callable[[], bool]) -> None:
    for _ in range(_MOST_TICKS):
        await operator.work()
        if seen():
            return
        tick(shop.state)
    raise AssertionError("not in time")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_scaled, Reason.WORKLOAD_CHANGED),
        (_mounting_more, Reason.WORKLOAD_CHANGED),
        (_deleting_its_claims, Reason.WORKLOAD_DELETES_CLAIMS),
    ],
    ids=["scaled up", "mounts another claim", "would lose its claims"],
)
def test_one_that_has_changed_while_another_ended_is_not_stopped(
    change: Callable[[Shop], Awaitable[None]], reason: Reason
) -> None:
    async def play() -> None:
        shop = await Shop.open()
        await shop.back_up(workloads=(WEB, DB))
        operator = Operator(shop.state, shop.cluster)
        shop.state.held_pods.add(str(WEB))
        await _until(shop, operator, lambda: shop.state.workload(SHOP, WEB).replicas == 0)
        await change(shop)
        shop.state.held_pods.clear()
        await _until(shop, operator, lambda: shop.is_over(RUN) and shop.is_up())

        run = shop.run()
        assert isinstance(run, Backup)
        status = run.status
        assert (status.phase, status.reason) == (Phase.FAILED, reason)
        assert [volume.snapshot_id for volume in status.volumes] == ["", ""]
        assert not any(DB.name in str(stop) for stop in shop.cluster.stops)

    asyncio.run(play())
