"""An operator starts in a cluster that is full of Backups, most of which ended long ago."""

import asyncio
from collections import Counter

import pytest

from becalm_operator.api.backup import Backup, BackupStatus, Phase
from becalm_operator.cluster.port import Key
from tests.operator.fake.controllers import tick
from tests.operator.fake.lab import SHOP
from tests.operator.fake.wrapped import Counting
from tests.operator.simulation.invariants import check_end
from tests.operator.simulation.shop import RUN, Operator, Shop

_MANY = 500
_MOST_TICKS = 200


async def many_ended_backups(shop: Shop) -> None:
    """Leave as many as a schedule of every hour does in three weeks, if it keeps all."""
    for number in range(_MANY):
        made = await shop.back_up(f"old-{number}")
        phase = Phase.SUCCEEDED if number % 10 else Phase.FAILED
        ended = made.model_copy(update={"status": BackupStatus(phase=phase)})
        shop.state.resources[Key("Backup", SHOP, made.metadata.name)] = ended


@pytest.mark.slow
def test_hundreds_of_ended_runs_cost_a_look_each_and_delay_no_live_one() -> None:
    async def scenario() -> None:
        shop = await Shop.open()
        await many_ended_backups(shop)
        await shop.back_up()
        counting = Counting(shop.cluster)
        operator = Operator(shop.state, counting)

        await operator.work()
        first = Counter(counting.calls)
        assert first["load"] <= _MANY + 5
        assert sum(first.values()) - first["load"] < 20, first

        for _ in range(_MOST_TICKS):
            if shop.is_over(RUN) and shop.is_up():
                break
            tick(shop.state)
            await operator.work()
        check_end(shop)
        run = shop.run(RUN)
        assert isinstance(run, Backup)
        assert run.status.phase is Phase.SUCCEEDED

    asyncio.run(scenario())
