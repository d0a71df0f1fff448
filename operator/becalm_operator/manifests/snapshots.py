"""A VolumeSnapshot of a claim, and the temporary claim through which a mover reads it."""

from typing import Any

from kubernetes.aio.client import (
    V1EphemeralVolumeSource,
    V1ObjectMeta,
    V1PersistentVolumeClaimSpec,
    V1PersistentVolumeClaimTemplate,
    V1TypedLocalObjectReference,
    V1Volume,
    V1VolumeResourceRequirements,
)

from becalm_operator.api import names
from becalm_operator.api.snapshots import VolumeSnapshotStatus
from becalm_operator.manifests.owned import Owner, labels_of, owner_reference

SNAPSHOT = "snapshot"
"""The role of what is no Job."""

GROUP, VERSION, KIND = "snapshot.storage.k8s.io", "v1", "VolumeSnapshot"


def snapshot_document(owner: Owner, claim: str, snapshot: VolumeSnapshotStatus) -> dict[str, Any]:
    """Return the VolumeSnapshot that a run makes of a claim. It goes with the run, whoever deletes that."""
    reference = owner_reference(owner).model_dump(by_alias=True, exclude_none=True)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": snapshot.name,
            "labels": labels_of(owner, SNAPSHOT),
            "annotations": {names.CLAIM_ANNOTATION: claim},
            "ownerReferences": [reference],
        },
        "spec": {
            "volumeSnapshotClassName": snapshot.class_name,
            "source": {"persistentVolumeClaimName": claim},
        },
    }


def clone_volume(name: str, snapshot: VolumeSnapshotStatus) -> V1Volume:
    """Return a pod's volume that is filled from a snapshot.

    Its claim is made for the pod and deleted with it by Kubernetes itself: so the operator needs no permission to
    make or delete claims.
    """
    spec = V1PersistentVolumeClaimSpec(
        access_modes=list(snapshot.access_modes),
        storage_class_name=snapshot.storage_class_name,
        resources=V1VolumeResourceRequirements(requests={"storage": str(snapshot.size_bytes)}),
        data_source=V1TypedLocalObjectReference(api_group=GROUP, kind=KIND, name=snapshot.name),
    )
    template = V1PersistentVolumeClaimTemplate(
        metadata=V1ObjectMeta(labels={names.MANAGED_BY_LABEL: names.MANAGED_BY}), spec=spec
    )
    return V1Volume(name=name, ephemeral=V1EphemeralVolumeSource(volume_claim_template=template))
