"""As whom pods use their claims."""

from typing import Any

import pytest
from kubernetes.aio.client import V1Deployment, V1PodSpec, V1StatefulSet

from becalm_operator.api.identity import Identity
from becalm_operator.cluster import workload_views
from becalm_operator.cluster.identities import identities

SHARED = {
    "runAsUser": 1000,
    "runAsGroup": 2000,
    "fsGroup": 3000,
    "supplementalGroups": [4, 5],
    "seLinuxOptions": {"level": "s0:c1,c2"},
}
ALL = Identity(
    run_as_user=1000,
    run_as_group=2000,
    fs_group=3000,
    supplemental_groups=(4, 5),
    se_linux_options={"level": "s0:c1,c2"},
)


def a_container(user: int | None = None, *volumes: str) -> dict[str, Any]:
    mounts = [{"name": volume, "mountPath": f"/{volume}"} for volume in volumes]
    return {"name": "c", "volumeMounts": mounts, "securityContext": {"runAsUser": user} if user else None}


def a_pod(*containers: dict[str, Any], shared: dict[str, Any] | None = None) -> dict[str, Any]:
    volumes = [
        {"name": "files", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    return {"containers": list(containers), "volumes": volumes, "securityContext": shared}


def seen(pod: dict[str, Any]) -> dict[str, Identity]:
    made = V1PodSpec.from_dict(pod)
    assert made is not None
    return identities(made)


def test_what_the_pod_says_holds_for_its_claims() -> None:
    assert seen(a_pod(a_container(None, "files"), shared=SHARED)) == {"data": ALL}


def test_what_the_container_says_counts_more() -> None:
    assert seen(a_pod(a_container(7, "files"), shared=SHARED))["data"].run_as_user == 7


def test_only_containers_that_mount_the_volume_count() -> None:
    assert seen(a_pod(a_container(7, "files"), a_container(8, "tmp")))["data"].run_as_user == 7


@pytest.mark.parametrize("other", [8, None])
def test_containers_that_do_not_agree_say_nothing(other: int | None) -> None:
    assert seen(a_pod(a_container(7, "files"), a_container(other, "files"))) == {"data": Identity()}


def test_a_pod_that_says_nothing_leaves_it_to_its_image() -> None:
    assert seen(a_pod(a_container(None, "files"))) == {"data": Identity()}


def test_a_workload_is_known_by_its_template() -> None:
    template = {"spec": a_pod(a_container(None, "files"), shared=SHARED)}
    deployment = V1Deployment.from_dict(
        {"metadata": {"name": "web"}, "spec": {"selector": {}, "template": template}}
    )
    assert deployment is not None

    assert workload_views.deployment_view(deployment).identities == {"data": ALL}


def test_the_claims_of_a_stateful_set_are_those_of_its_templates() -> None:
    template = {"spec": {"containers": [a_container(7, "data")]}}
    stateful_set = V1StatefulSet.from_dict(
        {
            "metadata": {"name": "db"},
            "spec": {
                "selector": {},
                "serviceName": "db",
                "template": template,
                "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
            },
        }
    )
    assert stateful_set is not None

    view = workload_views.stateful_set_view(stateful_set, ["data-db-0", "data-db-1", "other"])

    assert {claim: known.run_as_user for claim, known in view.identities.items()} == {
        "data-db-0": 7,
        "data-db-1": 7,
    }
