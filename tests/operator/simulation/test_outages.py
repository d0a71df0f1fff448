"""The store is away for a while: nothing piles up, nothing stops, and all goes on by itself."""

import asyncio
from typing import Literal

import pytest

from becalm_engine.contract import AccessReport, CaptureReport, Problem
from becalm_operator.api.backup import BackupSpec, Phase
from becalm_operator.api.base import LocalReference, Metadata, time_text
from becalm_operator.api.names import SCHEDULED_ANNOTATION
from becalm_operator.api.schedule import BackupSchedule, BackupScheduleSpec, BackupTemplate
from tests.operator.fake.lab import SHOP
from tests.operator.fake.movers import EVICTED
from tests.operator.fake.objects import Script
from tests.operator.fake.wrapped import Counting, Dying, OperatorDiedError, only_reads
from tests.operator.simulation.invariants import check_end
from tests.operator.simulation.plays import work
from tests.operator.simulation.shop import RUN, WEB, Operator, Shop

AWAY = Script(
    exit_code=1,
    report=AccessReport(exit_code=1, error=Problem("StorageUnavailable", "no route to host")).to_json(),
)


LOST = Script(
    ahead=9,
    falls=3,
    exit_code=1,
    report=CaptureReport(exit_code=1, error=Problem("StorageUnavailable", "connection reset")).to_json(),
)
"""A mover that loses the store while it reads ahead."""


async def open_shop(policy: Literal["Forbid", "Allow"]) -> Shop:
    shop = await Shop.open()
    spec = BackupSpec(repository_ref=LocalReference(name="main"), workloads=(WEB,))
    schedule = BackupSchedule(
        metadata=Metadata(name="minutely", namespace=SHOP),
        spec=BackupScheduleSpec(
            schedule="* * * * *", concurrency_policy=policy, template=BackupTemplate(spec=spec)
        ),
    )
    await shop.lab.make(schedule)
    return shop


@pytest.mark.parametrize("policy", ["Forbid", "Allow"])
def test_a_store_that_is_away_makes_nothing_pile_up(policy: Literal["Forbid", "Allow"]) -> None:
    async def play() -> tuple[Shop, list[str]]:
        shop = await open_shop(policy)
        shop.script("access", AWAY)
        counting = Counting(shop.cluster)
        operator = Operator(shop.state, counting)
        await work(shop, operator, 600)
        return shop, counting.calls

    shop, calls = asyncio.run(play())

    (waiting,) = shop.backups
    assert waiting.status.phase is Phase.PENDING
    assert "no route to host" in waiting.status.message
    assert shop.cluster.stops == []
    # one of the run, which found out, and the probes: after 15, 30, 60, 120, 240 and then each 300 seconds
    assert calls.count("apply ApplyJob") <= 8


@pytest.mark.parametrize("policy", ["Forbid", "Allow"])
def test_when_the_store_is_back_one_run_makes_up_for_all_that_were_missed(
    policy: Literal["Forbid", "Allow"],
) -> None:
    async def play() -> tuple[Shop, str]:
        shop = await open_shop(policy)
        shop.script("access", AWAY)
        operator = Operator(shop.state, shop.cluster)
        await work(shop, operator, 600)
        back = time_text(shop.state.now)
        del shop.state.scripts["access"]
        for _ in range(360):
            await work(shop, operator, 1)
            if any(one.status.phase is Phase.SUCCEEDED for one in shop.backups):
                break
        await work(shop, operator, 20)
        return shop, back

    shop, back = asyncio.run(play())

    missed = [one for one in shop.backups if one.metadata.annotations[SCHEDULED_ANNOTATION] < back]
    assert len(missed) <= 2  # the one that waited, and the newest of the others
    assert missed[0].status.phase is Phase.SUCCEEDED


async def worked(shop: Shop, operator: Operator) -> tuple[Operator, bool]:
    """Let the operator work a while. Returns who is there then, a successor if it has died, and whether it has."""
    try:
        await work(shop, operator, 1)
    except OperatorDiedError:
        return Operator(shop.state, shop.cluster), True
    return operator, False


