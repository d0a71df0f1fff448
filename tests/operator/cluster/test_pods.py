"""Pods of which less is read than the API server sends: enough for every decision."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio.client import ApiClient, Configuration, V1Job, V1ObjectMeta, V1Pod

from becalm_operator.api import names
from becalm_operator.cluster import views
from becalm_operator.cluster.identities import identities
from becalm_operator.cluster.movers import movers
from becalm_operator.cluster.pods import Pods, lean_pod
from becalm_operator.errors import RefusedError
from tests.operator.cluster.examples import NOON, becalm_container, controller
from tests.operator.handlers.api import FakeApiServer, fake_api_server

_WHEN = "2026-11-27T12:00:00Z"
_USERS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "runAsUser": st.integers(0, 3),
        "runAsGroup": st.integers(0, 3),
        "runAsNonRoot": st.booleans(),
        "seLinuxOptions": st.just({"level": "s0:c1,c2"}),
    },
)
_GROUPS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={"fsGroup": st.integers(1, 3), "supplementalGroups": st.lists(st.integers(1, 3), max_size=2)}
)
_SOURCES: list[dict[str, Any]] = [
    {"persistentVolumeClaim": {"claimName": "data"}},
    {"persistentVolumeClaim": {"claimName": "more", "readOnly": True}},
    {"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}},
    {"emptyDir": {}},
    {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
]
_VOLUMES: st.SearchStrategy[list[dict[str, Any]]] = st.lists(st.sampled_from(_SOURCES), max_size=3).map(
    lambda sources: [{"name": f"v{number}", **source} for number, source in enumerate(sources)]
)
_STATES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {},
        {"running": {"startedAt": _WHEN}},
        {"waiting": {"reason": "ErrImagePull", "message": "no such image"}},
        {"terminated": {"exitCode": 0, "finishedAt": _WHEN, "message": '{"tree": "1"}'}},
        {"terminated": {"exitCode": 1, "finishedAt": _WHEN, "reason": "StartError", "message": "no"}},
    ]
)
_CONDITIONS = st.lists(
    st.sampled_from(
        [
            {"type": "Ready", "status": "True"},
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"},
        ]
    ),
    max_size=2,
)
_LABELS = {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.OWNER_UID_LABEL: "mine"}
_NAMES = st.sampled_from(["becalm", "dump", "app"])


def _container(name: str, user: dict[str, Any], volume: int) -> dict[str, Any]:
    """Return a container with much that nobody decides by."""
    return {
        "name": name,
        "image": "app:1",
        "command": ["run"],
        "args": ["--fast"],
        "env": [{"name": "A", "value": "1"}],
        "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
        "resources": {"requests": {"cpu": "10m", "memory": "1Mi"}},
        "securityContext": user,
        "volumeMounts": [{"name": f"v{volume}", "mountPath": "/data"}],
    }


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    """Return a pod as the API server sends it."""
    metadata: dict[str, Any] = {
        "name": "p",
        "namespace": "shop",
        "uid": "p1",
        "creationTimestamp": _WHEN,
        "labels": draw(st.sampled_from([{}, _LABELS, {**_LABELS, names.ROLE_LABEL: "hook"}])),
        "annotations": draw(
            st.sampled_from([{}, {names.GATE_ANNOTATION: "open", names.GATE_CALLS_ANNOTATION: "2"}])
        ),
        "ownerReferences": draw(
            st.sampled_from([[], controller("ReplicaSet", "r"), controller("Job", "j", "batch/v1")])
        ),
        "managedFields": [{"manager": "kubelet", "operation": "Update", "time": _WHEN}],
    }
    if draw(st.booleans()):
        metadata["deletionTimestamp"] = _WHEN
    containers = draw(
        st.lists(st.builds(_container, _NAMES, _USERS, st.integers(0, 2)), min_size=1, max_size=2)
    )
    spec = {
        "nodeName": "node1",
        "restartPolicy": draw(st.sampled_from(["Always", "Never"])),
        "securityContext": draw(_USERS) | draw(_GROUPS),
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "volumes": draw(_VOLUMES),
        "initContainers": containers[:1],
        "containers": containers,
    }
    statuses = [becalm_container(draw(_STATES), one["name"])[0] for one in containers]
    status = {
        "phase": draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"])),
        "conditions": draw(_CONDITIONS),
        "containerStatuses": statuses,
        "initContainerStatuses": draw(st.sampled_from([[], statuses[:1]])),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def _whole(document: dict[str, Any]) -> V1Pod:
    made = V1Pod.from_dict(document)
    assert made is not None
    return made


@given(pods())
def test_every_decision_sees_the_same_of_a_pod(document: dict[str, Any]) -> None:
    metadata = V1ObjectMeta(name="j", uid="x", creation_timestamp=NOON)
    job = V1Job(metadata=metadata)

    def seen(pod: V1Pod) -> list[object]:
        return [
            views.pod_view(pod, {"job/j": "cronjob/c"}, movers("mine", [metadata])),
            views.job_view(job, [pod], {"p1": "FailedMount: no"}),
            views.gone_pods([pod], NOON),
            views.stuck_reason(pod, {"p1": "FailedMount: no"}),
            identities(pod.spec),
        ]

    assert seen(lean_pod(document)) == seen(_whole(document))


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as made:
        yield made


async def test_pods_that_nobody_may_list_are_refused(server: FakeApiServer) -> None:
    server.status_of = lambda _: 403

    async with ApiClient(Configuration(host=server.url)) as client:
        with pytest.raises(RefusedError, match="listing pods of shop: not now"):
            await Pods(client).list("shop")
