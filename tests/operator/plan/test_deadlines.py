"""Jobs that Kubernetes ends where no operator does: later than that would have, and never one that it lets go on."""

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import Backup, Phase, WorkloadStatus
from becalm_operator.api.record import Holder
from becalm_operator.plan import backup, deadlines, restore
from becalm_operator.plan.quiesce import Run, deadline_of
from becalm_operator.plan.steps import ApplyJob, Plan
from tests.operator.plan import worlds
from tests.operator.plan.worlds import (
    NOW,
    a_backup,
    a_repository,
    a_world,
    held_db,
    held_web,
    planned,
    stopped,
)

HOUR = 3600
MINUTES = st.integers(1, 10_000)
STATES = st.lists(
    st.tuples(st.integers(0, 3), st.none() | st.timedeltas(timedelta(0), timedelta(days=1))), max_size=3
)


def a_run(minutes: int, states: list[tuple[int, timedelta | None]]) -> Backup:
    workloads = tuple(
        WorkloadStatus(
            kind="Deployment",
            name=f"w{number}",
            uid="u",
            replicas=replicas,
            stopped_at=NOW + since if since is not None and replicas else None,
        )
        for number, (replicas, since) in enumerate(states)
    )
    return a_backup(Phase.CAPTURING, spec={"quiesce": {"maxDowntime": f"{minutes}m"}}, workloads=workloads)


def bound(run: Backup, *, gated: bool = False, clone: bool = False, wished: int | None = None) -> int | None:
    return deadlines.of_mover(run, gated=gated, clone=clone, wished=wished)


@given(MINUTES, STATES, st.timedeltas(timedelta(0), timedelta(days=1)))
def test_a_job_that_is_made_during_the_stop_outlives_the_downtime(
    minutes: int, states: list[tuple[int, timedelta | None]], late: timedelta
) -> None:
    run = a_run(minutes, states)
    this = Run(Holder(kind="Backup", name="b", uid="u"), "shop", run.spec.quiesce)

    ends = deadline_of(this, run.status.workloads)

    for seconds in (bound(run), deadlines.of_restore(this, run.status.workloads)):
        assert (seconds is None) is (ends is None)
        if seconds is not None and ends is not None:
            first = min(state.stopped_at for state in run.status.workloads if state.stopped_at)
            assert first + late + timedelta(seconds=seconds) >= ends


@given(MINUTES, STATES)
def test_a_mover_that_waits_outlives_all_that_its_run_allows_it(
    minutes: int, states: list[tuple[int, timedelta | None]]
) -> None:
    run = a_run(minutes, states)

    seconds = bound(run, gated=True)

    # with nothing to stop no maxDowntime begins, and reading may take any time
    assert (seconds is None) is not any(replicas for replicas, _ in states)
    if seconds is not None:
        assert timedelta(seconds=seconds) > deadlines.PREPARING_TIMEOUT + 2 * timedelta(minutes=minutes)


def test_a_mover_that_reads_a_copy_has_no_bound() -> None:
    assert bound(a_run(30, [(3, timedelta(0))]), clone=True) is None


@given(STATES, st.integers(60, 10**6), st.booleans(), st.booleans())
def test_nobody_takes_longer_than_people_allow(
    states: list[tuple[int, timedelta | None]], wished: int, gated: bool, clone: bool
) -> None:
    run = a_run(30, states)
    kept = bound(run, gated=gated, clone=clone)

    found = bound(run, gated=gated, clone=clone, wished=wished)

    assert found == (wished if kept is None else min(kept, wished))


def deadlines_of(plan: Plan[Any]) -> list[int | None]:
    made = [action.job.spec for action in plan.actions if isinstance(action, ApplyJob)]
    return [spec.active_deadline_seconds for spec in made if spec]


@pytest.mark.parametrize(("wished", "found"), [(None, 26 * HOUR), (2 * HOUR, 2 * HOUR)])
def test_movers_are_made_with_their_bounds(wished: int | None, found: int) -> None:
    repository = a_repository()
    mover = repository.spec.mover.model_copy(update={"active_deadline_seconds": wished})
    spec = repository.spec.model_copy(update={"mover": mover})
    repository = repository.model_copy(update={"spec": spec})
    waiting = a_backup(Phase.PREPARING, workloads=planned(), volumes=worlds.volumes())
    reading = a_backup(Phase.CAPTURING, workloads=stopped(), volumes=worlds.volumes(tree=""))

    ahead = deadlines_of(backup.decide(waiting, a_world(repository=repository)))
    during = deadlines_of(backup.decide(reading, a_world(held_web(), held_db(), repository=repository)))

    assert ahead == [found] * 2
    assert during == [HOUR // 2] * 2


def test_a_job_that_writes_is_made_with_its_bound() -> None:
    down = planned(web_stopped=NOW)[:1]
    for workloads, found in ((down, HOUR // 2), ((), None)):
        quiesce = {"quiesce": {"maxDowntime": "30m"}}
        run = worlds.a_restore(Phase.RESTORING, spec=quiesce, workloads=workloads, targets=worlds.targets())
        plan = restore.decide(run, a_world(held_web(record=worlds.a_record(uid="uid-r"))))
        assert deadlines_of(plan) == [found]


def test_movers_that_wait_may_take_a_day_and_two_downtimes_and_an_hour() -> None:
    for minutes, states in itertools.product((1, 30, 90), ([(1, None)], [(0, None), (2, None)])):
        assert bound(a_run(minutes, [*states]), gated=True) == 25 * HOUR + 2 * minutes * 60
