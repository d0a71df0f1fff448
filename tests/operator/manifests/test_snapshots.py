"""What is asked of a cluster for a Backup by snapshots."""

from becalm_operator.api import names
from becalm_operator.api.snapshots import VolumeSnapshotStatus
from becalm_operator.manifests import jobs
from becalm_operator.manifests.snapshots import snapshot_document
from tests.operator.manifests.examples import (
    IMAGE,
    OWNER,
    a_backup,
    a_mover_job,
    a_repository,
    command_of,
    container_of,
    pod_of,
)

SNAPSHOT = VolumeSnapshotStatus(
    name="b-snapshot-data",
    class_name="csi",
    storage_class_name="fast",
    access_modes=("ReadWriteOnce",),
    size_bytes=4096,
)
MOVER = jobs.mover_job(
    OWNER, a_repository(), IMAGE, backup=a_backup(), claim="data", node="", snapshot=SNAPSHOT
)


def test_a_snapshot_is_of_the_claim_and_goes_with_the_run() -> None:
    made = snapshot_document(OWNER, "data", SNAPSHOT)

    assert (made["apiVersion"], made["kind"]) == ("snapshot.storage.k8s.io/v1", "VolumeSnapshot")
    assert made["spec"] == {
        "volumeSnapshotClassName": "csi",
        "source": {"persistentVolumeClaimName": "data"},
    }
    assert made["metadata"]["name"] == SNAPSHOT.name
    assert made["metadata"]["labels"][names.OWNER_UID_LABEL] == OWNER.uid
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "Backup",
        OWNER.name,
        OWNER.uid,
        True,
    )


def test_a_mover_reads_a_claim_that_exists_for_its_pod_alone() -> None:
    (volume,) = [one for one in pod_of(MOVER).volumes or [] if one.name == "data"]

    assert volume.persistent_volume_claim is None
    assert volume.ephemeral is not None
    assert volume.ephemeral.volume_claim_template is not None
    spec = volume.ephemeral.volume_claim_template.spec
    assert spec.access_modes == ["ReadWriteOnce"]
    assert spec.storage_class_name == "fast"
    assert spec.resources is not None
    assert spec.resources.requests == {"storage": "4096"}
    assert spec.data_source is not None
    assert (spec.data_source.kind, spec.data_source.name) == ("VolumeSnapshot", SNAPSHOT.name)


def test_it_reads_at_the_path_where_the_claim_itself_would_be() -> None:
    direct = a_mover_job(node="")

    assert command_of(MOVER) == command_of(direct)
    assert container_of(MOVER).volume_mounts == container_of(direct).volume_mounts
    assert pod_of(MOVER).affinity is None
