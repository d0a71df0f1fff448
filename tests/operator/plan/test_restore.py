"""A Restore's way."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import Problem, RestoreReport
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.api.restore import Restore, RestoreStatus
from becalm_operator.manifests.jobs import ACCESS, RESTORE
from becalm_operator.plan import restore
from becalm_operator.plan.steps import ApplyJob, DeleteJob, Plan, RequestProbe, ScaleDown, ScaleUp
from becalm_operator.plan.world import Claim, JobState, OtherRun, Workload, World
from tests.operator.plan import worlds
from tests.operator.plan.worlds import (
    NOW,
    PODS,
    WEB,
    a_condition,
    a_pod,
    a_record,
    a_repository,
    a_restore,
    an_other,
    db,
    fails,
    jobs_made,
    later,
    previewed,
    targets,
    web,
)

RestorePlan = Plan[RestoreStatus]
ME = ("r", "uid-r")
SOURCE = worlds.a_backup(
    Phase.SUCCEEDED, volumes=tuple(v.model_copy(update={"snapshot_id": "cd" * 32}) for v in worlds.volumes())
)
STATES = worlds.planned(web_stopped=NOW)[:1]


def a_world(*workloads: Workload, **more: Any) -> World:
    return worlds.a_world(*workloads, **{"source": SOURCE, **more})


def held_web(replicas: int = 0) -> Workload:
    return web(replicas, record=a_record(3, uid="uid-r"))


def decide(run: Restore, world: World) -> RestorePlan:
    return restore.decide(run, world)


def opened() -> JobState:
    return worlds.opened(owner=ME)


def restored(**more: Any) -> JobState:
    report = RestoreReport(files_restored=7, bytes_restored=70, files_deleted=1)
    return worlds.succeeded(RESTORE, report, "uploads", owner=ME, **more)


# --- Pending and Preflight


def test_a_restore_begins_when_the_way_is_free() -> None:
    assert decide(a_restore(), a_world()).status.phase is Phase.PREFLIGHT


def test_a_restore_waits_for_a_run_on_the_same_claims() -> None:
    plan = decide(a_restore(), a_world(others=(an_other("first", started=True),)))

    assert (plan.status.phase, plan.status.message) == (
        Phase.PENDING,
        "waiting for first, which works on claim uploads, too",
    )


def test_a_restore_waits_for_a_run_on_the_workloads_that_it_would_stop() -> None:
    other = OtherRun("first", "uid-first", True, NOW, frozenset(), frozenset({"deployment/web"}))

    assert decide(a_restore(), a_world(others=(other,))).status.phase is Phase.PENDING


def preflight(*workloads: Workload, spec: dict[str, Any] | None = None, **world: Any) -> RestorePlan:
    return decide(a_restore(Phase.PREFLIGHT, spec=spec), a_world(*workloads, **world))


def of_another_repository() -> Backup:
    spec = SOURCE.spec.model_copy(
        update={"repository_ref": SOURCE.spec.repository_ref.model_copy(update={"name": "x"})}
    )
    return SOURCE.model_copy(update={"spec": spec})


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (preflight(source=None), Reason.BACKUP_NOT_FOUND),
        (
            preflight(
                spec={"targets": [{"claim": "uploads", "to": "backups"}]},
                repository=a_repository(storage={"persistentVolumeClaim": {"claimName": "backups"}}),
                claims={"backups": Claim("backups", bound=True)},
            ),
            Reason.CLAIM_IN_USE,
        ),
        (preflight(source=worlds.a_backup(Phase.FAILED)), Reason.BACKUP_NOT_FOUND),
        (preflight(source=worlds.a_backup(Phase.CAPTURING)), Reason.BACKUP_NOT_FOUND),
        (preflight(source=of_another_repository()), Reason.BACKUP_NOT_FOUND),
        (preflight(source=worlds.a_backup(Phase.SUCCEEDED)), Reason.SNAPSHOT_NOT_FOUND),
        (preflight(claims={}), Reason.CLAIM_NOT_FOUND),
        (
            preflight(claims={"uploads": Claim("uploads", bound=True, block=True)}),
            Reason.CLAIM_IS_BLOCK_DEVICE,
        ),
        (preflight(web(owner="Rollout/web"), db()), Reason.WORKLOAD_OWNED),
        (preflight(pods=(*PODS, a_pod("x", "job/x", "uploads"))), Reason.CLAIM_IN_USE),
        (preflight(repository=None), Reason.REPOSITORY_NOT_READY),
        (
            preflight(repository=a_repository(a_condition("False", Reason.STORAGE_DENIED))),
            Reason.STORAGE_DENIED,
        ),
    ],
)
def test_what_cannot_be_restored_is_refused_and_nothing_is_touched(plan: RestorePlan, reason: Reason) -> None:
    assert fails(plan, reason)
    assert [action for action in plan.actions if not isinstance(action, RequestProbe)] == []


def test_a_claim_that_is_not_bound_yet_may_be_restored_into() -> None:
    unbound = {"uploads": Claim("uploads", bound=False)}

    assert jobs_made(preflight(claims=unbound)) == [ACCESS]


def test_snapshot_and_node_are_pinned_before_anything_stops() -> None:
    plan = preflight(jobs=[opened(), previewed()])

    assert (plan.status.phase, plan.finalizer) == (Phase.QUIESCING, True)
    (target,) = plan.status.targets
    assert (target.claim, target.to, target.snapshot_id, target.node) == (
        "uploads",
        "uploads",
        "cd" * 32,
        "node-1",
    )


def test_whoever_mounts_the_targets_is_stopped() -> None:
    plan = preflight(jobs=[opened(), previewed()])

    assert [state.name for state in plan.status.workloads] == ["web"]


def test_a_named_snapshot_needs_no_backup() -> None:
    plan = preflight(spec={"source": {"snapshotID": "abcdef12"}}, source=None, jobs=[opened(), previewed()])

    assert plan.status.targets[0].snapshot_id == "abcdef12"


def test_another_claim_may_be_the_target() -> None:
    spec = {"targets": [{"claim": "uploads", "to": "copy"}]}
    claims = {"copy": Claim("copy", bound=True)}

    plan = preflight(spec=spec, claims=claims, jobs=[opened(), previewed("copy")])

    assert (plan.status.targets[0].claim, plan.status.targets[0].to) == ("uploads", "copy")
    assert plan.status.workloads == ()


def test_with_a_list_others_on_the_claims_are_refused() -> None:
    listed = {"workloads": {"mode": "List", "names": [{"kind": "StatefulSet", "name": "db"}]}}

    assert "web-1" in fails(preflight(spec=listed), Reason.CLAIM_IN_USE)


# --- Quiescing to Restoring


def test_the_consumers_are_stopped_with_a_record_of_the_restore() -> None:
    plan = decide(a_restore(Phase.QUIESCING, workloads=worlds.planned()[:1]), a_world())

    (action,) = plan.actions
    assert isinstance(action, ScaleDown)
    assert (action.workload, action.record.by.kind, action.record.deadline) == (
        WEB,
        "Restore",
        later(hours=4),
    )


def test_nothing_is_written_before_the_claims_are_free() -> None:
    run = a_restore(Phase.DRAINING, workloads=STATES, targets=targets())

    assert decide(run, a_world(held_web(), pods=PODS[:1])).status.phase is Phase.DRAINING
    assert decide(run, a_world(held_web())).status.phase is Phase.RESTORING


def restoring(*jobs: JobState, first: Workload | None = None, **world: Any) -> RestorePlan:
    run = a_restore(Phase.RESTORING, workloads=STATES, targets=targets())
    return decide(run, a_world(first or held_web(), jobs=jobs, **world))


def test_one_mover_writes_each_target() -> None:
    plan = restoring()

    (action,) = plan.actions
    assert isinstance(action, ApplyJob)
    assert jobs_made(plan) == [RESTORE]


def test_a_mover_is_waited_for_until_its_pod_is_gone() -> None:
    assert restoring(worlds.a_job(RESTORE, "uploads", owner=ME, active=True)).status.phase is Phase.RESTORING
    assert restoring(restored(active=True)).status.phase is Phase.RESTORING


def test_when_all_is_written_the_workloads_are_started() -> None:
    plan = restoring(restored())

    assert plan.status.phase is Phase.RESUMING
    (target,) = plan.status.targets
    assert (target.done, target.files_restored, target.bytes_restored, target.files_deleted) == (
        True,
        7,
        70,
        1,
    )


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (worlds.failed(RESTORE, part="uploads", owner=ME), "exit code 1"),
        (worlds.succeeded(RESTORE, "", "uploads", owner=ME), "exit code 0"),
        (
            worlds.failed(
                RESTORE, RestoreReport(exit_code=1, error=Problem("Target", "no space")), "uploads", owner=ME
            ),
            "no space",
        ),
    ],
)
def test_a_failed_restore_starts_the_workloads_and_says_why(job: JobState, text: str) -> None:
    plan = restoring(job)

    assert text in fails(plan, Reason.RESTORE_FAILED, phase=Phase.RESUMING)
    assert text in plan.status.targets[0].error


def test_where_nothing_was_stopped_a_failed_mover_ends_the_others() -> None:
    both = (*targets(), targets()[0].model_copy(update={"claim": "more", "to": "more"}))
    running = worlds.a_job(RESTORE, "more", owner=ME, active=True)
    run = a_restore(Phase.RESTORING, workloads=(), targets=both)

    plan = decide(run, a_world(pods=(), jobs=(worlds.failed(RESTORE, part="uploads", owner=ME), running)))

    fails(plan, Reason.RESTORE_FAILED)
    assert list(plan.actions) == [DeleteJob(running.name)]


def test_a_pod_that_comes_while_files_are_written_fails_the_restore() -> None:
    fails(restoring(restored(), pods=(a_pod("x", "", "uploads"),)), Reason.TAINTED, phase=Phase.RESUMING)
    fails(restoring(restored(), first=held_web(2)), Reason.TAINTED, phase=Phase.RESUMING)


def test_the_deadline_ends_a_restore() -> None:
    fails(restoring(now=later(hours=4)), Reason.DOWNTIME_EXCEEDED, phase=Phase.RESUMING)


def test_a_repository_that_is_deleted_meanwhile_fails_the_restore() -> None:
    fails(restoring(repository=None), Reason.REPOSITORY_NOT_READY, phase=Phase.RESUMING)


# --- Resuming


def resuming(first: Workload, *jobs: JobState, reason: str = "", **more: Any) -> RestorePlan:
    states = more.pop("workloads", STATES)
    run = a_restore(
        Phase.RESUMING,
        workloads=states,
        targets=more.pop("targets", targets(done=True, files_restored=7)),
        reason=reason,
        message="so it was",
    )
    return decide(run, a_world(first, jobs=jobs, **more))


UP = worlds.stopped(started_at=later(seconds=9))[:1]


def test_a_good_restore_succeeds_when_all_are_up() -> None:
    started = resuming(held_web())
    up = resuming(web(), now=later(seconds=9))
    done = resuming(web(), workloads=UP)

    assert [action.workload for action in started.actions if isinstance(action, ScaleUp)] == [WEB]
    assert up.status.workloads == UP
    assert (done.status.phase, done.status.message) == (Phase.SUCCEEDED, "7 files in 1 claims")
    assert (done.status.downtime_seconds, done.finalizer) == (9, False)


def problems(**counts: Any) -> RestorePlan:
    """Return the end of a restore by a mover that has told of problems."""
    report = RestoreReport(files_restored=7, problems=counts)
    plan = restoring(worlds.succeeded(RESTORE, report, "uploads", owner=ME))
    return resuming(web(), workloads=UP, targets=plan.status.targets)


def test_what_could_not_be_set_is_told_with_the_success_and_stays_in_status() -> None:
    plan = problems(owner=3, mode=1)

    assert plan.status.phase is Phase.SUCCEEDED
    assert plan.status.message == (
        "7 files in 1 claims; but the mode could not be set on one file, the owner could not be set on 3 files"
    )
    assert [(one.what, one.files) for one in plan.status.targets[0].not_set] == [("mode", 1), ("owner", 3)]
    assert [(event.reason, event.type) for event in plan.events] == [
        ("MetadataNotSet", "Warning"),
        ("Succeeded", "Normal"),
    ]
    assert plan.events[0].message == plan.status.message


def test_where_all_could_be_set_nothing_is_told() -> None:
    plan = problems()

    assert plan.status.message == "7 files in 1 claims"
    assert [event.reason for event in plan.events] == ["Succeeded"]


@pytest.mark.parametrize("count", ["many", None, 0, -1, True, 1.5])
def test_a_count_that_is_none_is_passed_over(count: Any) -> None:
    plan = problems(owner=count, mode=2)

    assert [one.what for one in plan.status.targets[0].not_set] == ["mode"]
    assert RestoreStatus.model_validate(plan.status.model_dump()) == plan.status


def test_a_failed_restore_starts_the_workloads_too() -> None:
    running = worlds.a_job(RESTORE, "uploads", owner=ME, active=True)

    first = resuming(held_web(), running, reason="RestoreFailed")
    second = resuming(held_web(), reason="RestoreFailed")
    last = resuming(web(), workloads=UP, reason="RestoreFailed")

    assert list(first.actions) == [DeleteJob(running.name)]
    assert [action.workload for action in second.actions if isinstance(action, ScaleUp)] == [WEB]
    assert fails(last, Reason.RESTORE_FAILED) == "so it was"


# --- properties

_WORLDS = st.builds(
    a_world,
    st.sampled_from([web(), held_web(), held_web(2), web(0), web(uid="uid-new")]),
    jobs=st.sets(st.sampled_from([opened(), restored(), worlds.failed(RESTORE, part="uploads", owner=ME)])),
    pods=st.sets(st.sampled_from((*PODS, a_pod("x", "", "uploads")))).map(tuple),
    now=st.integers(0, 20_000).map(lambda seconds: later(seconds=seconds)),
    repository=st.sampled_from([a_repository(), None]),
)
_OF_BACKUPS = (Phase.PREPARING, Phase.CAPTURING, Phase.UPLOADING, Phase.FINISHING)
_PHASES = [phase for phase in Phase if phase not in _OF_BACKUPS]
_STATUSES = st.fixed_dictionaries(
    {
        "workloads": st.sampled_from([worlds.planned()[:1], STATES, worlds.stopped(started_at=NOW)[:1]]),
        "targets": st.just(targets()),
    }
)


@given(st.sampled_from([Phase.SUCCEEDED, Phase.FAILED]), _STATUSES, _WORLDS)
def test_a_finished_restore_never_moves_again(phase: Phase, status: dict[str, Any], world: World) -> None:
    run = a_restore(phase, completion_time=NOW, **status)

    plan = decide(run, world)

    assert (plan.actions, plan.events, plan.finalizer) == ([], [], False)
    kept = ("phase", "reason", "message", "completion_time", "targets")
    assert all(getattr(plan.status, name) == getattr(run.status, name) for name in kept)


@given(st.sampled_from(_PHASES), _STATUSES, _WORLDS)
def test_every_state_has_a_next_step_that_can_be_written_and_the_same_one_each_time(
    phase: Phase, status: dict[str, Any], world: World
) -> None:
    run = a_restore(phase, **(status if phase not in (Phase.PENDING, Phase.PREFLIGHT) else {}))

    plan = decide(run, world)

    assert RestoreStatus.model_validate(plan.status.model_dump()) == plan.status
    assert plan == decide(run, world)
    assert plan.status.phase.finished or plan.again_seconds is not None


@given(_STATUSES, _WORLDS)
def test_nothing_is_written_while_somebody_else_has_the_claim(status: dict[str, Any], world: World) -> None:
    plan = decide(a_restore(Phase.RESTORING, **status), world)

    if world.consumers(frozenset({"uploads"})):
        assert jobs_made(plan) == []
