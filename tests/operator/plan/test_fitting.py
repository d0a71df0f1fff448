"""Movers without room beside the workload: postponed where the stop makes room, and nowhere else."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import BackupStatus, Phase, VolumeStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.manifests.jobs import MOVER
from becalm_operator.plan import backup
from becalm_operator.plan.fitting import lacking
from becalm_operator.plan.steps import DeleteJob, Plan
from becalm_operator.plan.world import JobState, Pod
from tests.operator.plan.worlds import (
    NOW,
    a_backup,
    a_job,
    a_pod,
    a_world,
    at_gate,
    held_db,
    held_web,
    jobs_made,
    planned,
    stopped,
)

NO_MEMORY = (
    "Unschedulable: 0/2 nodes are available: 1 Insufficient memory, 1 node(s) didn't satisfy plugin(s)."
)
VOLUMES = tuple(VolumeStatus(claim=claim, node="node-1") for claim in ("uploads", "data-db-0"))


def memory(amount: int) -> dict[str, Decimal]:
    return {"memory": Decimal(amount)}


def stuck(claim: str = "uploads", why: str = NO_MEMORY, **more: Any) -> JobState:
    return a_job(MOVER, claim, stuck=why, pod=f"pod-{claim}", **more)


def pending(claim: str = "uploads", **requests: Any) -> Pod:
    return Pod(f"pod-{claim}", "job/x", (claim,), ours=True, requests=requests or memory(100))


def shop(amount: int, node: str = "node-1") -> tuple[Pod, ...]:
    of_web = Pod("web-1", "deployment/web", ("uploads",), node, requests=memory(amount))
    return of_web, a_pod("db-0", "statefulset/db", "data-db-0")


def prepare(
    *jobs: JobState, pods: tuple[Pod, ...], age: timedelta = timedelta(minutes=6), **status: Any
) -> Plan[BackupStatus]:
    run = a_backup(Phase.PREPARING, **{"workloads": planned(), "volumes": VOLUMES, **status})
    return backup.decide(run, a_world(jobs=jobs, pods=pods, now=NOW + age))


def test_a_mover_that_the_stop_makes_room_for_goes_and_says_why() -> None:
    late = stuck()

    plan = prepare(late, at_gate("data-db-0"), pods=(*shop(100), pending()))

    assert plan.status.phase is Phase.PREPARING
    assert list(plan.actions) == [DeleteJob(late.name)]
    uploads, data = plan.status.volumes
    assert uploads.not_pre_copied == f"its mover had no room on node-1 beside the workload: {NO_MEMORY}"
    assert data.not_pre_copied == ""


def test_it_comes_once_all_stands_still_and_without_a_gate() -> None:
    volumes = (VOLUMES[0].model_copy(update={"not_pre_copied": "no room"}), VOLUMES[1])

    gone = prepare(at_gate("data-db-0"), pods=shop(100), volumes=volumes)
    down = a_backup(Phase.CAPTURING, workloads=stopped(), volumes=volumes)
    capturing = backup.decide(down, a_world(held_web(), held_db(), jobs=[at_gate("data-db-0", gate="open")]))

    assert gone.status.phase is Phase.QUIESCING
    assert jobs_made(capturing) == [MOVER]


def test_nothing_is_stopped_before_it_has_gone() -> None:
    volumes = (VOLUMES[0].model_copy(update={"not_pre_copied": "no room"}), VOLUMES[1])

    plan = prepare(stuck(), at_gate("data-db-0"), pods=(*shop(100), pending()), volumes=volumes)

    assert (plan.status.phase, list(plan.actions)) == (Phase.PREPARING, [DeleteJob(stuck().name)])


def test_it_is_waited_for_as_long_as_any_other() -> None:
    plan = prepare(stuck(), at_gate("data-db-0"), pods=(*shop(100), pending()), age=timedelta(minutes=4))

    assert (plan.status.message, list(plan.actions)) == (NO_MEMORY, [])


@pytest.mark.parametrize(
    ("why", "pods"),
    [
        (NO_MEMORY, (*shop(99), pending())),
        (NO_MEMORY, (*shop(100, node="node-2"), pending())),
        (NO_MEMORY, shop(100)),
        (NO_MEMORY, (*shop(100), pending(cpu=Decimal(1)))),
        (NO_MEMORY.replace("memory", "cpu"), (*shop(100), pending(cpu=Decimal(1)))),
        ("Unschedulable: 1 node(s) had untolerated taint(s)", (*shop(100), pending())),
        ("ErrImagePull: no such image", (*shop(100), pending())),
    ],
    ids=[
        "the workload gives back too little",
        "it gives it back elsewhere",
        "nobody knows what the mover asks for",
        "the mover does not ask for it",
        "another resource lacks",
        "it is not about room",
        "it is not about nodes",
    ],
)
def test_what_the_stop_does_not_help_fails_the_run_and_stops_nothing(why: str, pods: tuple[Pod, ...]) -> None:
    plan = prepare(stuck(why=why), at_gate("data-db-0"), pods=pods)

    assert (plan.status.phase, plan.status.reason) == (Phase.FAILED, Reason.MOVER_NOT_STARTED.value)


def test_room_for_one_is_not_room_for_two() -> None:
    both = (stuck(), stuck("data-db-0"))

    plan = prepare(*both, pods=(*shop(150), pending(), pending("data-db-0")))

    assert plan.status.reason == Reason.MOVER_NOT_STARTED.value


def test_a_workload_that_is_at_zero_gives_nothing_back() -> None:
    idle = tuple(state.model_copy(update={"replicas": 0}) for state in planned())

    plan = prepare(stuck(), at_gate("data-db-0"), pods=(*shop(100), pending()), workloads=idle)

    assert plan.status.reason == Reason.MOVER_NOT_STARTED.value


def test_a_node_with_too_many_pods_has_room_when_one_has_gone() -> None:
    plan = prepare(
        stuck(why="Unschedulable: 1 Too many pods"), at_gate("data-db-0"), pods=(*shop(0), pending())
    )

    assert list(plan.actions) == [DeleteJob(stuck().name)]


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_a_mover_is_postponed_only_if_the_stop_gives_back_what_it_lacks(
    wanted: int, back: int, elsewhere: int
) -> None:
    pods = (*shop(back), pending(memory=Decimal(wanted)))
    other = Pod("web-2", "deployment/web", ("uploads",), "node-2", requests=memory(elsewhere))
    stranger = Pod("x", "deployment/x", (), "node-1", requests=memory(elsewhere))

    plan = prepare(stuck(), at_gate("data-db-0"), pods=(*pods, other, stranger))

    assert bool(plan.status.volumes[0].not_pre_copied) is (0 < wanted <= back)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (NO_MEMORY, {"memory"}),
        (
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: none.",
            {"cpu", "memory"},
        ),
        ("1 Insufficient nvidia.com/gpu.", {"nvidia.com/gpu"}),
        ("1 Too many pods.", {"pods"}),
        ("node(s) had no available disk", set()),
    ],
)
def test_what_lacks_is_read_from_the_schedulers_words(words: str, what: set[str]) -> None:
    assert lacking(words) == what
