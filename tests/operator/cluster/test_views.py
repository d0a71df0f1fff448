"""What decisions see of the API's objects."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from kubernetes.aio.client import (
    V1Container,
    V1Deployment,
    V1PersistentVolumeClaim,
    V1ReplicaSet,
    V1StatefulSet,
)

from becalm_operator.api import names
from becalm_operator.api.record import Holder, Record
from becalm_operator.api.switches import REPLICAS, SUSPENSION
from becalm_operator.cluster import views, workload_views
from tests.operator.cluster.examples import ENDED, FAILED, NOON, a_pod, becalm_container, controller


def a_deployment_document(**changes: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "web",
            "uid": "u1",
            "resourceVersion": "7",
            "generation": 2,
            "annotations": changes.get("annotations", {}),
            "ownerReferences": changes.get("owners", []),
        },
        "spec": {
            "replicas": changes.get("replicas", 3),
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "c"}], "volumes": changes.get("volumes", [])}},
        },
        "status": {"readyReplicas": 2, "observedGeneration": changes.get("observed", 2)},
    }


def a_deployment(**changes: Any) -> V1Deployment:
    made = V1Deployment.from_dict(a_deployment_document(**changes))
    assert made is not None
    return made


def a_volume(claim: str) -> dict[str, Any]:
    return {"name": claim, "persistentVolumeClaim": {"claimName": claim}}


def test_a_deployment_shows_its_counts_and_claims() -> None:
    seen = workload_views.deployment_view(
        a_deployment(volumes=[a_volume("data"), {"name": "tmp", "emptyDir": {}}])
    )

    assert (str(seen.reference), seen.replicas, seen.ready, seen.settled) == ("deployment/web", 3, 2, True)
    assert seen.claims == ("data",)
    assert seen.record is None
    assert not seen.unreadable_record


def test_a_deployment_whose_controller_lags_behind_is_not_settled() -> None:
    assert not workload_views.deployment_view(a_deployment(observed=1)).settled


def test_a_deployment_without_a_count_has_one_replica() -> None:
    assert workload_views.deployment_view(a_deployment(replicas=None)).replicas == 1


def test_a_record_is_read_from_its_annotation() -> None:
    record = Record(
        by=Holder(kind="Backup", name="b", uid="u"), at=NOON, replicas=3, deadline=NOON, undo="kubectl"
    )

    seen = workload_views.deployment_view(
        a_deployment(annotations={"becalm.dev/quiesced": record.to_annotation()})
    )

    assert seen.record == record


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"replicas": "many"}'])
def test_a_record_that_makes_no_sense_is_seen_as_such(text: str) -> None:
    seen = workload_views.deployment_view(a_deployment(annotations={"becalm.dev/quiesced": text}))

    assert seen.record is None
    assert seen.unreadable_record


def test_a_controller_that_owns_a_workload_is_named() -> None:
    owners = controller("Rollout", "web", "argoproj.io/v1alpha1")

    assert workload_views.deployment_view(a_deployment(owners=owners)).owner == "rollout.argoproj.io/web"


def test_the_sweep_sees_in_a_document_what_a_run_sees_in_the_model() -> None:
    record = Record(
        by=Holder(kind="Backup", name="b", uid="u"), at=NOON, replicas=3, deadline=NOON, undo="kubectl"
    )
    held = {"replicas": 0, "annotations": {"becalm.dev/quiesced": record.to_annotation()}}

    seen = workload_views.native_view(a_deployment_document(**held), "Deployment", REPLICAS)

    assert seen == replace(workload_views.deployment_view(a_deployment(**held)), ready=0)
    assert (seen.record, seen.generation) == (record, 2)


def test_the_sweep_sees_whether_a_cron_job_is_suspended() -> None:
    metadata = {"name": "reports", "uid": "u", "resourceVersion": "1"}

    up, down = (
        workload_views.native_view({"metadata": metadata, "spec": {"suspend": rests}}, "CronJob", SUSPENSION)
        for rests in (False, True)
    )

    assert (up.replicas, down.replicas, str(up.reference)) == (1, 0, "cronjob/reports")


def a_stateful_set(policy: dict[str, str] | None = None) -> V1StatefulSet:
    made = V1StatefulSet.from_dict(
        {
            "metadata": {"name": "db", "uid": "u2", "resourceVersion": "8", "generation": 1},
            "spec": {
                "serviceName": "db",
                "replicas": 1,
                "selector": {"matchLabels": {"app": "db"}},
                "template": {"spec": {"containers": [{"name": "c"}], "volumes": [a_volume("shared")]}},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {}}],
                "persistentVolumeClaimRetentionPolicy": policy,
            },
            "status": {"replicas": 1, "observedGeneration": 1},
        }
    )
    assert made is not None
    return made


def test_a_stateful_set_has_the_claims_of_its_templates() -> None:
    known = ("data-db-0", "data-db-10", "data-db-x", "data-dbx-0", "xdata-db-0", "other")

    seen = workload_views.stateful_set_view(a_stateful_set(), known)

    assert seen.claims == ("shared", "data-db-0", "data-db-10")


@pytest.mark.parametrize(
    ("policy", "deletes"),
    [({"whenScaled": "Delete"}, True), ({"whenScaled": "Retain"}, False), (None, False)],
)
def test_a_stateful_set_that_deletes_its_claims_is_seen(policy: dict[str, str] | None, deletes: bool) -> None:
    assert workload_views.stateful_set_view(a_stateful_set(policy), ()).deletes_claims is deletes


def test_a_pod_of_a_replica_set_is_its_deployments() -> None:
    replica_set = V1ReplicaSet.from_dict(
        {
            "metadata": {"name": "web-abc", "ownerReferences": controller("Deployment", "web")},
            "spec": {"selector": {}},
        }
    )
    assert replica_set is not None
    owners = {"replicaset/web-abc": workload_views.replica_set_view(replica_set).owner}

    seen = views.pod_view(
        a_pod(owners=controller("ReplicaSet", "web-abc"), volumes=[a_volume("data")]), owners
    )

    assert (seen.owner, seen.claims, seen.node, seen.ended) == ("deployment/web", ("data",), "node1", False)


@pytest.mark.parametrize("owned", [True, False])
def test_the_record_of_a_replica_set_that_is_owned_is_a_copy(owned: bool) -> None:
    record = Record(
        by=Holder(kind="Backup", name="b", uid="u"), at=NOON, replicas=3, deadline=NOON, undo="kubectl"
    )
    metadata = {
        "name": "web-abc",
        "annotations": {"becalm.dev/quiesced": record.to_annotation()},
        "ownerReferences": controller("Deployment", "web") if owned else [],
    }
    replica_set = V1ReplicaSet.from_dict({"metadata": metadata, "spec": {"selector": {}}})
    assert replica_set is not None

    seen = workload_views.replica_set_view(replica_set)

    assert seen.record == (None if owned else record)
    assert not seen.unreadable_record


def test_a_pod_of_a_bare_replica_set_is_that_replica_sets() -> None:
    assert views.pod_view(a_pod(owners=controller("ReplicaSet", "lone")), {}).owner == "replicaset/lone"


def test_a_pod_asks_for_what_its_containers_ask_for() -> None:
    pod = a_pod()
    assert pod.spec is not None
    one = {"name": "one", "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}
    two = {"name": "two", "resources": {"requests": {"memory": "1Mi", "odd": "?"}, "limits": {"cpu": "9"}}}
    pod.spec.containers = [V1Container.model_validate(each) for each in (one, two, {"name": "three"})]

    asked = views.pod_view(pod, {}).requests

    assert asked == {"cpu": Decimal("0.1"), "memory": Decimal((1 << 30) + (1 << 20)), "odd": Decimal()}


def test_a_pod_of_nobody_has_no_owner() -> None:
    assert views.pod_view(a_pod(), {}).owner == ""


@pytest.mark.parametrize(
    ("phase", "ended"), [("Pending", False), ("Running", False), ("Succeeded", True), ("Failed", True)]
)
def test_a_pod_has_ended_when_its_containers_have(phase: str, ended: bool) -> None:
    assert views.pod_view(a_pod(phase), {}).ended is ended


RUNS: dict[str, Any] = {"running": {}}


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({"containers": ENDED}, True),
        ({"containers": FAILED}, True),
        ({"containers": ENDED, "init": ENDED}, True),
        ({"containers": RUNS}, False),
        ({"containers": ENDED, "init": RUNS}, False),  # a sidecar
        ({"containers": ENDED, "ephemeral": RUNS}, False),  # `kubectl debug`
        ({"containers": ENDED, "restart": "OnFailure"}, False),
        ({}, False),  # the kubelet has not told of any container yet
    ],
)
def test_a_pod_that_starts_no_container_again_has_ended_with_the_last_one(
    changes: dict[str, Any], ended: bool
) -> None:
    told = {key: becalm_container(state) for key, state in changes.items() if key != "restart"}

    seen = views.pod_view(a_pod(**{"restart": "Never", **changes, **told}), {})

    assert seen.ended is ended


def test_a_container_that_the_kubelet_has_not_told_of_may_run() -> None:
    pod = a_pod(restart="Never", containers=becalm_container(ENDED))
    assert pod.spec is not None
    pod.spec.containers = [V1Container(name="becalm"), V1Container(name="dump")]

    assert not views.pod_view(pod, {}).ended


def test_a_pod_is_ours_only_with_an_owner_of_ours() -> None:
    claimed = {"app.kubernetes.io/managed-by": "becalm"}
    job = controller("Job", "mover", "batch/v1")

    assert not views.pod_view(a_pod(labels=claimed, owners=job), {}).ours
    assert views.pod_view(a_pod(labels={**claimed, "becalm.dev/owner-uid": "u"}, owners=job), {}).ours


def test_a_pod_of_a_hook_is_not_ours_for_others_decide_what_it_does() -> None:
    labels = {
        "app.kubernetes.io/managed-by": "becalm",
        "becalm.dev/owner-uid": "u",
        "becalm.dev/role": "hook",
    }

    seen = views.pod_view(a_pod(labels=labels, owners=controller("Job", "hook", "batch/v1")), {})

    assert (seen.ours, seen.labels) == (False, labels)


def test_a_pod_is_ready_while_it_says_so_and_is_not_going() -> None:
    ready = [{"type": "Ready", "status": "True"}]
    going = a_pod(conditions=ready)
    assert going.metadata is not None
    going.metadata.deletion_timestamp = NOON

    assert views.pod_view(a_pod(conditions=ready), {}).ready
    assert not views.pod_view(a_pod(conditions=[{"type": "Ready", "status": "False"}]), {}).ready
    assert not views.pod_view(a_pod(), {}).ready
    assert not views.pod_view(going, {}).ready


@pytest.mark.parametrize(
    ("modes", "node_bound", "one_pod"),
    [
        (["ReadWriteOnce"], True, False),
        (["ReadWriteOncePod"], True, True),
        (["ReadWriteMany"], False, False),
        (["ReadWriteOnce", "ReadWriteMany"], False, False),
    ],
)
def test_a_claim_says_whether_one_node_or_one_pod_alone_can_mount_it(
    modes: list[str], node_bound: bool, one_pod: bool
) -> None:
    claim = V1PersistentVolumeClaim.from_dict(
        {"metadata": {"name": "data"}, "spec": {"accessModes": modes}, "status": {"phase": "Bound"}}
    )
    assert claim is not None

    seen = views.claim_view(claim)

    assert (seen.bound, seen.node_bound, seen.one_pod) == (True, node_bound, one_pod)


OUR_LABELS = {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.OWNER_UID_LABEL: "u1"}


def killed(ended: str | None = "2026-11-27T11:59:00Z", container: str = "becalm") -> list[dict[str, Any]]:
    return becalm_container({"terminated": {"exitCode": 137, "finishedAt": ended}}, container)


@pytest.mark.parametrize(
    ("phase", "changes"),
    [
        ("Failed", {"containers": killed()}),
        ("Failed", {"containers": [*killed(), *killed(container="dump")]}),
    ],
)
def test_a_pod_of_ours_that_was_killed_is_gone(phase: str, changes: dict[str, Any]) -> None:
    assert views.gone_pods([a_pod(phase, labels=OUR_LABELS, **changes)], NOON) == ("web-1",)


@pytest.mark.parametrize(
    ("phase", "changes"),
    [
        ("Running", {"labels": OUR_LABELS, "containers": killed()}),
        ("Succeeded", {"labels": OUR_LABELS, "containers": killed()}),
        ("Failed", {"labels": {}, "containers": killed()}),
        ("Failed", {"labels": {**OUR_LABELS, names.ROLE_LABEL: "hook"}, "containers": killed()}),
        ("Failed", {"labels": OUR_LABELS, "containers": []}),
        ("Failed", {"labels": OUR_LABELS, "containers": becalm_container({"running": {}})}),
        ("Failed", {"labels": OUR_LABELS, "containers": killed(container="dump")}),
        ("Failed", {"labels": OUR_LABELS, "containers": killed(ended=None)}),
        ("Failed", {"labels": OUR_LABELS, "containers": killed("2026-11-27T11:20:00Z")}),
    ],
    ids=[
        "another container of it runs",
        "it ended well",
        "of somebody else",
        "a hook",
        "given up by the cluster, its node unheard",
        "its container runs",
        "only another container has ended",
        "nobody knows when",
        "its lock is stale by now",
    ],
)
def test_a_pod_that_may_hold_a_lock_or_left_none_is_not_called_gone(
    phase: str, changes: dict[str, Any]
) -> None:
    assert views.gone_pods([a_pod(phase, **changes)], NOON) == ()
