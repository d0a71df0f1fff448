"""A Backup's way, phase by phase, up to the volumes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import AccessReport, ExitCode, Problem
from becalm_operator.api.backup import Backup, BackupStatus, Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.manifests.jobs import ACCESS
from becalm_operator.plan import backup
from becalm_operator.plan.steps import DeleteJob, Plan, RequestProbe, ScaleDown, ScaleUp
from becalm_operator.plan.world import Claim, JobState, Workload, World
from tests.operator.plan.worlds import (
    DB,
    NOW,
    PODS,
    REPOSITORY_ID,
    WEB,
    a_backup,
    a_condition,
    a_former,
    a_job,
    a_pod,
    a_record,
    a_repository,
    a_world,
    all_at_gate,
    an_other,
    captured,
    committed,
    db,
    failed,
    fails,
    held_db,
    held_web,
    jobs_made,
    later,
    opened,
    planned,
    stopped,
    volumes,
    web,
)


def decide(run: Backup, world: World) -> Plan[BackupStatus]:
    return backup.decide(run, world)


# --- Pending


def test_a_run_begins_when_the_way_is_free() -> None:
    plan = decide(a_backup(), a_world())

    assert (plan.status.phase, plan.status.start_time, plan.actions) == (Phase.PREFLIGHT, NOW, [])
    assert plan.finalizer is False


def test_a_run_waits_for_a_repository_that_is_coming() -> None:
    plan = decide(a_backup(), a_world(repository=a_repository(a_condition("Unknown", Reason.PROBING))))

    assert plan.status.phase is Phase.PENDING
    assert plan.status.message == "waiting for repository main: told"
    assert plan.again_seconds


def test_a_run_without_a_repository_fails() -> None:
    fails(decide(a_backup(), a_world(repository=None)), Reason.REPOSITORY_NOT_READY)


def test_a_run_waits_for_another_on_the_same_claims() -> None:
    plan = decide(a_backup(), a_world(others=(an_other("first", started=True),)))

    assert (plan.status.phase, plan.status.message) == (
        Phase.PENDING,
        "waiting for first, which works on claim uploads, too",
    )
    assert plan.again_seconds


def test_a_run_of_a_workload_that_does_not_exist_fails() -> None:
    fails(decide(a_backup(), a_world(web())), Reason.WORKLOAD_NOT_FOUND)


def test_a_run_of_no_claims_fails() -> None:
    fails(decide(a_backup(), a_world(web(claims=()), db(claims=()))), Reason.NO_CLAIMS)


# --- Preflight


def preflight(*workloads: Any, **world: Any) -> Plan[BackupStatus]:
    return decide(a_backup(Phase.PREFLIGHT), a_world(*workloads, **world))


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (preflight(web(owner="Rollout/web"), db()), Reason.WORKLOAD_OWNED),
        (preflight(web(), db(deletes_claims=True)), Reason.WORKLOAD_DELETES_CLAIMS),
        (preflight(held_web(record=a_record(uid="x")), db()), Reason.WORKLOAD_ALREADY_STOPPED_BY_OTHER),
        (preflight(web(unreadable_record=True), db()), Reason.WORKLOAD_ALREADY_STOPPED_BY_OTHER),
        (preflight(web()), Reason.WORKLOAD_NOT_FOUND),
        (preflight(claims={}), Reason.CLAIM_NOT_FOUND),
        (preflight(claims={"uploads": Claim("uploads", bound=False)}), Reason.CLAIM_NOT_FOUND),
        (preflight(pods=(a_pod("x", "", "uploads"),)), Reason.CLAIM_IN_USE),
        (preflight(repository=None), Reason.REPOSITORY_NOT_READY),
        (
            preflight(repository=a_repository(a_condition("False", Reason.WRONG_PASSWORD))),
            Reason.WRONG_PASSWORD,
        ),
    ],
)
def test_what_would_break_something_is_refused_and_nothing_is_touched(
    plan: Plan[BackupStatus], reason: Reason
) -> None:
    assert fails(plan, reason)
    assert [action for action in plan.actions if not isinstance(action, RequestProbe)] == []
    assert plan.finalizer is False


def test_an_unbound_claim_is_refused() -> None:
    unbound = {name: Claim(name, bound=False) for name in ("uploads", "data-db-0")}

    fails(preflight(claims=unbound), Reason.CLAIM_NOT_BOUND)


def test_the_repository_is_opened_before_anything_stops() -> None:
    plan = preflight()

    assert (plan.status.phase, jobs_made(plan)) == (Phase.PREFLIGHT, [ACCESS])
    waiting = preflight(jobs=[a_job(ACCESS, active=True)])
    assert (waiting.status.phase, waiting.actions) == (Phase.PREFLIGHT, [])


def test_what_to_expect_is_told_before_anything_stops() -> None:
    plan = preflight(jobs=[opened()], former=(a_former("b1", 8), a_former("b2", 12)))

    assert [event.reason for event in plan.events] == ["Forecast"]
    assert plan.status.forecast is not None
    assert plan.status.forecast.longest_seconds == 12


def test_what_is_planned_stands_in_status_before_anything_stops() -> None:
    plan = preflight(jobs=[opened()])

    assert plan.status.phase is Phase.PREPARING
    assert plan.status.repository_id == REPOSITORY_ID
    assert [(state.name, state.replicas) for state in plan.status.workloads] == [("web", 3), ("db", 1)]
    assert [(volume.claim, volume.node) for volume in plan.status.volumes] == [
        ("uploads", "node-1"),
        ("data-db-0", "node-1"),
    ]


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (opened("cd" * 32), Reason.REPOSITORY_REPLACED),
        (a_job(ACCESS, succeeded=True, exit_code=0), Reason.REPOSITORY_NOT_READY),
        (failed(ACCESS), Reason.REPOSITORY_NOT_READY),
        (failed(ACCESS, exit_code=ExitCode.WRONG_PASSWORD), Reason.WRONG_PASSWORD),
        (
            failed(ACCESS, AccessReport(exit_code=1, error=Problem("StorageDenied", "no such key"))),
            Reason.STORAGE_DENIED,
        ),
    ],
)
def test_a_repository_that_does_not_open_ends_the_run(job: JobState, reason: Reason) -> None:
    fails(preflight(jobs=[job]), reason)


@pytest.mark.parametrize("exit_code", [None, 137, 143])
def test_a_job_that_was_killed_before_it_could_open_the_repository_is_made_again(
    exit_code: int | None,
) -> None:
    plan = preflight(jobs=[failed(ACCESS, exit_code=exit_code)])

    assert plan.status.phase is Phase.PENDING
    assert {type(action) for action in plan.actions} == {RequestProbe, DeleteJob}


def test_doubt_about_the_repository_has_it_opened_again_once() -> None:
    plan = preflight(jobs=[failed(ACCESS, exit_code=ExitCode.WRONG_PASSWORD)])
    assert RequestProbe("main") in plan.actions

    ended = decide(a_backup(Phase.FAILED, reason="WrongPassword"), a_world())

    assert ended.actions == []


def test_an_opening_that_cannot_start_is_taken_away() -> None:
    job = a_job(ACCESS, stuck="ErrImagePull: no such image")

    early = preflight(jobs=[job])
    late = preflight(jobs=[job], now=later(minutes=6))

    assert early.status.message == "ErrImagePull: no such image"
    fails(late, Reason.MOVER_NOT_STARTED)
    assert late.actions == [DeleteJob(job.name)]


# --- Preparing, Quiescing, Draining


def test_the_finalizer_is_set_before_the_first_stop() -> None:
    run = a_backup(Phase.PREPARING, workloads=planned(), volumes=volumes())
    plan = decide(run, a_world(jobs=all_at_gate()))

    assert (plan.status.phase, plan.finalizer, plan.actions) == (Phase.QUIESCING, True, [])


def test_workloads_are_stopped_in_the_listed_order() -> None:
    run = a_backup(Phase.QUIESCING, workloads=planned(), volumes=volumes(tree=""))

    first = decide(run, a_world())
    second = decide(run, a_world(held_web(), db()))

    assert [action.workload for action in first.actions if isinstance(action, ScaleDown)] == [WEB]
    assert [action.workload for action in second.actions if isinstance(action, ScaleDown)] == [DB]
    assert second.status.workloads[0].stopped_at == NOW


def test_when_all_are_at_zero_draining_begins() -> None:
    plan = decide(a_backup(Phase.QUIESCING, workloads=planned()), a_world(held_web(), held_db()))

    assert plan.status.phase is Phase.DRAINING


def test_interference_while_stopping_starts_what_is_down() -> None:
    plan = decide(a_backup(Phase.QUIESCING, workloads=planned()), a_world(held_web(), db(uid="uid-new")))

    fails(plan, Reason.WORKLOAD_CHANGED, phase=Phase.RESUMING)
    assert plan.finalizer is True


def drain(*pods: Any, seconds: float = 0) -> Plan[BackupStatus]:
    run = a_backup(Phase.DRAINING, workloads=stopped(), volumes=volumes())
    return decide(run, a_world(held_web(), held_db(), pods=pods, now=later(seconds=seconds)))


def test_draining_waits_for_every_pod_on_the_claims() -> None:
    plan = drain(*PODS)

    assert (plan.status.phase, plan.status.message) == (
        Phase.DRAINING,
        "waiting for the end of db-0 on node-1, web-1 on node-1",
    )


def test_nothing_is_read_before_the_claims_are_free() -> None:
    assert drain().status.phase is Phase.CAPTURING
    assert drain(a_pod("web-1", "deployment/web", "uploads", ended=True)).status.phase is Phase.CAPTURING


def test_draining_has_its_own_time() -> None:
    assert drain(*PODS, seconds=300).status.phase is Phase.DRAINING
    assert "web-1" in fails(drain(*PODS, seconds=301), Reason.DRAIN_TIMEOUT, phase=Phase.RESUMING)


@pytest.mark.parametrize(
    "meanwhile",
    [(web(), held_db()), (held_web(2), held_db()), (held_web(), db(uid="uid-new")), (held_db(),)],
    ids=["released", "scaled up", "made anew", "deleted"],
)
def test_a_drain_that_is_in_vain_ends_at_once(meanwhile: tuple[Workload, ...]) -> None:
    run = a_backup(Phase.DRAINING, workloads=stopped(), volumes=volumes())

    plan = decide(run, a_world(*meanwhile, pods=PODS))

    fails(plan, Reason.WORKLOAD_CHANGED, phase=Phase.RESUMING)


# --- deletion


@pytest.mark.parametrize("phase", [Phase.QUIESCING, Phase.DRAINING, Phase.CAPTURING, Phase.RESUMING])
def test_a_deleted_run_starts_its_workloads_and_keeps_its_finalizer_meanwhile(phase: Phase) -> None:
    run = a_backup(phase, meta={"deletionTimestamp": NOW}, workloads=stopped(), volumes=volumes())

    plan = decide(run, a_world(held_web(), held_db()))

    fails(plan, Reason.DELETED, phase=Phase.RESUMING)
    assert plan.finalizer is True
    following = a_backup(Phase.RESUMING, meta={"deletionTimestamp": NOW}, **fields_of(plan.status))
    started = decide(following, a_world(held_web(), held_db())).actions
    assert [action.workload for action in started if isinstance(action, ScaleUp)] == [DB, WEB]


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.PREFLIGHT, Phase.PREPARING])
def test_a_run_that_is_deleted_before_it_holds_anything_just_ends(phase: Phase) -> None:
    plan = decide(a_backup(phase, meta={"deletionTimestamp": NOW}), a_world())

    fails(plan, Reason.DELETED)
    assert plan.finalizer is False
    assert plan.actions == []


def fields_of(status: BackupStatus) -> dict[str, Any]:
    return {name: getattr(status, name) for name in BackupStatus.model_fields if name != "phase"}


# --- properties of any step

_JOBS = st.sets(
    st.sampled_from(
        [
            opened(),
            captured("uploads"),
            captured("data-db-0"),
            committed(),
            failed(ACCESS),
            failed("mover", part="uploads"),
        ]
    )
)
_WORLDS = st.builds(
    a_world,
    st.sampled_from(
        [web(), held_web(), held_web(2), web(0), web(uid="uid-new"), held_web(record=a_record(uid="x"))]
    ),
    st.sampled_from([db(), held_db(), db(1, ready=0), db(0)]),
    jobs=_JOBS,
    pods=st.sets(st.sampled_from((*PODS, a_pod("x", "", "uploads")))).map(tuple),
    now=st.integers(0, 4000).map(lambda seconds: later(seconds=seconds)),
    repository=st.sampled_from([a_repository(), None]),
)
_STATUSES = st.fixed_dictionaries(
    {
        "workloads": st.sampled_from(
            [planned(), stopped(), planned(web_stopped=NOW), stopped(started_at=NOW)]
        ),
        "volumes": st.just(volumes()),
    }
)
_EARLY = st.tuples(st.sampled_from([Phase.PENDING, Phase.PREFLIGHT]), st.just(dict[str, Any]()))
_LATER = [phase for phase in Phase if phase not in (Phase.PENDING, Phase.PREFLIGHT, Phase.RESTORING)]
_STATES = st.one_of(_EARLY, st.tuples(st.sampled_from(_LATER), _STATUSES))
"""Phases with what stands in status by then."""


@given(st.sampled_from([Phase.SUCCEEDED, Phase.FAILED]), _STATUSES, _WORLDS, st.booleans())
def test_a_finished_run_never_moves_again(
    phase: Phase, status: dict[str, Any], world: World, deleted: bool
) -> None:
    run = a_backup(phase, meta={"deletionTimestamp": NOW} if deleted else {}, completion_time=NOW, **status)

    plan = decide(run, world)

    assert (plan.actions, plan.events, plan.finalizer) == ([], [], False)
    kept = ("phase", "reason", "message", "completion_time", "downtime_seconds", "volumes")
    assert all(getattr(plan.status, name) == getattr(run.status, name) for name in kept)


@given(_STATES, _WORLDS, st.booleans())
def test_every_state_has_a_next_step_that_can_be_written_and_the_same_one_each_time(
    state: tuple[Phase, dict[str, Any]], world: World, deleted: bool
) -> None:
    phase, status = state
    run = a_backup(phase, meta={"deletionTimestamp": NOW} if deleted else {}, **status)

    plan = decide(run, world)

    assert BackupStatus.model_validate(plan.status.model_dump()) == plan.status
    assert plan == decide(run, world)
    assert plan.status.phase.finished or plan.again_seconds is not None


@given(_STATES, _WORLDS, st.booleans())
def test_a_run_that_stops_or_holds_anything_has_its_finalizer(
    state: tuple[Phase, dict[str, Any]], world: World, deleted: bool
) -> None:
    phase, status = state
    plan = decide(a_backup(phase, meta={"deletionTimestamp": NOW} if deleted else {}, **status), world)

    if any(isinstance(action, ScaleDown) for action in plan.actions):
        assert plan.finalizer is True
        assert not deleted
        assert not plan.status.reason


@given(_STATUSES, _WORLDS)
def test_nothing_is_read_while_somebody_else_has_a_claim(status: dict[str, Any], world: World) -> None:
    plan = decide(a_backup(Phase.CAPTURING, **{**status, "volumes": volumes()}), world)

    if world.consumers(frozenset({"uploads", "data-db-0"})):
        assert jobs_made(plan) == []
        assert plan.status.reason


@given(_STATUSES, _WORLDS)
def test_no_run_with_a_reason_ever_succeeds(status: dict[str, Any], world: World) -> None:
    run = a_backup(Phase.RESUMING, **{**status, "reason": "Tainted"})

    assert decide(run, world).status.phase in (Phase.RESUMING, Phase.FAILED)
