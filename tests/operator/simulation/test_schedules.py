"""A schedule makes each of its Backups once, wherever the operator dies."""

import asyncio
from collections.abc import Mapping

import pytest

from becalm_operator.api.backup import BackupSpec, Phase
from becalm_operator.api.base import LocalReference, Metadata
from becalm_operator.api.schedule import BackupSchedule, BackupScheduleSpec, BackupTemplate, Retention
from becalm_operator.cluster.port import Key
from tests.operator.fake.lab import SHOP
from tests.operator.fake.objects import Script
from tests.operator.fake.wrapped import Counting, Dying, OperatorDiedError, only_reads
from tests.operator.simulation.invariants import check_end, check_snapshots
from tests.operator.simulation.plays import work
from tests.operator.simulation.shop import RUN, WEB, Operator, Shop

_TICKS = 145
"""Two of its times and a bit: it runs every minute, and the shop opens half a minute past."""

_NEVER = 10**9
FIRST_COMMIT_KILLED = {"commit/": Script(ticks=1, evicted=True)}
"""It leaves a lock, and the second try succeeds."""


async def open_shop(scripts: Mapping[str, Script] | None = None) -> Shop:
    shop = await Shop.open()
    for role, script in (scripts or {}).items():
        shop.script(role, script)
    spec = BackupSpec(repository_ref=LocalReference(name="main"), workloads=(WEB,))
    schedule = BackupSchedule(
        metadata=Metadata(name="minutely", namespace=SHOP),
        spec=BackupScheduleSpec(
            schedule="* * * * *", retention=Retention(keep_last=2), template=BackupTemplate(spec=spec)
        ),
    )
    await shop.lab.make(schedule)
    return shop


async def play(at: int, scripts: Mapping[str, Script] | None = None) -> tuple[Shop, list[str]]:
    """Let the first operator die at a call; return the shop and the calls that it made."""
    shop = await open_shop(scripts)
    counting = Counting(shop.cluster)
    begun = shop.state.now
    try:
        await work(shop, Operator(shop.state, Dying(counting, at, after=True)), _TICKS)
    except OperatorDiedError:
        left = _TICKS - int((shop.state.now - begun).total_seconds())
        await work(shop, Operator(shop.state, shop.cluster), left)
    return shop, counting.calls


async def play_everywhere(scripts: Mapping[str, Script] | None = None) -> str:
    _, calls = await play(_NEVER, scripts)
    harm = []
    for at, call in enumerate(calls):
        if only_reads(call):
            continue
        shop, _ = await play(at, scripts)
        try:
            check_runs(shop)
        except AssertionError as error:
            harm.append(f"died after call {at} ({call}): {error}")
    return "\n".join(harm)


def check_runs(shop: Shop) -> None:
    made = shop.backups
    stops = shop.cluster.stops
    assert len(made) == 2, [backup.metadata.name for backup in made]
    assert len(stops) == len(set(stops)) == 2, stops
    assert all(backup.status.phase is Phase.SUCCEEDED for backup in made)
    assert not [one.status.message for one in made if "retention was not applied" in one.status.message]
    for backup in made:
        check_snapshots(shop, backup)
    check_end(shop, RUN)


@pytest.mark.slow
def test_a_death_after_any_write_loses_and_doubles_no_backup() -> None:
    harm = asyncio.run(play_everywhere())

    assert not harm, harm


@pytest.mark.slow
def test_a_death_after_any_write_lets_no_lock_of_a_killed_commit_keep_retention_out() -> None:
    harm = asyncio.run(play_everywhere(FIRST_COMMIT_KILLED))

    assert not harm, harm


def test_a_schedule_that_is_resumed_or_changed_stops_nothing_at_once() -> None:
    async def play() -> tuple[Shop, list[int]]:
        shop = await open_shop()
        key = Key("BackupSchedule", SHOP, "minutely")
        operator, stops = Operator(shop.state, shop.cluster), []
        # the shop opens at three: the first time has passed when it is resumed, the other when it is named
        for fields in (
            {"suspend": True, "schedule": "2 3 * * *"},
            {"suspend": False},
            {"schedule": "7 3 * * *"},
        ):
            found = shop.state.resources[key]
            assert isinstance(found, BackupSchedule)
            shop.state.resources[key] = found.model_copy(
                update={"spec": found.spec.model_copy(update=fields)}
            )
            shop.state.next_version()
            await work(shop, operator, 300)
            stops.append(len(shop.cluster.stops))
        return shop, stops

    _, stops = asyncio.run(play())

    assert stops == [0, 0, 0]


def test_a_lock_that_a_killed_commit_has_left_does_not_keep_retention_out() -> None:
    shop, _ = asyncio.run(play(_NEVER, FIRST_COMMIT_KILLED))

    check_runs(shop)
    assert shop.state.store.locks == set()


def test_a_lock_of_somebody_else_keeps_retention_out() -> None:
    async def locked() -> Shop:
        shop = await open_shop()
        shop.state.store.locks.add("laptop")
        await work(shop, Operator(shop.state, shop.cluster), _TICKS)
        return shop

    shop = asyncio.run(locked())

    messages = [one.status.message for one in shop.backups]
    assert all("retention was not applied: repository is already locked" in text for text in messages)
    assert shop.state.store.locks == {"laptop"}
