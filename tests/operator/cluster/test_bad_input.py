"""What anybody can write on an object of theirs: it makes no look at a namespace fail."""

from typing import Any

import pytest
from kubernetes.aio.client import V1Job, V1Pod, V1PodSpec

from becalm_operator.api import names
from becalm_operator.api.identity import Identity
from becalm_operator.cluster import views
from becalm_operator.cluster.identities import identities


def a_job() -> V1Job:
    made = V1Job.from_dict(
        {"metadata": {"name": "j", "uid": "u", "creationTimestamp": "2026-11-27T12:00:00Z"}}
    )
    assert made is not None
    return made


def a_pod(annotations: dict[str, str]) -> V1Pod:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": True}
    metadata = {"name": "p", "annotations": annotations, "ownerReferences": [owner]}
    spec = {"containers": [{"name": "becalm"}]}
    made = V1Pod.from_dict({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}})
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("text", "calls"), [("2", 2), ("", 0), ("x", 0), ("-1", 0), ("²", 0), ("1_0", 0), ("9" * 5000, 0)]
)
def test_a_number_of_calls_that_is_none_counts_as_none(text: str, calls: int) -> None:
    pod = a_pod({names.GATE_CALLS_ANNOTATION: text})

    assert views.job_view(a_job(), [pod], {}).gate_calls == calls


def test_a_pod_whose_gate_nobody_has_called_at_has_no_calls() -> None:
    assert views.job_view(a_job(), [a_pod({})], {}).gate_calls == 0


def used(groups: int, **context: Any) -> Identity:
    shared = {"runAsUser": 1000, "supplementalGroups": list(range(groups)), **context}
    volumes = [{"name": "files", "persistentVolumeClaim": {"claimName": "data"}}]
    pod = V1PodSpec.from_dict({"containers": [{"name": "c"}], "securityContext": shared, "volumes": volumes})
    assert pod is not None
    return identities(pod)["data"]


def test_a_user_in_more_groups_than_a_mover_can_have_is_not_known() -> None:
    assert used(64).run_as_user == 1000
    assert used(65) == Identity()
