"""The operator dies at every single call to the API server, and another one goes on from there."""

import asyncio

import pytest

from becalm_operator.api.backup import Phase
from tests.operator.fake import movers
from tests.operator.fake.controllers import tick
from tests.operator.fake.objects import Script
from tests.operator.fake.rivals import Keda
from tests.operator.simulation.deaths import crash_everywhere
from tests.operator.simulation.scenario import Scenario, calls_of
from tests.operator.simulation.shop import OF_ALL_KINDS, RESTORED, RUN, Operator, Shop


async def a_backup(shop: Shop) -> None:
    await shop.back_up()


async def a_backup_of_all_kinds(shop: Shop) -> None:
    await shop.add_other_kinds()
    shop.state.rivals.append(Keda())
    await shop.lab.run_cron_job("reports", lasts=12)
    await shop.back_up(workloads=OF_ALL_KINDS)


async def a_backup_by_snapshots(shop: Shop) -> None:
    await shop.snap()


async def a_backup_by_snapshots_with_a_dump(shop: Shop) -> None:
    await shop.snap(dumps=("orders",))


async def a_deleted_upload(shop: Shop) -> None:
    """Delete the Backup while copies are read: the workloads are up by then."""
    await shop.snap()
    shop.script("mover", movers.HANGS)
    operator = Operator(shop.state, shop.cluster)
    while not any(job.phase == "running" and job.snapshot for job in shop.state.jobs.values()):
        tick(shop.state)
        await operator.work()
    shop.state.delete(RUN)


async def a_backup_with_dumps(shop: Shop) -> None:
    await shop.back_up(dumps=("orders", "users"))


async def a_backup_where_root_is_forbidden(shop: Shop) -> None:
    """Nobody says as whom the workloads run."""
    await shop.lab.enforce("restricted")
    await shop.back_up()


async def a_backup_of_dumps_alone(shop: Shop) -> None:
    await shop.back_up(workloads=(), dumps=("orders", "users"))


async def a_restore(shop: Shop) -> None:
    await shop.restore()


async def a_deleted_backup(shop: Shop) -> None:
    """Delete the Backup while its movers run: that is noticed by the first look after it."""
    await shop.back_up()
    shop.script("mover", movers.HANGS)
    operator = Operator(shop.state, shop.cluster)
    while not shop.is_read:
        tick(shop.state)
        await operator.work()
    shop.state.delete(RUN)


async def a_backup_of_claims_of_one_pod(shop: Shop) -> None:
    for claim in shop.state.claims.values():
        claim.one_pod = True
    await shop.back_up()


FAILING = {f"mover/{claim}": movers.UNREADABLE for claim in ("data-db-0",)}
STUCK = Script(stuck="the array is full")
CROWDED = Script(stuck="Unschedulable: 1 Insufficient memory", crowded=True, memory=1 << 20)
SCENARIOS = [
    Scenario("a good backup", RUN, a_backup, {}, Phase.SUCCEEDED),
    Scenario("all kinds", RUN, a_backup_of_all_kinds, {}, Phase.SUCCEEDED, stops=6),
    Scenario("claims of one pod", RUN, a_backup_of_claims_of_one_pod, {}, Phase.SUCCEEDED),
    Scenario("a mover killed at its gate", RUN, a_backup, {"mover/uploads": Script(falls=7)}, Phase.FAILED),
    Scenario("a gate seen late", RUN, a_backup, {"mover/uploads": Script(deaf=2)}, Phase.SUCCEEDED),
    Scenario("a mover without room", RUN, a_backup, {"mover/uploads": CROWDED}, Phase.SUCCEEDED, waits=True),
    Scenario("a failing mover", RUN, a_backup, FAILING, Phase.FAILED),
    Scenario("a failing commit", RUN, a_backup, {"commit": movers.EVICTED}, Phase.FAILED),
    Scenario("dumps beside volumes", RUN, a_backup_with_dumps, {}, Phase.SUCCEEDED),
    Scenario("dumps alone", RUN, a_backup_of_dumps_alone, {}, Phase.SUCCEEDED, stops=0),
    Scenario(
        "a failing dump", RUN, a_backup_with_dumps, {"dump/users": movers.FAILED_DUMP}, Phase.FAILED, stops=0
    ),
    Scenario("no root", RUN, a_backup_where_root_is_forbidden, {}, Phase.FAILED, stops=0),
    Scenario("a mover that hangs", RUN, a_backup, {"mover": movers.HANGS}, Phase.FAILED, waits=True),
    Scenario("a deleted backup", RUN, a_deleted_backup, {}, Phase.FAILED),
    Scenario("snapshots, and a dump", RUN, a_backup_by_snapshots_with_a_dump, {}, Phase.SUCCEEDED),
    Scenario("a failing snapshot", RUN, a_backup_by_snapshots, {"snapshot/uploads": STUCK}, Phase.FAILED),
    Scenario(
        "a snapshot that hangs",
        RUN,
        a_backup_by_snapshots,
        {"snapshot": movers.HANGS},
        Phase.FAILED,
        waits=True,
    ),
    Scenario("a failing upload", RUN, a_backup_by_snapshots, FAILING, Phase.FAILED),
    Scenario("a deleted upload", RUN, a_deleted_upload, {}, Phase.FAILED),
    Scenario("a restore", RESTORED, a_restore, {}, Phase.SUCCEEDED),
    Scenario("a failing restore", RESTORED, a_restore, {"restore": movers.EVICTED}, Phase.FAILED),
]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_death_before_any_call_leaves_nothing_down(scenario: Scenario) -> None:
    harm = asyncio.run(crash_everywhere(scenario, after=False, outage=0, writes_only=scenario.waits))

    assert not harm, harm


@pytest.mark.slow
@pytest.mark.parametrize("outage", [15, 90], ids=["back in time", "back after the deadline"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_death_after_any_write_leaves_nothing_down(scenario: Scenario, outage: int) -> None:
    harm = asyncio.run(crash_everywhere(scenario, after=True, outage=outage, writes_only=True))

    assert not harm, harm


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_run_ends_as_it_should_when_nobody_dies(scenario: Scenario) -> None:
    calls = asyncio.run(calls_of(scenario))

    assert calls.count("apply ScaleDown") <= scenario.stops
