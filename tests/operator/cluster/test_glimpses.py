from typing import Any

import pytest

from becalm_operator.cluster import glimpses as module
from becalm_operator.cluster.glimpses import Glimpses

RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-11-29T12:00:00Z"}}
CREATING: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
ENDED: dict[str, Any] = {"terminated": {"exitCode": 0}}


def a_pod(phase: str = "Pending", state: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    statuses = [{"name": "becalm", "state": state, "containerID": changes.get("container", "")}]
    return {
        "kind": "Pod",
        "metadata": {"uid": "p1", "resourceVersion": "1", **changes.get("metadata", {})},
        "spec": {"nodeName": changes.get("node", "node1")},
        "status": {
            "phase": phase,
            "conditions": changes.get("conditions", []),
            changes.get("list", "containerStatuses"): statuses if state else [],
        },
    }


def a_job(*conditions: dict[str, str], **status: Any) -> dict[str, Any]:
    metadata = {"uid": "j1", "labels": None}
    return {"kind": "Job", "metadata": metadata, "status": {"conditions": list(conditions), **status}}


def news(*documents: dict[str, Any]) -> list[bool]:
    glimpses = Glimpses()
    return [glimpses.is_news({"type": "MODIFIED", "object": document}) for document in documents]


def condition(kind: str, status: str = "True", reason: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason}


def test_what_the_kubelet_does_to_start_a_container_is_no_news() -> None:
    steps = [
        a_pod(),
        a_pod(conditions=[condition("PodScheduled")]),
        a_pod(state=CREATING, conditions=[condition("Ready", "False")]),
        a_pod("Running", RUNNING, metadata={"resourceVersion": "2"}),
    ]

    assert news(*steps) == [True, False, False, False]


def test_the_clean_up_after_a_pod_has_ended_is_no_news() -> None:
    held = a_pod("Succeeded", ENDED, metadata={"finalizers": ["batch.kubernetes.io/job-tracking"]})

    assert news(held, a_pod("Succeeded", ENDED)) == [True, False]


@pytest.mark.parametrize(
    "after",
    [
        a_pod("Running", RUNNING, conditions=[condition("Ready")]),
        a_pod("Running", ENDED),
        a_pod("Running", ENDED, list="initContainerStatuses"),
        a_pod("Running", ENDED, list="ephemeralContainerStatuses"),
        a_pod("Succeeded"),
        a_pod("Failed"),
        a_pod(state={"waiting": {"reason": "ImagePullBackOff"}}),
        a_pod(conditions=[condition("PodScheduled", "False", "Unschedulable")]),
        a_pod(node="node2"),
        a_pod(metadata={"deletionTimestamp": "2026-11-29T12:00:00Z"}),
        a_pod(metadata={"labels": {"app": "web"}}),
        a_pod(metadata={"annotations": {"becalm.dev/gate": "open"}}),
    ],
)
def test_what_anybody_decides_by_is_news_once(after: dict[str, Any]) -> None:
    assert news(a_pod(), after, after) == [True, True, False]


def test_how_a_container_has_ended_is_news() -> None:
    assert news(a_pod("Running", ENDED), a_pod("Running", {"terminated": {"exitCode": 1}})) == [True, True]


def test_a_job_is_news_when_it_is_made_and_when_it_ends() -> None:
    steps = [
        a_job(),
        a_job(active=1, ready=0),
        a_job(condition("Suspended", "False"), active=1, ready=1),
        a_job(condition("SuccessCriteriaMet"), uncountedTerminatedPods={"succeeded": ["p1"]}),
        a_job(condition("SuccessCriteriaMet"), condition("Complete"), succeeded=1),
    ]

    assert news(*steps) == [True, False, False, True, False]


def test_why_a_job_has_failed_is_news() -> None:
    target = condition("FailureTarget", reason="BackoffLimitExceeded")

    assert news(a_job(), a_job(target), a_job(condition("Failed", reason="DeadlineExceeded"))) == [True] * 3


def test_what_is_gone_is_news_and_forgotten() -> None:
    glimpses = Glimpses()
    assert glimpses.is_news({"type": "ADDED", "object": a_pod()})
    assert glimpses.is_news({"type": "DELETED", "object": a_pod()})
    assert glimpses.is_news({"type": "ADDED", "object": a_pod()})
    assert len(glimpses._seen) == 1


def test_not_everything_is_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 10)
    glimpses = Glimpses()
    for number in range(100):
        glimpses.is_news({"type": "ADDED", "object": a_pod(metadata={"uid": str(number)})})
    assert len(glimpses._seen) <= 10
