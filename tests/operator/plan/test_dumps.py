"""Dumps: taken before anything stops, committed with the volumes, and believed only when both containers ended well."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import CaptureReport, CommitPlan, CommitReport, ExitCode, Problem
from becalm_operator.api import names
from becalm_operator.api.backup import BackupStatus, Phase, WorkloadStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.api.dumps import DumpStatus
from becalm_operator.manifests.dumps import DUMP
from becalm_operator.manifests.jobs import COMMIT, MOVER
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import backup, publishing
from becalm_operator.plan.steps import ApplyJob, DeleteJob, Plan, ScaleDown
from becalm_operator.plan.world import JobState
from tests.operator.plan.worlds import (
    NOW,
    a_backup,
    a_job,
    a_schedule,
    a_world,
    all_at_gate,
    all_captured,
    db,
    failed,
    fails,
    jobs_made,
    later,
    opened,
    planned,
    stopped,
    succeeded,
    volumes,
    web,
)

OWNER = Owner("Backup", "b", "shop", "uid-b")
DUMPS = [
    {
        "name": name,
        "filename": "all.sql",
        "timeout": "1h",
        "container": {"image": "postgres", "command": ["pg_dump"]},
    }
    for name in ("orders", "users")
]
PLANNED = tuple(DumpStatus(name=name, path=f"/dumps/{name}/all.sql") for name in ("orders", "users"))
TAKEN = tuple(state.model_copy(update={"tree": f"tree-{state.name}", "taken_at": NOW}) for state in PLANNED)


def dumped(name: str, **more: Any) -> JobState:
    fields = {"tree": f"tree-{name}", "files_new": 1, "bytes_processed": 90, "bytes_added_packed": 9}
    job = {name: more.pop(name) for name in ("active", "dump_exit_code") if name in more}
    return succeeded(DUMP, CaptureReport(**{**fields, **more}), name, **{"dump_exit_code": 0, **job})


def prepare(
    *jobs: JobState, spec: dict[str, Any] | None = None, dumps: Any = PLANNED, **world: Any
) -> Plan[BackupStatus]:
    fields = {"dumps": DUMPS, **(spec or {})}
    run = a_backup(Phase.PREPARING, spec=fields, workloads=planned(), volumes=volumes(), dumps=dumps)
    return backup.decide(run, a_world(jobs=jobs, **world))


# --- before anything stops


def test_dumps_that_are_not_enabled_are_refused_before_anything_stops() -> None:
    run = a_backup(Phase.PREFLIGHT, spec={"dumps": DUMPS})

    plan = backup.decide(run, a_world(jobs=[opened()], dumps_enabled=False))

    assert "dumps.enabled in the values of the chart" in fails(plan, Reason.DUMPS_NOT_ALLOWED)
    assert list(plan.actions) == []


def test_a_backup_without_dumps_needs_no_permission_for_them() -> None:
    plan = backup.decide(a_backup(Phase.PREFLIGHT), a_world(jobs=[opened()], dumps_enabled=False))

    assert (plan.status.phase, plan.status.reason) == (Phase.PREPARING, "")


def test_dumps_are_planned_in_preflight() -> None:
    plan = backup.decide(a_backup(Phase.PREFLIGHT, spec={"dumps": DUMPS}), a_world(jobs=[opened()]))

    assert (plan.status.phase, plan.status.dumps) == (Phase.PREPARING, PLANNED)


def test_dumps_are_taken_side_by_side_while_all_is_up() -> None:
    plan = prepare()

    assert jobs_made(plan) == [DUMP, DUMP]
    assert (plan.status.phase, plan.finalizer) == (Phase.PREPARING, False)


def test_a_dump_that_is_taken_is_not_taken_again() -> None:
    plan = prepare(dumped("orders"))

    assert jobs_made(plan) == [DUMP]
    orders, users = plan.status.dumps
    assert (orders.tree, orders.bytes_processed, orders.bytes_added) == ("tree-orders", 90, 9)
    assert (orders.taken_at, users.tree) == (NOW, "")
    assert plan.status.message == "taking dumps: 1 of 2 done"
    assert jobs_made(prepare(dumps=(TAKEN[0], PLANNED[1]))) == [DUMP]


def test_a_dump_whose_pod_still_runs_is_waited_for() -> None:
    plan = prepare(dumped("orders"), dumped("users", active=True))

    assert (plan.status.phase, plan.actions) == (Phase.PREPARING, [])


def test_when_all_dumps_are_taken_workloads_are_stopped() -> None:
    assert prepare(dumped("orders"), dumped("users"), *all_at_gate()).status.phase is Phase.QUIESCING
    assert prepare(*all_at_gate(), dumps=TAKEN).status.phase is Phase.QUIESCING


def test_movers_are_started_when_the_dumps_are_taken() -> None:
    assert jobs_made(prepare(dumped("orders"), dumped("users", active=True))) == []
    assert jobs_made(prepare(dumped("orders"), dumped("users"))) == [MOVER, MOVER]


_WRONG_PASSWORD = CaptureReport(
    exit_code=ExitCode.WRONG_PASSWORD, error=Problem("WrongPassword", "the password opens no key")
)


@pytest.mark.parametrize(
    ("job", "reason", "text"),
    [
        (
            failed(DUMP, CaptureReport(tree="t"), "users", exit_code=0, dump_exit_code=2),
            Reason.DUMP_FAILED,
            "exit status 2; see `kubectl logs job/b-dump-users-",
        ),
        (
            a_job(DUMP, "users", active=True, dump_exit_code=127, dump_ended_at=later(seconds=-15)),
            Reason.DUMP_FAILED,
            "exit status 127",
        ),
        (
            failed(DUMP, _WRONG_PASSWORD, "users", exit_code=12, dump_exit_code=141),
            Reason.WRONG_PASSWORD,
            "opens no key",
        ),
        (
            a_job(DUMP, "users", report=_WRONG_PASSWORD, active=True, exit_code=12),
            Reason.WRONG_PASSWORD,
            "no key",
        ),
        (failed(DUMP, "", "users", exit_code=None), Reason.DUMP_FAILED, "without a report"),
        (
            failed(DUMP, "", "users", exit_code=None, created=later(hours=-1)),
            Reason.DUMP_FAILED,
            "within its timeout (1h)",
        ),
        (
            a_job(DUMP, "users", stuck="ErrImagePull: no", created=later(minutes=-6)),
            Reason.MOVER_NOT_STARTED,
            "ErrImagePull",
        ),
        (dumped("users", dump_exit_code=None), Reason.DUMP_FAILED, "does not tell how"),
        (dumped("users", tree=""), Reason.MOVER_FAILED, "exit code 0"),
        (succeeded(DUMP, "", "users", dump_exit_code=0), Reason.MOVER_FAILED, "exit code 0"),
        (dumped("users", bytes_processed=0), Reason.EMPTY_DUMP, "guards.onEmptyDump"),
    ],
)
def test_a_dump_that_is_not_whole_fails_the_run_and_stops_nothing(
    job: JobState, reason: Reason, text: str
) -> None:
    plan = prepare(dumped("orders"), job)

    message = fails(plan, reason)
    assert message.startswith("dump users: ")
    assert text in message
    assert [dump.error for dump in plan.status.dumps] == ["", message.removeprefix("dump users: ")]
    assert [a.name for a in plan.actions if isinstance(a, DeleteJob)] == ([] if job.finished else [job.name])


def test_a_dump_that_has_failed_keeps_its_log() -> None:
    ended = a_job(DUMP, "users", active=True, exit_code=0, dump_exit_code=1)

    plan = prepare(dumped("orders"), ended)

    fails(plan, Reason.DUMP_FAILED)
    assert plan.actions == []


def test_why_a_dump_could_not_start_is_told() -> None:
    killed: dict[str, Any] = {
        "dump_exit_code": 128,
        "dump_reason": "StartError: no /bin/sh",
        "dump_ended_at": later(minutes=-1),
    }

    plan = prepare(dumped("orders"), a_job(DUMP, "users", active=True, **killed))

    assert "exit status 128 (StartError: no /bin/sh); see" in fails(plan, Reason.DUMP_FAILED)


def test_the_other_dumps_end_with_the_one_that_fails() -> None:
    going_on = a_job(DUMP, "orders", active=True)
    job = failed(DUMP, CaptureReport(tree="t"), "users", exit_code=0, dump_exit_code=1)

    plan = prepare(going_on, job)

    assert plan.actions == [DeleteJob(going_on.name)]


def test_a_dump_that_felt_its_movers_failure_lets_that_speak_first() -> None:
    broken_pipe = a_job(DUMP, "users", active=True, dump_exit_code=141, dump_ended_at=later(seconds=-1))

    plan = prepare(dumped("orders"), broken_pipe)

    assert (plan.status.phase, plan.actions) == (Phase.PREPARING, [])


def test_an_empty_dump_may_be_allowed() -> None:
    job = dumped("users", bytes_processed=0)

    plan = prepare(dumped("orders"), job, *all_at_gate(), spec={"guards": {"onEmptyDump": "Allow"}})

    assert plan.status.phase is Phase.QUIESCING


def test_why_a_dump_does_not_start_is_told() -> None:
    plan = prepare(dumped("orders"), a_job(DUMP, "users", stuck="ErrImagePull: no such image"))

    assert plan.status.message == "ErrImagePull: no such image"


def test_a_repository_that_is_deleted_meanwhile_ends_the_run_and_its_dumps() -> None:
    going_on = a_job(DUMP, "orders", active=True)

    plan = prepare(going_on, repository=None)

    fails(plan, Reason.REPOSITORY_NOT_READY)
    assert plan.actions == [DeleteJob(going_on.name)]


# --- dumps alone


ALONE = {"workloads": [], "dumps": DUMPS}


def test_dumps_alone_need_no_workloads_and_stop_none() -> None:
    begun = backup.decide(a_backup(spec=ALONE), a_world())
    checked = backup.decide(a_backup(Phase.PREFLIGHT, spec=ALONE), a_world(jobs=[opened()]))

    assert begun.status.phase is Phase.PREFLIGHT
    assert (checked.status.phase, checked.status.workloads, checked.status.volumes) == (
        Phase.PREPARING,
        (),
        (),
    )


@pytest.mark.parametrize(
    ("spec", "movers"), [(ALONE, 2), ({"dumps": DUMPS[:1]}, 2), ({**ALONE, "dumps": DUMPS[:1]}, 1)]
)
def test_a_run_takes_a_mover_for_each_dump_and_then_for_each_claim(spec: dict[str, Any], movers: int) -> None:
    needs = backup.decide(a_backup(spec=spec), a_world()).status.needs

    assert needs is not None
    assert needs.movers == movers


def test_a_workload_without_claims_is_not_stopped_for_nothing() -> None:
    plan = backup.decide(a_backup(spec={"dumps": DUMPS}), a_world(web(claims=()), db(claims=())))

    fails(plan, Reason.NO_CLAIMS)


@pytest.mark.parametrize("phase", [Phase.QUIESCING, Phase.DRAINING, Phase.CAPTURING, Phase.RESUMING])
def test_dumps_alone_pass_through_what_is_for_workloads(phase: Phase) -> None:
    plan = backup.decide(a_backup(phase, spec=ALONE, dumps=TAKEN), a_world())

    assert plan.status.phase not in (phase, Phase.FAILED)
    assert plan.actions == []


# --- the commit


DONE = tuple(
    WorkloadStatus.model_validate({**state.model_dump(), "started_at": later(seconds=42)})
    for state in stopped()
)


def finish(*jobs: JobState) -> Plan[BackupStatus]:
    spec = {"dumps": DUMPS, "tags": ["weekly"]}
    run = a_backup(Phase.FINISHING, spec=spec, workloads=DONE, volumes=volumes(), dumps=TAKEN)
    return backup.decide(run, a_world(web(), db(), jobs=(*all_captured(), *jobs)))


def plan_of(made: Plan[BackupStatus]) -> CommitPlan:
    (action,) = made.actions
    assert isinstance(action, ApplyJob)
    assert action.job.spec is not None
    assert action.job.spec.template.metadata is not None
    return CommitPlan.from_json(
        (action.job.spec.template.metadata.annotations or {})[names.COMMIT_ANNOTATION]
    )


def test_one_commit_publishes_volumes_and_dumps_under_the_same_tags() -> None:
    snapshots = plan_of(finish(dumped("orders", parent="p"))).snapshots

    assert [(one.tree, one.paths, one.parent) for one in snapshots[2:]] == [
        ("tree-orders", ("/dumps/orders/all.sql",), "p"),
        ("tree-users", ("/dumps/users/all.sql",), ""),
    ]
    assert {(one.tags, one.hostname) for one in snapshots} == {(("weekly",), "shop")}
    assert snapshots[2].summary["total_bytes_processed"] == 90


def test_a_snapshot_of_a_dump_has_the_dumps_own_time() -> None:
    run = a_backup(
        Phase.FINISHING,
        spec={"dumps": DUMPS},
        workloads=stopped(later(hours=1)),
        volumes=volumes(),
        dumps=TAKEN,
    )

    times = [one.time for one in publishing.commit_plan(run, run.status, OWNER, a_world()).snapshots]
    berlin = a_world(schedule=a_schedule({"timeZone": "Europe/Berlin"}))
    zoned = [one.time for one in publishing.commit_plan(run, run.status, OWNER, berlin).snapshots]

    assert times == ["2026-11-27T04:00:00Z"] * 2 + ["2026-11-27T03:00:00Z"] * 2
    assert zoned == ["2026-11-27T05:00:00+01:00"] * 2 + ["2026-11-27T04:00:00+01:00"] * 2


def test_each_dump_gets_its_snapshot() -> None:
    plan = finish(succeeded(COMMIT, CommitReport(snapshots=("s0", "s1", "s2", "s3"))))

    assert plan.status.phase is Phase.SUCCEEDED
    assert [volume.snapshot_id for volume in plan.status.volumes] == ["s0", "s1"]
    assert [dump.snapshot_id for dump in plan.status.dumps] == ["s2", "s3"]
    assert plan.status.message.startswith("2 volumes at one point in time and 2 dumps: ")


def test_a_commit_that_leaves_a_dump_out_is_no_success() -> None:
    plan = finish(succeeded(COMMIT, CommitReport(snapshots=("s0", "s1", "s2"))))

    assert "3 snapshots for 4" in fails(plan, Reason.COMMIT_FAILED)


# --- any state


_USERS = st.sampled_from(
    [
        None,
        dumped("users"),
        dumped("users", active=True),
        dumped("users", dump_exit_code=1),
        dumped("users", bytes_processed=0),
        a_job(DUMP, "users", active=True),
        a_job(DUMP, "users", active=True, dump_exit_code=0),
        a_job(DUMP, "users", active=True, dump_exit_code=1, dump_ended_at=NOW),
        failed(DUMP, CaptureReport(tree="t", bytes_processed=1), "users", dump_exit_code=0),
    ]
)


@given(_USERS, st.integers(0, 7200), st.booleans())
def test_nothing_stops_before_every_dump_has_ended_well(
    job: JobState | None, seconds: int, has_repository: bool
) -> None:
    world = {} if has_repository else {"repository": None}
    jobs = [dumped("orders"), *all_at_gate(), *([job] if job else [])]

    plan = prepare(*jobs, now=later(seconds=seconds), **world)

    assert not [action for action in plan.actions if isinstance(action, ScaleDown)]
    assert (plan.status.phase is Phase.QUIESCING) == (job == dumped("users") and has_repository)
    assert plan.status.phase.finished or plan.again_seconds
    assert plan == prepare(*jobs, now=later(seconds=seconds), **world)
