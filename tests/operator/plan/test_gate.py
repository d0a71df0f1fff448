"""Movers that wait at their gates: before anything stops, while workloads go down, and when all stands still."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import CaptureReport, ExitCode, Problem
from becalm_operator.api.backup import BackupStatus, Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.manifests.jobs import MOVER
from becalm_operator.plan import backup
from becalm_operator.plan.deadlines import PREPARING_TIMEOUT
from becalm_operator.plan.gate import ALONE, openings, until_next_call
from becalm_operator.plan.run import WATCHED
from becalm_operator.plan.steps import ApplyJob, DeleteJob, OpenGate, Plan, ScaleDown
from becalm_operator.plan.world import Claim, JobState, Pod, Workload
from tests.operator.plan.worlds import (
    NOW,
    PODS,
    a_backup,
    a_job,
    a_pod,
    a_world,
    all_at_gate,
    at_gate,
    captured,
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

BackupPlan = Plan[BackupStatus]
ONE_POD = {name: Claim(name, bound=True, one_pod=True) for name in ("uploads", "data-db-0")}


def prepare(*jobs: JobState, spec: dict[str, Any] | None = None, **world: Any) -> BackupPlan:
    run = a_backup(Phase.PREPARING, spec=spec, workloads=planned(), volumes=volumes())
    return backup.decide(run, a_world(jobs=jobs, **world))


def commands(plan: BackupPlan) -> list[list[str]]:
    made = [action.job for action in plan.actions if isinstance(action, ApplyJob)]
    pods = [job.spec.template.spec for job in made if job.spec and job.spec.template.spec]
    return [pod.containers[0].command or [] for pod in pods]


# --- Preparing


def test_movers_are_started_before_anything_stops() -> None:
    plan = prepare()

    assert (plan.status.phase, jobs_made(plan)) == (Phase.PREPARING, [MOVER, MOVER])
    assert all("--pre-copy" in command for command in commands(plan))
    assert plan.finalizer is not True  # nothing is down: a deletion need not wait


def test_without_a_first_pass_they_are_started_all_the_same() -> None:
    made = commands(prepare(spec={"quiesce": {"preCopy": False}}))

    assert len(made) == 2
    for command in made:
        assert "--pre-copy" not in command
        assert any(argument.startswith("--gate=") for argument in command)


def test_nothing_is_stopped_before_each_mover_is_ready() -> None:
    plan = prepare(at_gate("uploads"), at_gate("data-db-0", ready=False))

    assert (plan.status.phase, plan.actions) == (Phase.PREPARING, [])
    assert plan.status.message == "reading ahead: 1 of 2 volumes ready"
    assert plan.again_seconds


def test_when_all_are_ready_workloads_are_stopped() -> None:
    plan = prepare(*all_at_gate())

    assert (plan.status.phase, plan.actions, plan.finalizer) == (Phase.QUIESCING, [], True)


def test_counts_are_those_of_the_moment_when_all_are_ready() -> None:
    run = a_backup(Phase.PREPARING, workloads=planned(), volumes=volumes())

    plan = backup.decide(run, a_world(web(5), db(), pods=PODS, jobs=all_at_gate()))

    assert [state.replicas for state in plan.status.workloads] == [5, 1]


def test_a_claim_of_one_pod_gets_its_mover_when_all_stands_still() -> None:
    run = a_backup(Phase.PREFLIGHT)
    planned_with = backup.decide(run, a_world(jobs=[opened()], claims=ONE_POD)).status

    assert [volume.not_pre_copied for volume in planned_with.volumes] == [ALONE, ALONE]
    waiting = a_backup(Phase.PREPARING, workloads=planned(), volumes=planned_with.volumes)
    plan = backup.decide(waiting, a_world(claims=ONE_POD))
    assert (plan.status.phase, plan.actions) == (Phase.QUIESCING, [])
    down = a_backup(Phase.CAPTURING, workloads=stopped(), volumes=planned_with.volumes)
    capturing = backup.decide(down, a_world(held_web(), held_db(), claims=ONE_POD))
    assert jobs_made(capturing) == [MOVER, MOVER]
    assert not any(argument.startswith("--gate") for command in commands(capturing) for argument in command)


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (failed(MOVER, "", "uploads", exit_code=None), Reason.MOVER_FAILED),
        (failed(MOVER, "", "uploads", exit_code=ExitCode.WRONG_PASSWORD), Reason.WRONG_PASSWORD),
        (
            failed(MOVER, CaptureReport(exit_code=1, error=Problem("StorageDenied", "403")), "uploads"),
            Reason.STORAGE_DENIED,
        ),
        (captured("uploads"), Reason.MOVER_FAILED),  # it has ended, and nobody has opened its gate
    ],
)
def test_a_mover_that_does_not_get_to_its_gate_fails_the_run_and_stops_nothing(
    job: JobState, reason: Reason
) -> None:
    other = at_gate("data-db-0")

    plan = prepare(job, other)

    assert fails(plan, reason).startswith("claim uploads: ")
    assert DeleteJob(other.name) in plan.actions
    assert not any(isinstance(action, ScaleDown) for action in plan.actions)
    assert plan.status.volumes[0].error
    assert plan.status.volumes[1].error == ""


def test_a_mover_that_cannot_start_is_told_of_and_given_up_in_time() -> None:
    stuck = a_job(MOVER, "uploads", stuck="Unschedulable: quota")

    assert prepare(stuck, at_gate("data-db-0")).status.message == "Unschedulable: quota"
    late = prepare(stuck, at_gate("data-db-0"), now=later(minutes=6))
    fails(late, Reason.MOVER_NOT_STARTED)
    assert DeleteJob(stuck.name) in late.actions


def test_reading_ahead_does_not_last_for_ever() -> None:
    slow = all_at_gate(ready=False)

    assert prepare(*slow, now=NOW + PREPARING_TIMEOUT).status.phase is Phase.PREPARING
    plan = prepare(*slow, now=NOW + PREPARING_TIMEOUT + timedelta(seconds=1))
    assert "uploads, data-db-0" in fails(plan, Reason.MOVER_FAILED)
    assert plan.actions == [DeleteJob(job.name) for job in slow]


MOVERS_POD = a_pod("pod-uploads", "job/x", "uploads", ours=True)


@pytest.mark.parametrize("phase", [Phase.PREPARING, Phase.QUIESCING])
def test_a_mover_makes_way_for_a_pod_that_was_placed_elsewhere(phase: Phase) -> None:
    moved = Pod("web-2", "deployment/web", ("uploads",), "node-2")
    run = a_backup(phase, workloads=planned(), volumes=volumes())

    plan = backup.decide(run, a_world(web(), db(), pods=(MOVERS_POD, moved), jobs=all_at_gate()))

    assert "web-2 was placed on node-2" in fails(plan, Reason.WORKLOAD_CHANGED)
    assert [action for action in plan.actions if isinstance(action, DeleteJob)]


def test_a_claim_that_many_nodes_mount_is_in_nobodys_way() -> None:
    everywhere = {name: Claim(name, bound=True, node_bound=False) for name in ("uploads", "data-db-0")}
    other = Pod("web-2", "deployment/web", ("uploads",), "node-2")

    plan = prepare(*all_at_gate(), pods=(*PODS, MOVERS_POD, other), claims=everywhere)

    assert plan.status.phase is Phase.QUIESCING


def test_a_claim_that_came_meanwhile_is_not_left_out_in_silence() -> None:
    run = a_backup(Phase.PREPARING, workloads=planned(), volumes=volumes())
    wider = Workload(db().reference, "uid-db", "8", 2, ready=2, claims=("data-db-0", "data-db-1"))

    plan = backup.decide(run, a_world(web(), wider, jobs=all_at_gate()))

    assert "data-db-1" in fails(plan, Reason.WORKLOAD_CHANGED)


def test_a_stranger_that_came_meanwhile_is_refused() -> None:
    fails(prepare(*all_at_gate(), pods=(*PODS, a_pod("x", "", "uploads"))), Reason.CLAIM_IN_USE)


def test_a_repository_that_is_deleted_meanwhile_ends_the_run() -> None:
    fails(prepare(*all_at_gate(), repository=None), Reason.REPOSITORY_NOT_READY)


def test_a_deletion_takes_the_movers_away() -> None:
    run = a_backup(Phase.PREPARING, meta={"deletionTimestamp": NOW}, workloads=planned(), volumes=volumes())
    movers = all_at_gate()

    plan = backup.decide(run, a_world(jobs=movers))

    fails(plan, Reason.DELETED)
    assert plan.actions == [DeleteJob(job.name) for job in movers]


# --- Quiescing, Draining


@pytest.mark.parametrize("phase", [Phase.QUIESCING, Phase.DRAINING])
def test_a_mover_that_dies_at_its_gate_starts_what_is_down(phase: Phase) -> None:
    run = a_backup(phase, workloads=stopped(), volumes=volumes())
    jobs = (failed(MOVER, "", "uploads", exit_code=None), at_gate("data-db-0"))

    plan = backup.decide(run, a_world(held_web(), held_db(), jobs=jobs))

    assert "killed, or evicted" in fails(plan, Reason.MOVER_FAILED, phase=Phase.RESUMING)


# --- Capturing


def capture(*jobs: JobState, **world: Any) -> BackupPlan:
    run = a_backup(Phase.CAPTURING, workloads=stopped(), volumes=volumes())
    return backup.decide(run, a_world(held_web(), held_db(), jobs=jobs, **world))


def test_gates_are_opened_when_all_stands_still() -> None:
    plan = capture(*all_at_gate())

    assert plan.actions == [OpenGate("pod-uploads"), OpenGate("pod-data-db-0")]


def test_a_gate_that_is_open_is_left_alone() -> None:
    plan = capture(at_gate("uploads", gate="open"), at_gate("data-db-0"))

    assert plan.actions == [OpenGate("pod-data-db-0")]


@pytest.mark.parametrize(
    ("seconds", "seen", "calls"),
    [(0.9, 0, None), (1, 0, 1), (6, 1, 2), (6, 2, None), (40, 2, 5), (4000, 5, None)],
)
def test_a_node_that_may_have_missed_the_opening_is_called_again_and_not_for_ever(
    seconds: float, seen: int, calls: int | None
) -> None:
    since, open_gate = NOW, at_gate("uploads", gate="open", gate_calls=seen)
    without, ended = a_job(MOVER, "data-db-0", active=True), captured("data-db-0")

    made = openings([open_gate, without, ended], since, since + timedelta(seconds=seconds))

    assert made == ([OpenGate("pod-uploads", calls)] if calls else [])


def test_a_gate_is_called_at_while_its_volume_is_read() -> None:
    plan = capture(at_gate("uploads", gate="open"), captured("data-db-0"), now=later(seconds=4))

    assert plan.actions == [OpenGate("pod-uploads", 2)]


def test_no_gate_is_opened_while_somebody_mounts_a_claim() -> None:
    plan = capture(*all_at_gate(), pods=(a_pod("x", "", "uploads"),))

    fails(plan, Reason.TAINTED, phase=Phase.RESUMING)
    assert not any(isinstance(action, OpenGate) for action in plan.actions)


def test_what_was_read_ahead_stands_in_status_and_so_does_why_not() -> None:
    first = captured("uploads", pre_copied=True)
    second = captured("data-db-0", not_pre_copied="/data/data-db-0 is tmpfs")

    told = [(volume.pre_copied, volume.not_pre_copied) for volume in capture(first, second).status.volumes]

    assert told == [(True, ""), (False, "/data/data-db-0 is tmpfs")]


# --- whatever movers do

STATES = st.sampled_from(
    [
        None,
        {"ready": False, "gate": "", "pod": ""},
        {"ready": False},
        {},
        {"gate": "open"},
        {"active": False, "failed": True},
        {"active": False, "succeeded": True, "exit_code": 0},
    ]
)


@given(
    st.sampled_from([Phase.PREPARING, Phase.QUIESCING, Phase.DRAINING, Phase.CAPTURING]),
    st.tuples(STATES, STATES),
    st.booleans(),
)
def test_gates_open_behind_everything_else_and_nothing_stops_before_they_are_reached(
    phase: Phase, states: tuple[dict[str, Any] | None, ...], is_down: bool
) -> None:
    claims = ("uploads", "data-db-0")
    jobs = [at_gate(claim, **more) for claim, more in zip(claims, states, strict=True) if more is not None]
    is_down = is_down and phase is not Phase.PREPARING
    run = a_backup(phase, workloads=stopped() if is_down else planned(), volumes=volumes())
    workloads = (held_web(), held_db()) if is_down else (web(), db())
    plan = backup.decide(run, a_world(*workloads, pods=() if is_down else PODS, jobs=jobs))

    if any(isinstance(action, OpenGate) for action in plan.actions):
        assert (phase, is_down) == (Phase.CAPTURING, True)
    if phase is Phase.PREPARING:
        assert not any(isinstance(action, ScaleDown) for action in plan.actions)
        all_ready = len(jobs) == 2 and all(job.ready and not job.finished for job in jobs)
        assert (plan.status.phase is Phase.QUIESCING) == all_ready


@pytest.mark.parametrize(
    ("seconds", "left"), [(0, 1), (0.25, 0.75), (1, 2), (6, 1), (15, 16), (31, WATCHED), (99, WATCHED)]
)
def test_a_run_looks_again_when_a_node_has_to_be_called(seconds: float, left: float) -> None:
    assert until_next_call(NOW, NOW + timedelta(seconds=seconds)) == left