async def die_at(at: int) -> tuple[Shop, list[str], bool]:
    """Let the store be away for two minutes, and the operator die at a call."""
    shop = await Shop.open()
    await shop.back_up()
    shop.script("access", AWAY)
    counting = Counting(shop.cluster)
    operator, died = Operator(shop.state, Dying(counting, at, after=True)), False
    for moment in range(500):
        if moment == 120:
            del shop.state.scripts["access"]
        operator, is_dead = await worked(shop, operator)
        died = died or is_dead
        if shop.is_over(RUN):
            break
    check_end(shop)
    return shop, counting.calls, died


@pytest.mark.slow
def test_a_death_during_an_outage_does_no_harm() -> None:
    async def play() -> str:
        _, calls, _ = await die_at(10**9)
        harm = []
        for at, call in enumerate(calls):
            if only_reads(call):
                continue
            shop, _, died = await die_at(at)
            run = shop.run()
            if not died or run is None or run.status.phase is not Phase.SUCCEEDED:
                harm.append(f"died after call {at} ({call}): {run and run.status.message}")
        return "\n".join(harm)

    harm = asyncio.run(play())

    assert not harm, harm


async def lose_the_store(job: str, at: int) -> tuple[Shop, list[str], bool]:
    """Let the store go for two minutes while a run prepares, and the operator die at a call."""
    shop = await Shop.open()
    await shop.back_up(dumps=("orders",))
    shop.script(job, LOST)
    counting = Counting(shop.cluster)
    operator, died, back = Operator(shop.state, Dying(counting, at, after=True)), False, 10**9
    for moment in range(600):
        if back > moment + 120 and any(
            one.script is LOST and one.ended_at for one in shop.state.jobs.values()
        ):
            shop.script("access", AWAY)
            back = moment + 120
        if moment == back:
            del shop.state.scripts["access"], shop.state.scripts[job]
        assert moment > back or shop.cluster.stops == []
        operator, is_dead = await worked(shop, operator)
        died = died or is_dead
        if shop.is_over(RUN):
            break
    check_end(shop)
    return shop, counting.calls, died


@pytest.mark.parametrize("job", ["mover/uploads", "mover", "dump"])
def test_a_store_that_is_lost_while_movers_read_ahead_is_waited_for(job: str) -> None:
    shop, calls, _ = asyncio.run(lose_the_store(job, 10**9))

    run = shop.run()
    assert run is not None
    assert run.status.phase is Phase.SUCCEEDED, run.status.message
    assert calls.count("apply ScaleDown") == 2
    # nothing is tried while the probe has no good answer
    assert calls.count("apply ApplyJob") <= 20


@pytest.mark.slow
@pytest.mark.parametrize("job", ["mover/uploads", "dump"])
def test_a_death_while_a_run_withdraws_does_no_harm(job: str) -> None:
    async def play() -> str:
        _, calls, _ = await lose_the_store(job, 10**9)
        harm = []
        for at, call in enumerate(calls):
            if only_reads(call):
                continue
            shop, _, died = await lose_the_store(job, at)
            run = shop.run()
            if not died or run is None or run.status.phase is not Phase.SUCCEEDED:
                harm.append(f"died after call {at} ({call}): {run and run.status.message}")
        return "\n".join(harm)

    harm = asyncio.run(play())

    assert not harm, harm


def test_a_killed_job_before_anything_is_stopped_costs_no_backup() -> None:
    """The kernel, or an eviction, ended the Job that opens the repository: nothing is wrong with that."""

    async def play() -> Shop:
        shop = await Shop.open()
        await shop.back_up()
        shop.script("access", EVICTED)
        operator = Operator(shop.state, shop.cluster)
        while not any(job.role == "access" and job.script is EVICTED for job in shop.state.jobs.values()):
            await work(shop, operator, 1)
        del shop.state.scripts["access"]
        for _ in range(300):
            await work(shop, operator, 1)
            if shop.is_over(RUN):
                break
        check_end(shop)
        return shop

    run = asyncio.run(play()).run()

    assert run is not None
    assert run.status.phase is Phase.SUCCEEDED, run.status
