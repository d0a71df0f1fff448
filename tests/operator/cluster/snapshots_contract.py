"""What a cluster promises about VolumeSnapshots."""

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.snapshots import VolumeSnapshotStatus
from becalm_operator.manifests.owned import Owner
from becalm_operator.manifests.snapshots import clone_volume, snapshot_document
from becalm_operator.plan.snapshot_world import Snapshots, Taken
from becalm_operator.plan.steps import ApplyJob, DeleteSnapshot, MakeSnapshot
from tests.operator.cluster.lab import (
    CSI_DRIVER,
    CSI_STORAGE,
    REFUSING_CLASS,
    SNAPSHOT_CLASS,
    Ending,
    Scene,
    a_backup,
    name_of,
)

_PLANNED = VolumeSnapshotStatus(
    name="b-snapshot-data",
    class_name=SNAPSHOT_CLASS,
    storage_class_name=CSI_STORAGE,
    access_modes=("ReadWriteOnce",),
    size_bytes=1 << 20,
)


async def _made(scene: Scene) -> Backup:
    """Return a Backup by snapshots of a claim that has a volume."""
    wished = a_backup(scene.lab.namespace, "b")
    spec = wished.spec.model_copy(update={"capture": "Snapshot"})
    backup = await scene.lab.make(wished.model_copy(update={"spec": spec}))
    await scene.lab.make_csi_claim("data")

    async def bound() -> bool | None:
        found = (await scene.world(backup)).claims.get("data")
        return True if found and found.bound else None

    await scene.lab.until("the claim is bound", bound)
    return backup


async def _seen(scene: Scene, backup: Backup, phase: Phase) -> Snapshots:
    status = backup.status.model_copy(update={"phase": phase})
    return (await scene.world(backup.model_copy(update={"status": status}))).snapshots


async def _take(scene: Scene, backup: Backup, planned: VolumeSnapshotStatus) -> None:
    metadata = backup.metadata
    owner = Owner(backup.kind, metadata.name, metadata.namespace, metadata.uid)
    await scene.cluster.apply(backup, MakeSnapshot(snapshot_document(owner, "data", planned)))


async def _taken(scene: Scene, backup: Backup, *, ready: bool) -> Taken:
    async def look() -> Taken | None:
        found = (await _seen(scene, backup, Phase.CAPTURING)).taken.get(_PLANNED.name)
        return found if found and (found.ready if ready else found.error) else None

    return await scene.lab.until("the snapshot is ready" if ready else "the snapshot is in error", look)


class SnapshotsContract:
    """VolumeSnapshots, their classes, and what is filled from them. A subclass has a fixture `scene`."""

    async def test_what_a_claim_can_be_snapshot_by_is_seen(self, scene: Scene) -> None:
        backup = await _made(scene)
        await scene.lab.make_claim("local")

        seen = await _seen(scene, backup, Phase.PREFLIGHT)

        claim = (await scene.world(backup)).claims["data"]
        assert not seen.problem
        assert seen.drivers == {"data": CSI_DRIVER}
        classes = {one.name: one for one in seen.classes if one.driver == CSI_DRIVER}
        assert {name: one.default for name, one in classes.items()} == {
            SNAPSHOT_CLASS: True,
            REFUSING_CLASS: False,
        }
        assert not any(one.retains for one in classes.values())
        assert (claim.storage_class, claim.access_modes, claim.size_bytes) == (
            CSI_STORAGE,
            ("ReadWriteOnce",),
            1 << 20,
        )
        assert seen.kinds[CSI_STORAGE].provisioner == CSI_DRIVER
        assert not seen.kinds[CSI_STORAGE].retains

    async def test_a_snapshot_is_made_once_becomes_ready_and_is_deleted(self, scene: Scene) -> None:
        backup = await _made(scene)
        assert (await _seen(scene, backup, Phase.CAPTURING)).taken == {}

        for _ in range(2):
            await _take(scene, backup, _PLANNED)
        seen = await _taken(scene, backup, ready=True)

        assert not seen.error
        for _ in range(2):
            await scene.cluster.apply(backup, DeleteSnapshot(_PLANNED.name))

        async def gone() -> bool | None:
            return None if (await _seen(scene, backup, Phase.FINISHING)).taken else True

        await scene.lab.until("the snapshot is gone", gone)

    async def test_a_snapshot_that_its_driver_refuses_shows_why(self, scene: Scene) -> None:
        backup = await _made(scene)

        await _take(scene, backup, _PLANNED.model_copy(update={"class_name": REFUSING_CLASS}))

        seen = await _taken(scene, backup, ready=False)
        assert "this class makes no snapshots" in seen.error
        assert not seen.ready

    async def test_a_volume_that_a_node_has_is_attached(self, scene: Scene) -> None:
        backup = await _made(scene)
        before = await _seen(scene, backup, Phase.DRAINING)

        await scene.lab.attach("data")

        assert "data" not in before.attached
        assert "data" in (await _seen(scene, backup, Phase.DRAINING)).attached

    async def test_a_pod_of_ours_reads_a_copy_that_no_claim_of_others_is(self, scene: Scene) -> None:
        backup = await _made(scene)
        await _take(scene, backup, _PLANNED)
        await _taken(scene, backup, ready=True)
        job = scene.lab.job(backup, "one", Ending.NEVER)
        assert job.spec is not None
        assert job.spec.template.spec is not None
        job.spec.template.spec.volumes = [clone_volume("data", _PLANNED)]

        await scene.cluster.apply(backup, ApplyJob(job))

        await scene.job(backup, name_of(job), "running", lambda state: state.active and not state.stuck)
        (pod,) = (await scene.world(backup)).pods
        assert pod.ours
        assert pod.claims == (f"{pod.name}-data",)
