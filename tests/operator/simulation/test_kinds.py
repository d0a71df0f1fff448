"""Workloads of all kinds, and those who have a say in how many replicas there are."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import pytest

from becalm_operator.api.backup import Backup, BackupQuiesce, Phase, WorkloadReference
from becalm_operator.handlers.sweep import Sweep
from tests.operator.fake import movers
from tests.operator.fake.controllers import tick
from tests.operator.fake.lab import SHOP
from tests.operator.fake.objects import Script
from tests.operator.fake.rivals import GitOps, HorizontalPodAutoscaler, Keda
from tests.operator.fake.state import State
from tests.operator.simulation.invariants import check_always, check_end
from tests.operator.simulation.shop import (
    DB,
    DOWNTIME_SECONDS,
    LONE,
    OF_ALL_KINDS,
    PRESS,
    REPORTS,
    RUN,
    SCALER,
    SWEEP_SECONDS,
    WEB,
    Operator,
    Shop,
)

_MOST_TICKS = 400


async def followed(shop: Shop) -> Backup:
    """Let the operator work until the run is over and all is up; return the run."""
    operator = Operator(shop.state, shop.cluster)
    for _ in range(_MOST_TICKS):
        await operator.work()
        check_always(shop)
        if shop.is_over(RUN) and shop.is_up():
            break
        tick(shop.state)
    check_end(shop)
    run = shop.run()
    assert isinstance(run, Backup)
    return run


def played(prepare: Callable[[Shop], Awaitable[object]]) -> tuple[Shop, Backup]:
    async def play() -> tuple[Shop, Backup]:
        shop = await Shop.open()
        await prepare(shop)
        return shop, await followed(shop)

    return asyncio.run(play())


def test_all_kinds_are_stopped_in_order_and_started_in_reverse() -> None:
    async def prepare(shop: Shop) -> None:
        await shop.add_other_kinds()
        await shop.back_up(workloads=OF_ALL_KINDS)

    shop, run = played(prepare)

    assert run.status.phase is Phase.SUCCEEDED
    names = [str(reference) for reference in (REPORTS, SCALER, WEB, DB, LONE, PRESS)]
    assert [name for _, name in shop.cluster.stops] == names
    assert shop.cluster.starts == names[::-1]
    assert {volume.claim for volume in run.status.volumes} >= {"reports", "lone", "press", "uploads"}


# --- autoscalers


def test_keda_is_paused_before_what_it_scales_and_does_not_fight() -> None:
    keda = Keda()

    async def prepare(shop: Shop) -> None:
        await shop.add_other_kinds()
        shop.state.rivals.append(keda)
        await shop.back_up()

    shop, run = played(prepare)

    assert run.status.phase is Phase.SUCCEEDED
    assert keda.deeds == 0
    assert shop.state.workload(SHOP, SCALER).replicas == 1
    assert shop.state.workload(SHOP, WEB).replicas == 3


def test_keda_that_was_paused_by_a_person_stays_paused() -> None:
    async def prepare(shop: Shop) -> None:
        await shop.lab.make_autoscaler("scaler", WEB, {"autoscaling.keda.sh/paused": "true"})
        await shop.back_up()

    shop, run = played(prepare)

    assert run.status.phase is Phase.SUCCEEDED
    assert shop.state.workload(SHOP, SCALER).replicas == 0
    assert str(SCALER) not in shop.cluster.starts


def test_keda_that_pins_a_count_is_refused_before_anything_stops() -> None:
    async def prepare(shop: Shop) -> None:
        await shop.lab.make_autoscaler("scaler", WEB, {"autoscaling.keda.sh/paused-replicas": "5"})
        await shop.back_up()

    shop, run = played(prepare)

    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "WorkloadNotScalable")
    assert "holds its target at 5 replicas" in run.status.message
    assert shop.cluster.stops == []


def test_keda_that_somebody_resumes_meanwhile_taints_the_run() -> None:
    keda = Keda()

    async def play() -> tuple[Shop, Backup]:
        shop = await Shop.open()
        await shop.add_other_kinds()
        shop.state.rivals.append(keda)
        await shop.back_up()
        shop.script("mover", Script(ticks=20))
        operator = Operator(shop.state, shop.cluster)
        while not shop.is_read:
            await operator.work()
            tick(shop.state)
        await shop.lab.scale(SCALER, 1)
        return shop, await followed(shop)

    shop, run = asyncio.run(play())

    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "Tainted")
    assert shop.state.store.groups == []


def test_the_sweep_alone_resumes_an_autoscaler_and_a_cron_job_too() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.add_other_kinds()
        await shop.back_up(workloads=OF_ALL_KINDS)
        shop.script("mover", movers.HANGS)
        operator = Operator(shop.state, shop.cluster)
        while len(shop.cluster.stops) < len(OF_ALL_KINDS) + 1:
            await operator.work()
            tick(shop.state)
        sweep = Sweep(shop.cluster, lambda: shop.state.now)
        for _ in range(DOWNTIME_SECONDS + SWEEP_SECONDS):
            await sweep.once()
            check_always(shop)
            tick(shop.state)
        return shop

    assert asyncio.run(play()).is_up()


@pytest.mark.parametrize(("least", "most", "count"), [(2, 5, 3), (4, 6, 4), (1, 2, 2)])
def test_a_horizontal_pod_autoscaler_has_its_own_count_again(least: int, most: int, count: int) -> None:
    async def prepare(shop: Shop) -> None:
        shop.state.rivals.append(HorizontalPodAutoscaler(WEB, least, most))
        tick(shop.state)
        await shop.back_up()

    shop, run = played(prepare)

    assert run.status.phase is Phase.SUCCEEDED
    assert shop.state.workload(SHOP, WEB).replicas == count


def test_an_autoscaler_whose_limits_change_while_all_is_down_is_followed_when_it_is_up() -> None:
    autoscaler = HorizontalPodAutoscaler(WEB, 1, 5)

    def raise_limit(state: State) -> None:
        if state.workload(SHOP, WEB).replicas == 0:
            autoscaler.least = 5

    async def prepare(shop: Shop) -> None:
        shop.state.rivals += [autoscaler, raise_limit]
        await shop.back_up()

    shop, run = played(prepare)

    assert run.status.phase is Phase.SUCCEEDED
    web = shop.state.workload(SHOP, WEB)
    assert web.replicas == web.ready == 5


# --- CronJobs


def test_a_running_job_is_waited_for_before_anything_behind_it_stops() -> None:
    async def prepare(shop: Shop) -> None:
        await shop.add_other_kinds()
        await shop.lab.run_cron_job("reports", lasts=18)
        await shop.back_up(workloads=[REPORTS, WEB])

    shop, run = played(prepare)

    assert run.status.phase is Phase.SUCCEEDED
    reports, web = (
        next(state for state in run.status.workloads if state.reference == one) for one in (REPORTS, WEB)
    )
    assert reports.stopped_at is not None
    assert web.stopped_at is not None
    assert (web.stopped_at - reports.stopped_at).total_seconds() >= 10
    assert shop.state.store.torn == set()


def test_a_job_that_runs_on_uses_up_the_drain_timeout_and_no_more() -> None:
    async def prepare(shop: Shop) -> None:
        await shop.add_other_kinds()
        await shop.lab.run_cron_job("reports")
        await shop.back_up(workloads=[REPORTS, WEB])

    shop, run = played(prepare)

    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "DrainTimeout")
    assert [name for _, name in shop.cluster.stops] == [str(REPORTS)], (
        "what stands behind it was stopped in vain"
    )


@pytest.mark.parametrize("running_jobs", ["Wait", "Refuse"])
def test_a_running_job_may_be_refused_instead(running_jobs: Literal["Wait", "Refuse"]) -> None:
    async def prepare(shop: Shop) -> None:
        await shop.add_other_kinds()
        await shop.lab.run_cron_job("reports", lasts=40)
        quiesce = BackupQuiesce(drain_timeout="60s", max_downtime="120s", running_jobs=running_jobs)
        await shop.back_up(workloads=[REPORTS], quiesce=quiesce)

    shop, run = played(prepare)

    assert run.status.phase is (Phase.SUCCEEDED if running_jobs == "Wait" else Phase.FAILED)
    assert bool(shop.cluster.stops) == (running_jobs == "Wait")


def test_a_cron_job_that_was_suspended_stays_so() -> None:
    async def prepare(shop: Shop) -> None:
        await shop.lab.make_claim("reports")
        await shop.lab.make_cron_job("reports", claims=["reports"], suspend=True)
        await shop.back_up(workloads=[REPORTS])

    shop, run = played(prepare)

    assert run.status.phase is Phase.SUCCEEDED
    assert shop.cluster.stops == []
    assert shop.state.workload(SHOP, REPORTS).replicas == 0


# --- people and GitOps


@pytest.mark.parametrize("every", [1, 3, 7])
def test_gitops_that_writes_the_count_back_fails_the_run_within_seconds_and_nobody_fights(every: int) -> None:
    gitops = GitOps(WEB, every)

    async def prepare(shop: Shop) -> None:
        shop.state.rivals.append(gitops)
        shop.script("mover", Script(ticks=30))
        await shop.back_up(workloads=[WEB])

    shop, run = played(prepare)

    assert (run.status.phase, run.status.reason in ("Tainted", "WorkloadChanged")) == (Phase.FAILED, True)
    assert "deployment/web was scaled to 3 by somebody" in run.status.message
    assert shop.state.store.groups == []
    (state,) = run.status.workloads
    assert state.stopped_at is not None
    assert run.status.completion_time is not None
    assert (run.status.completion_time - state.stopped_at).total_seconds() <= every + 5
    assert [name for _, name in shop.cluster.stops] == [str(WEB)]
    assert gitops.deeds == 1


def test_gitops_that_leaves_the_count_alone_is_no_matter() -> None:
    def sync(shop: Shop) -> Callable[[object], None]:
        """What `ignoreDifferences` on the count leaves of a sync: the object is written, and is as it was."""
        return lambda _: shop.state.touched(shop.state.workload(SHOP, WEB), spec=False)

    async def prepare(shop: Shop) -> None:
        shop.state.rivals.append(sync(shop))
        await shop.back_up(workloads=[WEB])

    _, run = played(prepare)

    assert run.status.phase is Phase.SUCCEEDED


async def _with_movers(workload: WorkloadReference) -> tuple[Shop, Operator]:
    """Return a shop whose movers run, and the operator that began them."""
    shop = await Shop.open()
    shop.script("mover", Script(ticks=30))
    await shop.back_up(workloads=[workload])
    operator = Operator(shop.state, shop.cluster)
    while not shop.is_read:
        await operator.work()
        tick(shop.state)
    return shop, operator


def _interrupted(
    deed: Callable[[Shop], Awaitable[object]], workload: WorkloadReference = WEB
) -> tuple[Shop, Backup]:
    """Return a shop in which somebody does something while the movers run."""

    async def play() -> tuple[Shop, Backup]:
        shop, _ = await _with_movers(workload)
        await deed(shop)
        return shop, await followed(shop)

    return asyncio.run(play())


def test_undoing_by_hand_is_noticed_and_said() -> None:
    shop, run = _interrupted(lambda shop: shop.lab.undo(WEB))

    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "Tainted")
    assert "deployment/web was scaled to 3 by somebody while it was held down" in run.status.message
    assert shop.cluster.starts == [], "it is up already"
    assert any(event.reason == "Tainted" and event.type == "Warning" for _, event in shop.state.events)


def test_up_and_down_between_two_looks_is_noticed_and_said() -> None:
    async def up_and_down(shop: Shop) -> None:
        stored = shop.state.workload(SHOP, WEB)
        for replicas in (1, 0):
            stored.replicas = replicas
            shop.state.touched(stored, spec=True)

    shop, run = _interrupted(up_and_down)

    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "Tainted")
    assert "may have been up in between" in run.status.message
    assert shop.state.store.groups == []


def test_an_edit_while_it_is_down_fails_the_run_and_stays() -> None:
    shop, run = _interrupted(lambda shop: shop.lab.edit(WEB))

    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "Tainted")
    assert shop.state.workload(SHOP, WEB).replicas == 3


def test_a_record_that_somebody_takes_off_keeps_nothing_down() -> None:
    async def forget(shop: Shop) -> None:
        stored = shop.state.workload(SHOP, DB)
        stored.annotations.clear()
        shop.state.touched(stored, spec=False)

    async def play() -> tuple[Shop, Backup]:
        shop, operator = await _with_movers(DB)
        await forget(shop)
        for _ in range(_MOST_TICKS):
            await operator.work()
            if shop.is_over(RUN) and shop.is_up():
                break
            tick(shop.state)
        run = shop.run()
        assert isinstance(run, Backup)
        return shop, run

    shop, run = asyncio.run(play())

    check_end(shop)
    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "Tainted")
    assert shop.state.workload(SHOP, DB).replicas == 1


def test_a_workload_made_anew_while_it_is_down_is_another_and_left_alone() -> None:
    async def make_anew(shop: Shop) -> None:
        await shop.lab.delete_workload(WEB)
        await shop.lab.make_deployment("web", replicas=2, claims=["uploads"])

    shop, run = _interrupted(make_anew)

    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "Tainted")
    assert "deleted or made anew" in run.status.message
    assert shop.cluster.starts == []
    assert shop.state.workload(SHOP, WEB).replicas == 2
