"""A schedule makes each of its Backups once, wherever the operator dies."""

import asyncio

import pytest

from becalm_operator.api.backup import Backup, BackupSpec, Phase
from becalm_operator.api.base import LocalReference, Metadata
from becalm_operator.api.schedule import BackupSchedule, BackupScheduleSpec, BackupTemplate, Retention
from tests.operator.fake.lab import SHOP
from tests.operator.fake.wrapped import Counting, Dying, OperatorDiedError
from tests.operator.simulation.invariants import check_end, check_snapshots
from tests.operator.simulation.plays import work
from tests.operator.simulation.shop import RUN, WEB, Operator, Shop

_TICKS = 145
"""Two of its times and a bit: it runs every minute, and the shop opens half a minute past."""


async def open_shop() -> Shop:
    shop = await Shop.open()
    spec = BackupSpec(repository_ref=LocalReference(name="main"), workloads=(WEB,))
    schedule = BackupSchedule(
        metadata=Metadata(name="minutely", namespace=SHOP),
        spec=BackupScheduleSpec(
            schedule="* * * * *", retention=Retention(keep_last=2), template=BackupTemplate(spec=spec)
        ),
    )
    await shop.lab.make(schedule)
    return shop


async def play(at: int) -> tuple[Shop, list[str]]:
    """Let the first operator die at a call; return the shop and the calls that it made."""
    shop = await open_shop()
    counting = Counting(shop.cluster)
    begun = shop.state.now
    try:
        await work(shop, Operator(shop.state, Dying(counting, at, after=True)), _TICKS)
    except OperatorDiedError:
        left = _TICKS - int((shop.state.now - begun).total_seconds())
        await work(shop, Operator(shop.state, shop.cluster), left)
    return shop, counting.calls


def backups_of(shop: Shop) -> list[Backup]:
    return [one for one in shop.state.resources.values() if isinstance(one, Backup)]


async def play_everywhere() -> str:
    _, calls = await play(10**9)
    harm = []
    for at, call in enumerate(calls):
        if call.startswith(("load", "observe")):
            continue
        shop, _ = await play(at)
        try:
            check_runs(shop)
        except AssertionError as error:
            harm.append(f"died after call {at} ({call}): {error}")
    return "\n".join(harm)


def check_runs(shop: Shop) -> None:
    made = backups_of(shop)
    stops = shop.cluster.stops
    assert len(made) == 2, [backup.metadata.name for backup in made]
    assert len(stops) == len(set(stops)) == 2, stops
    assert all(backup.status.phase is Phase.SUCCEEDED for backup in made)
    for backup in made:
        check_snapshots(shop, backup)
    check_end(shop, RUN)


@pytest.mark.slow
def test_a_death_after_any_write_loses_and_doubles_no_backup() -> None:
    harm = asyncio.run(play_everywhere())

    assert not harm, harm
