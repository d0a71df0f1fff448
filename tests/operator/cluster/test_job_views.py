"""What decisions see of Jobs and of their pods."""

from datetime import timedelta
from typing import Any

import pytest
from kubernetes.aio.client import V1Container, V1Job

from becalm_operator.cluster import views
from tests.operator.cluster.examples import ENDED, FAILED, NOON, a_pod, becalm_container, controller


@pytest.mark.parametrize(("names", "told"), [(["own", "mesh"], "own"), (["mesh", "becalm"], "becalm")])
def test_the_end_of_a_pod_is_that_of_our_container_or_else_of_its_first(names: list[str], told: str) -> None:
    ends = {name: {"terminated": {"exitCode": at, "message": name}} for at, name in enumerate(names)}
    containers = [{**becalm_container(ends[name])[0], "name": name} for name in reversed(names)]
    pod = a_pod("Failed", owners=OURS, containers=containers)
    assert pod.spec is not None
    pod.spec.containers = [V1Container(name=name) for name in names]

    assert views.job_view(a_job(), [pod], {}).report == told


def a_job(conditions: list[dict[str, str]] | None = None) -> V1Job:
    made = V1Job.from_dict(
        {
            "metadata": {"name": "mover", "uid": "j1", "creationTimestamp": "2026-11-27T12:00:00Z"},
            "status": {"conditions": conditions or []},
        }
    )
    assert made is not None
    return made


OURS = controller("Job", "mover")


def test_a_job_whose_pod_runs_is_active() -> None:
    seen = views.job_view(a_job(), [a_pod(owners=OURS)], {})

    assert seen.active
    assert not seen.finished


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False)])
def test_a_job_shows_its_pod_its_gate_and_whether_it_is_ready(status: str, ready: bool) -> None:
    pod = a_pod(owners=OURS, conditions=[{"type": "Ready", "status": status}])
    assert pod.metadata is not None
    pod.metadata.annotations = {"becalm.dev/gate": "closed", "becalm.dev/gate-calls": "3"}

    seen = views.job_view(a_job(), [pod], {})

    assert (seen.pod, seen.gate, seen.gate_calls, seen.ready) == ("web-1", "closed", 3, ready)
    without = views.job_view(a_job(), [], {})
    assert (without.pod, without.gate, without.gate_calls, without.ready) == ("", "", 0, False)


def test_a_pod_that_has_ended_well_counts_before_its_job_does() -> None:
    ended = becalm_container({"terminated": {"exitCode": 0, "message": '{"kind":"capture"}'}})

    seen = views.job_view(a_job(), [a_pod("Succeeded", owners=OURS, containers=ended)], {})

    assert (seen.succeeded, seen.failed, seen.active) == (True, False, False)
    assert (seen.exit_code, seen.report) == (0, '{"kind":"capture"}')


@pytest.mark.parametrize("told", ["Pending", "Running"])
@pytest.mark.parametrize(("state", "succeeded"), [(ENDED, True), (FAILED, False)])
def test_a_containers_end_counts_before_the_phase_of_its_pod_does(
    state: dict[str, Any], told: str, *, succeeded: bool
) -> None:
    pod = a_pod(told, owners=OURS, restart="Never", containers=becalm_container(state))

    seen = views.job_view(a_job(), [pod], {})

    assert (seen.succeeded, seen.failed) == (succeeded, not succeeded)
    assert (seen.active, seen.lingers) == (False, True)


@pytest.mark.parametrize(("reason", "overdue"), [("DeadlineExceeded", True), ("BackoffLimitExceeded", False)])
def test_a_job_that_took_longer_than_it_may_is_overdue(reason: str, overdue: bool) -> None:
    job = a_job([{"type": "Failed", "status": "True", "reason": reason}])

    seen = views.job_view(job, [], {})

    assert (seen.failed, seen.overdue) == (True, overdue)


def test_a_pod_whose_phase_is_final_does_not_linger() -> None:
    ended = becalm_container(ENDED)

    assert not views.job_view(a_job(), [a_pod("Succeeded", owners=OURS, containers=ended)], {}).lingers


def test_a_pod_that_has_failed_shows_its_exit_code_and_report() -> None:
    ended = becalm_container({"terminated": {"exitCode": 12, "message": "{}"}})

    seen = views.job_view(a_job(), [a_pod("Failed", owners=OURS, containers=ended)], {})

    assert (seen.failed, seen.exit_code, seen.report) == (True, 12, "{}")


def test_the_pod_of_a_dump_shows_how_each_of_its_containers_has_ended() -> None:
    dumped = {"exitCode": 2, "message": "not a report", "finishedAt": "2026-11-27T12:00:09Z"}
    containers = [
        *becalm_container({"terminated": {"exitCode": 0, "message": "{}"}}),
        *becalm_container({"terminated": dumped}, "dump"),
    ]

    seen = views.job_view(a_job(), [a_pod("Failed", owners=OURS, containers=containers)], {})

    assert (seen.failed, seen.exit_code, seen.report) == (True, 0, "{}")
    assert (seen.dump_exit_code, seen.dump_ended_at) == (2, NOON + timedelta(seconds=9))


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("Error", ""),
        ("Completed", ""),
        (None, ""),
        ("OOMKilled", "OOMKilled"),
        ("StartError", "StartError: no sh"),
    ],
)
def test_why_a_dumps_container_was_ended_is_told_but_not_what_its_program_said(
    reason: str | None, told: str
) -> None:
    ended = {"terminated": {"exitCode": 1, "reason": reason, "message": "no sh"}}

    seen = views.job_view(a_job(), [a_pod(owners=OURS, containers=becalm_container(ended, "dump"))], {})

    assert seen.dump_reason == told


def test_a_job_that_has_failed_without_a_pod_has_no_exit_code() -> None:
    seen = views.job_view(a_job([{"type": "Failed", "status": "True"}]), [], {})

    assert (seen.failed, seen.exit_code, seen.report) == (True, None, "")


def test_pods_of_other_jobs_say_nothing() -> None:
    seen = views.job_view(a_job(), [a_pod("Failed", owners=controller("Job", "other"))], {})

    assert not seen.finished
    assert not seen.active


def test_a_pod_that_cannot_start_says_why() -> None:
    waiting = becalm_container({"waiting": {"reason": "ErrImageNeverPull", "message": "no such image"}})
    pod = a_pod("Pending", owners=OURS, containers=waiting)

    assert views.job_view(a_job(), [pod], {}).stuck == "ErrImageNeverPull: no such image"


def test_a_pod_whose_first_container_cannot_be_made_says_why() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    first = becalm_container(waiting, "pipe")
    pod = a_pod(
        "Pending",
        owners=OURS,
        init=first,
        containers=becalm_container({"waiting": {"reason": "PodInitializing"}}),
    )

    assert views.job_view(a_job(), [pod], {}).stuck == "ErrImagePull: no such image"


def test_a_pod_that_cannot_be_placed_says_why() -> None:
    nowhere = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]

    assert views.stuck_reason(a_pod("Pending", conditions=nowhere), {}) == "Unschedulable: 0/3 nodes"


def test_events_say_why_a_volume_cannot_be_mounted() -> None:
    assert views.stuck_reason(a_pod("Pending"), {"p1": "FailedMount: no secret"}) == "FailedMount: no secret"
    assert views.job_view(a_job(), [], {"j1": "FailedCreate: quota"}).stuck == "FailedCreate: quota"


def test_a_running_pod_is_not_stuck() -> None:
    assert views.stuck_reason(a_pod("Running"), {"p1": "an old warning"}) == ""
