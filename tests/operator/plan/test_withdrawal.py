"""A store that is lost while a run prepares: what was begun is taken back, and the run waits."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import CaptureReport, Problem
from becalm_operator.api.backup import BackupStatus, Phase
from becalm_operator.api.dumps import DumpStatus
from becalm_operator.manifests.dumps import DUMP
from becalm_operator.manifests.jobs import MOVER
from becalm_operator.plan import backup
from becalm_operator.plan.steps import DeleteJob, Plan, RequestProbe
from becalm_operator.plan.world import JobState
from tests.operator.plan import worlds
from tests.operator.plan.worlds import NOW, a_backup, a_world, jobs_made, later

LOST = CaptureReport(exit_code=1, error=Problem("StorageUnavailable", "connection reset"))
DENIED = CaptureReport(exit_code=1, error=Problem("StorageDenied", "no"))
LOCKED = CaptureReport(exit_code=11, error=Problem("Locked", "by a prune"))
DUMPS = (DumpStatus(name="orders", path="/dumps/orders/dump"),)
SPEC = {
    "dumps": [{"name": "orders", "container": {"image": "db", "command": ["dump"]}, "filename": "dump.sql"}]
}


def preparing(*jobs: JobState, now: Any = NOW, **status: Any) -> Plan[BackupStatus]:
    fields = {"workloads": worlds.planned(), "volumes": worlds.volumes(), "dumps": DUMPS}
    run = a_backup(Phase.PREPARING, spec=SPEC, **{**fields, **status})
    return backup.decide(run, a_world(jobs=jobs, now=now))


def deleted(plan: Plan[BackupStatus]) -> set[str]:
    return {action.name for action in plan.actions if isinstance(action, DeleteJob)}


@pytest.mark.parametrize(
    "job",
    [
        worlds.failed(MOVER, LOST, "uploads"),
        worlds.failed(MOVER, LOCKED, "uploads", exit_code=11),
        worlds.failed(DUMP, LOST, "orders"),
        worlds.a_job(DUMP, "orders", active=True, exit_code=1, report=LOST.to_json()),
    ],
    ids=["a mover", "a mover, of a lock", "a dump", "a dump whose own container still runs"],
)
def test_a_lost_store_is_noted_and_opened_anew_before_anything_is_taken_back(job: JobState) -> None:
    plan = preparing(job)

    assert (plan.status.phase, plan.status.reason) == (Phase.PREPARING, "")
    assert plan.status.repository_wait_since == NOW
    assert "waiting for repository main: " in plan.status.message
    assert list(plan.actions) == [RequestProbe("main")]


def test_then_all_that_was_begun_goes() -> None:
    begun = (
        worlds.opened(),
        worlds.failed(MOVER, LOST, "uploads"),
        worlds.at_gate("data-db-0"),
        worlds.a_job(DUMP, "orders", active=True),
    )

    plan = preparing(*begun, repository_wait_since=NOW, message="waiting")

    assert plan.status.phase is Phase.PREPARING
    assert deleted(plan) == {job.name for job in begun}
    assert jobs_made(plan) == []


def test_a_mover_that_is_ended_thereby_does_not_fail_the_run() -> None:
    plan = preparing(worlds.failed(MOVER, "", "uploads", exit_code=130), repository_wait_since=NOW)

    assert (plan.status.phase, plan.status.reason) == (Phase.PREPARING, "")


def test_once_all_is_gone_the_run_is_as_if_it_had_never_begun() -> None:
    plan = preparing(
        repository_wait_since=NOW, message="waiting for repository main: gone", now=later(minutes=1)
    )

    assert (plan.status.phase, plan.status.reason) == (Phase.PENDING, "")
    assert plan.status.message == "waiting for repository main: gone"
    assert (plan.status.workloads, plan.status.volumes, plan.status.dumps) == ((), (), ())
    assert (plan.status.needs, plan.status.repository_wait_since) == (None, NOW)
    assert not plan.actions


def test_what_cannot_be_taken_back_is_not_waited_for_beyond_the_patience() -> None:
    plan = preparing(
        worlds.at_gate("uploads"), repository_wait_since=NOW, message="gone", now=later(minutes=61)
    )

    assert (plan.status.phase, plan.status.reason) == (Phase.FAILED, "RepositoryNotReady")


@pytest.mark.parametrize(
    "job",
    [
        worlds.failed(MOVER, DENIED, "uploads"),
        worlds.failed(MOVER, "", "uploads"),
        worlds.failed(DUMP, DENIED, "orders"),
    ],
    ids=["credentials", "killed", "credentials of a dump"],
)
def test_what_does_not_pass_by_itself_fails_the_run(job: JobState) -> None:
    dumps = () if job.name.startswith("b-mover") else DUMPS

    assert preparing(job, dumps=dumps).status.phase is Phase.FAILED


@given(st.timedeltas(timedelta(0), timedelta(hours=48)))
def test_a_store_that_comes_and_goes_is_not_tried_for_ever(age: timedelta) -> None:
    plan = preparing(worlds.failed(MOVER, LOST, "uploads"), dumps=(), now=NOW + age, phase_time=NOW + age)

    assert (plan.status.phase is Phase.FAILED) is (age > timedelta(hours=24))
