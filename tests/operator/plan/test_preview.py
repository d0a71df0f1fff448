"""A Restore sees that it can begin before anything stops."""

from typing import Any

import pytest

from becalm_engine.contract import Problem, RestoreReport
from becalm_operator.api.backup import Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.api.restore import RestoreStatus
from becalm_operator.manifests.jobs import PREVIEW
from becalm_operator.plan import restore
from becalm_operator.plan.steps import DeleteJob, Plan, RequestProbe
from becalm_operator.plan.world import JobState
from tests.operator.plan.worlds import (
    NOW,
    a_job,
    a_restore,
    a_world,
    failed,
    fails,
    jobs_made,
    later,
    opened,
    previewed,
)

ME = ("r", "uid-r")
SPEC = {"source": {"snapshotID": "cd" * 32}, "targets": [{"claim": "uploads"}, {"claim": "data-db-0"}]}
OPENED = opened(owner=ME)


def preflight(*jobs: JobState, **more: Any) -> Plan[RestoreStatus]:
    return restore.decide(a_restore(Phase.PREFLIGHT, spec=SPEC), a_world(jobs=[OPENED, *jobs], **more))


def refused(type_: str, message: str = "no", **more: Any) -> JobState:
    report = RestoreReport(exit_code=1, error=Problem(type_, message))
    return failed(PREVIEW, report, "uploads", owner=ME, **more)


def test_every_target_is_looked_for_before_anything_stops() -> None:
    first = preflight()
    second = preflight(previewed(), a_job(PREVIEW, "data-db-0", owner=ME, active=True))
    third = preflight(previewed(), previewed("data-db-0"))

    assert jobs_made(first) == [PREVIEW, PREVIEW]
    assert (second.status.phase, jobs_made(second)) == (Phase.PREFLIGHT, [])
    assert second.status.message == "looking for snapshots: 1 of 2 found"
    assert third.status.phase is Phase.QUIESCING


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        ("SnapshotMissing", Reason.SNAPSHOT_NOT_FOUND),
        ("Usage", Reason.RESTORE_FAILED),
        ("Damaged", Reason.REPOSITORY_DAMAGED),
    ],
)
def test_what_the_engine_does_not_find_or_understand_fails_while_all_is_up(
    type_: str, reason: Reason
) -> None:
    plan = preflight(refused(type_, "no snapshot has an id that begins with 'cd'"))

    assert "no snapshot has an id that begins with 'cd'" in fails(plan, reason)
    assert plan.status.workloads == ()
    assert jobs_made(plan) == []


def test_the_claim_at_fault_is_named() -> None:
    assert fails(preflight(refused("SnapshotMissing")), Reason.SNAPSHOT_NOT_FOUND).startswith(
        "repository main: claim uploads: "
    )


@pytest.mark.parametrize(
    "job",
    [refused("StorageUnavailable"), failed(PREVIEW, "", "uploads", owner=ME, exit_code=None)],
    ids=["the store is away", "evicted"],
)
def test_what_passes_is_waited_for(job: JobState) -> None:
    plan = preflight(job)

    assert (plan.status.phase, plan.status.reason) == (Phase.PENDING, "")
    assert plan.actions == [RequestProbe("main"), DeleteJob(job.name)]


def test_a_job_that_cannot_start_is_shown_and_given_up() -> None:
    stuck = a_job(PREVIEW, "uploads", owner=ME, stuck="ImagePullBackOff", active=True)

    assert preflight(stuck).status.message == "ImagePullBackOff"
    assert "ImagePullBackOff" in fails(preflight(stuck, now=later(minutes=6)), Reason.MOVER_NOT_STARTED)


def test_a_job_that_is_refused_is_asked_for_again() -> None:
    denied = a_job(PREVIEW, "uploads", owner=ME, refused=True, stuck="exceeded quota", created=NOW)

    plan = preflight(denied, previewed("data-db-0"))

    assert (plan.status.message, jobs_made(plan)) == ("exceeded quota", [PREVIEW])


def test_success_without_a_report_is_no_success() -> None:
    silent = a_job(PREVIEW, "uploads", owner=ME, succeeded=True, exit_code=0)

    assert fails(preflight(silent), Reason.REPOSITORY_NOT_READY)
