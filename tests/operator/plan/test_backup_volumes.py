"""A Backup's way with its volumes: captured, released, committed, and what may go wrong with each."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import CaptureReport, CommitPlan, CommitReport, ExitCode, ForgetReport, Problem
from becalm_operator.api import names
from becalm_operator.api.backup import BackupStatus, Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.manifests.jobs import COMMIT, FORGET, MOVER
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import backup, conditions, publishing
from becalm_operator.plan.steps import ApplyJob, DeleteJob, Plan, ScaleUp
from becalm_operator.plan.world import Claim, JobState, Workload
from tests.operator.plan.worlds import (
    DB,
    NOW,
    WEB,
    a_backup,
    a_job,
    a_pod,
    a_schedule,
    a_world,
    all_captured,
    captured,
    committed,
    db,
    failed,
    fails,
    held_db,
    held_web,
    jobs_made,
    later,
    planned,
    stopped,
    succeeded,
    volumes,
    web,
)

BackupPlan = Plan[BackupStatus]
OWNER = Owner("Backup", "b", "shop", "uid-b")


# --- Capturing


def capture(*jobs: JobState, spec: dict[str, Any] | None = None, **world: Any) -> BackupPlan:
    run = a_backup(Phase.CAPTURING, spec=spec, workloads=stopped(), volumes=volumes(tree=""))
    return backup.decide(run, a_world(held_web(), held_db(), jobs=jobs, **world))


def test_all_volumes_are_read_side_by_side() -> None:
    assert jobs_made(capture()) == [MOVER, MOVER]


def test_a_volume_that_is_read_is_not_read_again() -> None:
    plan = capture(captured("uploads"))

    assert jobs_made(plan) == [MOVER]
    assert plan.status.message == "reading volumes: 1 of 2 done"


def test_a_mover_whose_pod_still_runs_is_waited_for() -> None:
    running = succeeded(MOVER, CaptureReport(tree="t", files_new=1), "data-db-0", active=True)

    assert capture(captured("uploads"), running).status.phase is Phase.CAPTURING


def test_when_all_are_read_the_workloads_are_started() -> None:
    plan = capture(*all_captured())

    assert plan.status.phase is Phase.RESUMING
    assert plan.status.size_bytes == 140
    assert [(v.tree, v.files_new, v.bytes_added) for v in plan.status.volumes] == [
        ("tree-uploads", 7, 7),
        ("tree-data-db-0", 7, 7),
    ]


@pytest.mark.parametrize(
    ("job", "reason", "text"),
    [
        (failed(MOVER, part="uploads"), Reason.MOVER_FAILED, "exit code 1"),
        (failed(MOVER, part="uploads", exit_code=None), Reason.MOVER_FAILED, "killed, or evicted"),
        (succeeded(MOVER, "", "uploads"), Reason.MOVER_FAILED, "exit code 0"),
        (captured("uploads", tree=""), Reason.MOVER_FAILED, "exit code 0"),
        (captured("uploads", files_new=0), Reason.EMPTY_VOLUME, "holds no files"),
        (
            captured("uploads", unreadable_count=2, unreadable=("/data/uploads/x",)),
            Reason.FILES_UNREADABLE,
            "2 files could not be read: /data/uploads/x",
        ),
        (
            failed(MOVER, part="uploads", exit_code=ExitCode.INCOMPLETE),
            Reason.FILES_UNREADABLE,
            "exit code 3",
        ),
        (
            failed(MOVER, CaptureReport(exit_code=1, error=Problem("StorageDenied", "403")), "uploads"),
            Reason.STORAGE_DENIED,
            "403",
        ),
    ],
)
def test_a_capture_that_is_not_whole_fails_the_run(job: JobState, reason: Reason, text: str) -> None:
    plan = capture(job, captured("data-db-0"))

    message = fails(plan, reason, phase=Phase.RESUMING)
    assert message.startswith("claim uploads: ")
    assert text in message
    assert text in plan.status.volumes[0].error
    assert plan.status.volumes[1].error == ""


@pytest.mark.parametrize(("one_pod", "phase"), [(False, Phase.RESUMING), (True, Phase.CAPTURING)])
def test_a_workload_is_started_as_soon_as_it_can_have_its_volume(one_pod: bool, phase: Phase) -> None:
    lingering = replace(captured("uploads"), lingers=True)
    claims = {name: Claim(name, bound=True, one_pod=one_pod) for name in ("uploads", "data-db-0")}

    plan = capture(lingering, captured("data-db-0"), claims=claims)

    assert plan.status.phase is phase


def test_an_empty_volume_may_be_allowed() -> None:
    plan = capture(
        captured("uploads", files_new=0), captured("data-db-0"), spec={"guards": {"onEmptyVolume": "Allow"}}
    )

    assert (plan.status.phase, plan.status.reason) == (Phase.RESUMING, "")


def test_a_mover_that_cannot_start_is_told_of_and_given_up_in_time() -> None:
    stuck = a_job(MOVER, "uploads", stuck="FailedMount: no such secret")

    assert capture(stuck, captured("data-db-0")).status.message == "FailedMount: no such secret"
    fails(
        capture(stuck, captured("data-db-0"), now=later(minutes=6)),
        Reason.MOVER_NOT_STARTED,
        phase=Phase.RESUMING,
    )


def test_a_pod_that_comes_while_volumes_are_read_fails_the_run() -> None:
    message = fails(
        capture(*all_captured(), pods=(a_pod("x", "deployment/web", "uploads"),)),
        Reason.TAINTED,
        phase=Phase.RESUMING,
    )

    assert "pod x of deployment/web" in message


@pytest.mark.parametrize("first", [held_web(2), web(3), held_web(uid="uid-new")])
def test_a_workload_that_is_changed_while_volumes_are_read_fails_the_run(first: Workload) -> None:
    run = a_backup(Phase.CAPTURING, workloads=stopped(), volumes=volumes())

    fails(
        backup.decide(run, a_world(first, held_db(), jobs=all_captured())),
        Reason.TAINTED,
        phase=Phase.RESUMING,
    )


def test_a_repository_that_is_deleted_meanwhile_fails_the_run() -> None:
    plan = capture(repository=None)

    fails(plan, Reason.REPOSITORY_NOT_READY, phase=Phase.RESUMING)
    assert plan.again_seconds


@given(st.sets(st.sampled_from(all_captured())))
def test_a_run_goes_on_only_when_every_volume_is_captured(jobs: set[JobState]) -> None:
    plan = capture(*jobs)

    assert (plan.status.phase is Phase.RESUMING) == (len(jobs) == 2)


# --- Resuming


def resume(*workloads: Workload, reason: str = "", **more: Any) -> BackupPlan:
    status = {"workloads": stopped(), **more.pop("status", {})}
    run = a_backup(Phase.RESUMING, reason=reason, message="so it was", volumes=volumes(), **status)
    return backup.decide(run, a_world(*workloads, pods=more.pop("pods", ()), **more))


def test_workloads_are_started_in_reverse_order_one_by_one() -> None:
    first = resume(held_web(), held_db())
    waiting = resume(held_web(), db(1, ready=0))
    second = resume(held_web(), db())

    assert [action.workload for action in first.actions if isinstance(action, ScaleUp)] == [DB]
    assert waiting.actions == []
    assert [action.workload for action in second.actions if isinstance(action, ScaleUp)] == [WEB]


def test_a_pod_that_came_in_the_last_moment_still_taints() -> None:
    plan = resume(held_web(), held_db(), pods=(a_pod("x", "deployment/other", "uploads"),))

    assert fails(plan, Reason.TAINTED, phase=Phase.RESUMING)


def test_our_own_pods_that_come_back_are_no_taint() -> None:
    plan = resume(held_web(), db(), pods=(a_pod("db-0", "statefulset/db", "data-db-0"),))

    assert plan.status.reason == ""


def test_when_all_are_up_the_snapshots_are_written() -> None:
    plan = resume(web(), db(), status={"workloads": stopped(started_at=later(seconds=5))})

    assert plan.status.phase is Phase.FINISHING
    assert plan.finalizer is True  # a deletion waits until the group is whole


def test_when_all_are_up_a_failed_run_ends() -> None:
    plan = resume(web(), db(), reason="Tainted", status={"workloads": stopped(started_at=later(seconds=5))})

    assert fails(plan, Reason.TAINTED) == "so it was"
    assert (plan.status.downtime_seconds, plan.finalizer) == (5, False)


def test_a_failed_run_ends_its_movers_before_it_starts_anything() -> None:
    running = a_job(MOVER, "uploads", active=True)

    plan = resume(held_web(), held_db(), reason="Tainted", jobs=[running])

    assert plan.actions == [DeleteJob(running.name)]
    assert plan.again_seconds


def test_a_failed_run_whose_movers_are_gone_starts_all_at_once() -> None:
    plan = resume(held_web(), held_db(), reason="Tainted", jobs=[captured("uploads")])

    assert [action.workload for action in plan.actions if isinstance(action, ScaleUp)] == [DB, WEB]


def test_movers_that_do_not_end_hold_nothing_down_beyond_the_deadline() -> None:
    running = a_job(MOVER, "uploads", active=True)

    plan = resume(held_web(), held_db(), reason="Tainted", jobs=[running], now=later(minutes=30))

    assert plan.actions[0] == DeleteJob(running.name)
    assert [action.workload for action in plan.actions if isinstance(action, ScaleUp)] == [DB, WEB]


def test_beyond_the_deadline_a_good_run_starts_all_at_once() -> None:
    plan = resume(held_web(), held_db(), now=later(minutes=30))

    assert [action.workload for action in plan.actions if isinstance(action, ScaleUp)] == [DB, WEB]


# --- Finishing

DONE = stopped(started_at=later(seconds=42))


def finish(
    *jobs: JobState, spec: dict[str, Any] | None = None, labels: dict[str, str] | None = None, **world: Any
) -> BackupPlan:
    run = a_backup(
        Phase.FINISHING, spec=spec, meta={"labels": labels or {}}, workloads=DONE, volumes=volumes()
    )
    return backup.decide(run, a_world(web(), db(), jobs=(*all_captured(), *jobs), **world))


def plan_of(made: BackupPlan) -> CommitPlan:
    (action,) = made.actions
    assert isinstance(action, ApplyJob)
    spec = action.job.spec
    assert spec is not None
    assert spec.template.metadata is not None
    return CommitPlan.from_json((spec.template.metadata.annotations or {})[names.COMMIT_ANNOTATION])


def test_one_commit_publishes_all_volumes_at_one_time_under_the_same_tags() -> None:
    made = finish(spec={"tags": ["weekly"]}, labels={names.SCHEDULE_LABEL: "nightly"})

    assert jobs_made(made) == [COMMIT]
    snapshots = plan_of(made).snapshots
    assert [(s.tree, s.paths) for s in snapshots] == [
        ("tree-uploads", ("/data/uploads",)),
        ("tree-data-db-0", ("/data/data-db-0",)),
    ]
    assert {(s.time, s.tags, s.hostname) for s in snapshots} == {
        ("2026-11-27T03:00:00Z", ("weekly", "schedule=nightly"), "shop")
    }


def test_the_time_of_the_snapshots_is_when_the_last_workload_stopped() -> None:
    workloads = planned(web_stopped=NOW, db_stopped=later(seconds=90))
    run = a_backup(Phase.FINISHING, workloads=workloads, volumes=volumes())

    snapshots = publishing.commit_plan(run, run.status, OWNER, a_world(jobs=all_captured())).snapshots

    assert {snapshot.time for snapshot in snapshots} == {"2026-11-27T03:01:30Z"}


@pytest.mark.parametrize(
    ("zone", "day", "times"),
    [
        ("Europe/Berlin", 0, "2026-11-27T04:00:00+01:00"),
        ("America/New_York", 0, "2026-11-26T22:00:00-05:00"),
        ("Asia/Kathmandu", 0, "2026-11-27T08:45:00+05:45"),
        ("Europe/Berlin", 200, "2027-06-15T05:00:00+02:00"),
        ("Europe/London", 0, "2026-11-27T03:00:00Z"),
        ("Mars/Olympus", 0, "2026-11-27T03:00:00Z"),
    ],
)
def test_times_have_the_offset_that_the_zone_of_the_schedule_has_then(
    zone: str, day: int, times: str
) -> None:
    run = a_backup(Phase.FINISHING, workloads=stopped(later(days=day)), volumes=volumes())
    world = a_world(jobs=all_captured(), schedule=a_schedule({"timeZone": zone}))

    snapshots = publishing.commit_plan(run, run.status, OWNER, world).snapshots

    assert {snapshot.time for snapshot in snapshots} == {times}


def test_a_commit_that_runs_is_waited_for() -> None:
    plan = finish(a_job(COMMIT, active=True))

    assert (plan.status.phase, plan.actions) == (Phase.FINISHING, [])
    assert plan.again_seconds


def test_a_run_whose_snapshots_are_written_has_succeeded() -> None:
    plan = finish(committed())

    assert (plan.status.phase, plan.status.reason) == (Phase.SUCCEEDED, "")
    assert plan.status.downtime_seconds == 42
    assert [volume.snapshot_id for volume in plan.status.volumes] == [
        "snapshot-uploads",
        "snapshot-data-db-0",
    ]
    assert plan.events[-1].reason == "Succeeded"


def test_a_commit_that_leaves_a_volume_out_is_no_success() -> None:
    plan = finish(committed("uploads"))

    assert "1 snapshots for 2 volumes" in fails(plan, Reason.COMMIT_FAILED)


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (
            failed(COMMIT, CommitReport(exit_code=1, error=Problem("Damaged", "blob"))),
            Reason.REPOSITORY_DAMAGED,
        ),
        (failed(COMMIT, CommitReport(exit_code=1, error=Problem("Usage", "x"))), Reason.COMMIT_FAILED),
        (succeeded(COMMIT, ""), Reason.COMMIT_FAILED),
    ],
)
def test_a_commit_that_says_no_fails_the_run(job: JobState, reason: Reason) -> None:
    plan = finish(job)

    fails(plan, reason)
    assert plan.status.downtime_seconds == 42


UNAVAILABLE = CommitReport(exit_code=1, error=Problem("StorageUnavailable", "timeout", retryable=True))


@pytest.mark.parametrize("report", ["", UNAVAILABLE])
def test_a_commit_without_a_verdict_gets_another_try_and_a_third(report: str | CommitReport) -> None:
    first, second = failed(COMMIT, report), failed(COMMIT, report, "2")

    assert jobs_made(finish(first)) == [COMMIT]
    assert jobs_made(finish(first, second)) == [COMMIT]
    assert finish(first, committed(part="2")).status.phase is Phase.SUCCEEDED
    assert finish(first, second, failed(COMMIT, report, "3")).status.phase is Phase.FAILED


def test_a_commit_that_cannot_start_is_taken_away_so_that_it_never_writes() -> None:
    stuck = a_job(COMMIT, stuck="Unschedulable: quota")

    assert finish(stuck).status.phase is Phase.FINISHING
    late = finish(stuck, now=later(minutes=6))
    fails(late, Reason.MOVER_NOT_STARTED)
    assert late.actions == [DeleteJob(stuck.name)]


def test_a_repository_that_is_deleted_before_the_commit_fails_the_run() -> None:
    assert finish(repository=None).status.reason == "RepositoryNotReady"


# --- retention

RETENTION = a_schedule({"retention": {"keepDaily": 7}})


def test_retention_is_applied_after_the_commit() -> None:
    plan = finish(committed(), schedule=RETENTION)

    assert (plan.status.phase, jobs_made(plan)) == (Phase.FINISHING, [FORGET])
    waiting = finish(committed(), a_job(FORGET, active=True), schedule=RETENTION)
    assert (waiting.status.phase, waiting.actions) == (Phase.FINISHING, [])


def test_without_retention_nothing_is_forgotten() -> None:
    assert finish(committed(), schedule=a_schedule()).status.phase is Phase.SUCCEEDED


def test_a_run_has_succeeded_when_retention_is_applied() -> None:
    plan = finish(committed(), succeeded(FORGET, ForgetReport()), schedule=RETENTION)

    assert plan.status.phase is Phase.SUCCEEDED
    assert plan.status.message.startswith("2 volumes at one point in time: ")


@pytest.mark.parametrize(
    ("job", "world"),
    [
        (failed(FORGET), {}),
        (failed(FORGET, ForgetReport(exit_code=11, error=Problem("Locked", "locked", retryable=True))), {}),
        (a_job(FORGET, stuck="Unschedulable: quota"), {"now": later(minutes=6)}),
        (captured("unrelated"), {"repository": None}),
    ],
)
def test_a_failed_retention_does_not_undo_a_good_backup(job: JobState, world: dict[str, Any]) -> None:
    plan = finish(committed(), job, schedule=RETENTION, **world)

    assert (plan.status.phase, plan.status.reason) == (Phase.SUCCEEDED, "")
    assert "but retention was not applied" in plan.status.message
    assert [event.reason for event in plan.events] == ["RetentionFailed", "Succeeded"]
    condition = conditions.find(plan.status.conditions, "RetentionFailed")
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "RetentionFailed")
    assert plan.status.message.endswith(condition.message)
    assert all(volume.snapshot_id for volume in plan.status.volumes)


@given(
    st.sets(
        st.sampled_from([committed(), committed("uploads"), failed(COMMIT), a_job(COMMIT, active=True)]),
        max_size=1,
    )
)
def test_success_always_has_a_snapshot_of_every_volume(jobs: set[JobState]) -> None:
    status = finish(*jobs).status

    if status.phase is Phase.SUCCEEDED:
        assert all(volume.snapshot_id for volume in status.volumes)
    elif jobs and status.phase is Phase.FAILED:
        assert status.reason
