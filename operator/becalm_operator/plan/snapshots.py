"""A Backup with `capture: Snapshot`: what it needs, when its snapshots are good, and what is left to clear away.

The snapshots are made while nothing can write to the claims. Once all are ready the workloads are started, and movers
read copies of the claims that are filled from the snapshots.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NoReturn

from becalm_operator.api.backup import BackupSpec, BackupStatus, Phase, VolumeStatus
from becalm_operator.api.base import parse_duration, to_utc
from becalm_operator.api.conditions import Reason
from becalm_operator.api.snapshots import VolumeSnapshotStatus
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.manifests.snapshots import SNAPSHOT, snapshot_document
from becalm_operator.plan import quiesce, wording
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.preflight import RefusalError
from becalm_operator.plan.quantities import duration_text
from becalm_operator.plan.quiesce import Run
from becalm_operator.plan.run import SOON, changed, entered, failing, pace
from becalm_operator.plan.snapshot_world import SnapshotClass, Snapshots, Taken
from becalm_operator.plan.steps import Action, DeleteJob, DeleteSnapshot, MakeSnapshot, Plan
from becalm_operator.plan.world import Claim, JobState, World

ERROR_PATIENCE = timedelta(seconds=15)
"""How long a snapshot may be in error. Its driver tries again after 1, 2, 4 and 8 seconds, and much is over by then."""
CLONE_PATIENCE = timedelta(hours=6)
"""How long the copy of a claim may take to be filled. Some drivers copy all of it, and nothing is down meanwhile."""

BackupPlan = Plan[BackupStatus]


def is_wished(spec: BackupSpec) -> bool:
    """Say whether a Backup captures by snapshots."""
    return spec.capture == "Snapshot"


# --- Preflight


def planned(world: World, spec: BackupSpec, owner: Owner, claims: Iterable[str]) -> tuple[VolumeStatus, ...]:
    """Return how each claim of a Backup will be captured.

    Raises:
        RefusalError: One cannot be, or the cluster has no snapshots at all.
    """
    if world.snapshots.problem:
        raise RefusalError(Failure(Reason.SNAPSHOTS_UNAVAILABLE, world.snapshots.problem))
    return tuple(
        VolumeStatus(claim=claim, snapshot=_planned(world, spec, owner, world.claims[claim]))
        for claim in claims
    )


def _planned(world: World, spec: BackupSpec, owner: Owner, claim: Claim) -> VolumeSnapshotStatus:
    driver = world.snapshots.drivers.get(claim.name, "")
    if not driver:
        _refuse(f"the volume of claim {claim.name} belongs to no CSI driver, so it has no snapshots")
    found = _class_for(world.snapshots, spec.volume_snapshot_class_name, claim.name, driver)
    if found.retains:
        _refuse(
            f"VolumeSnapshotClass {found.name} has deletionPolicy Retain, so snapshots would stay for ever; "
            "name one with Delete in volumeSnapshotClassName"
        )
    return VolumeSnapshotStatus(
        name=job_name(owner.name, owner.uid, SNAPSHOT, claim.name),
        class_name=found.name,
        storage_class_name=_storage_class(world.snapshots, spec, claim, driver),
        access_modes=claim.access_modes,
        size_bytes=claim.size_bytes,
    )


def _class_for(snapshots: Snapshots, wanted: str | None, claim: str, driver: str) -> SnapshotClass:
    """Return the class to use: the named one, or the driver's default one, or its only one."""
    if wanted is not None:
        named = next((one for one in snapshots.classes if one.name == wanted), None)
        if named is None:
            _refuse(f"VolumeSnapshotClass {wanted} does not exist")
        if named.driver != driver:
            _refuse(
                f"VolumeSnapshotClass {wanted} is for driver {named.driver}; claim {claim} is of {driver}"
            )
        return named
    fitting = [one for one in snapshots.classes if one.driver == driver]
    chosen = [one for one in fitting if one.default] or fitting
    if not chosen:
        _refuse(f"there is no VolumeSnapshotClass for driver {driver} of claim {claim}")
    if len(chosen) > 1:
        names = ", ".join(sorted(one.name for one in chosen))
        _refuse(
            f"driver {driver} of claim {claim} has several classes ({names}); name one in volumeSnapshotClassName"
        )
    return chosen[0]


def _storage_class(snapshots: Snapshots, spec: BackupSpec, claim: Claim, driver: str) -> str:
    name = spec.clone_storage_class_name or claim.storage_class
    kind = snapshots.kinds.get(name)
    if kind is None:
        _refuse(
            f"a copy of claim {claim.name} needs a storage class, and {name or 'its own'} does not exist; "
            "name one in cloneStorageClassName"
        )
    if kind.provisioner != driver:
        _refuse(
            f"StorageClass {name} is of {kind.provisioner}; a copy of claim {claim.name} needs one of {driver}"
        )
    if kind.retains:
        _refuse(
            f"StorageClass {name} has reclaimPolicy Retain, so the copy of claim {claim.name} would stay for ever; "
            "name one with Delete in cloneStorageClassName"
        )
    return name


def _refuse(message: str) -> NoReturn:
    raise RefusalError(Failure(Reason.SNAPSHOT_UNSUPPORTED, message))


# --- Draining and Capturing


def detached(plan: BackupPlan, before: BackupStatus, run: Run, world: World) -> BackupPlan:
    """Return a drained run's plan, held back while a volume is attached to a node, or nobody may see whether it is.

    A pod's end does not mean that its node has written everything to the volume. Detaching does: the node unmounts
    first, which writes what it still holds. A snapshot that is made earlier may lack the last seconds.
    """
    timeout = run.quiesce.drain_timeout
    held = _held_back(before, timeout, world.snapshots)
    if plan.status.phase is not Phase.CAPTURING or held is None:
        return plan
    message, late = held
    assert before.phase_time is not None
    if world.now - before.phase_time > parse_duration(timeout):
        return Plan(failing(before, late, world.now), again_seconds=SOON)
    return Plan(changed(before, message=message), again_seconds=pace(before, world.now))


def _held_back(status: BackupStatus, timeout: str, snapshots: Snapshots) -> tuple[str, Failure] | None:
    """Return what a drained run waits for, and the failure if that takes too long.

    A refusal is waited out as well: a role may be replaced just then, and an API server that starts has none yet.
    """
    if snapshots.problem:
        unseen = f"waiting until it can be seen whether volumes are detached: {snapshots.problem}"
        return unseen, Failure(Reason.SNAPSHOTS_UNAVAILABLE, snapshots.problem)
    names = sorted(snapshots.attached & {volume.claim for volume in status.volumes})
    if not names:
        return None
    left = f"volumes of {', '.join(names[:5])}"
    late = f"{left} were not detached within drainTimeout ({timeout})"
    return f"waiting until {left} are detached", Failure(Reason.DRAIN_TIMEOUT, late)


def capturing(status: BackupStatus, owner: Owner, world: World) -> BackupPlan:
    """Capturing: make the snapshots and wait until all are ready. Whoever calls this has looked for a taint."""
    if world.snapshots.problem:
        return _failing(status, Failure(Reason.SNAPSHOTS_UNAVAILABLE, world.snapshots.problem), world.now)
    actions: list[Action] = []
    volumes: list[VolumeStatus] = []
    for volume in status.volumes:
        snapshot = _of(volume)
        taken = world.snapshots.taken.get(snapshot.name)
        if taken is None and snapshot.ready_time is not None:
            gone = f"VolumeSnapshot {snapshot.name} of claim {volume.claim} was deleted by somebody"
            return _failing(status, Failure(Reason.SNAPSHOT_FAILED, gone), world.now)
        if taken is None:
            actions.append(MakeSnapshot(snapshot_document(owner, volume.claim, snapshot)))
        elif _has_failed(taken, world.now):
            return _failing_volume(status, volume, taken, world.now)
        volumes.append(_seen(volume, snapshot, taken, world.now))
    status = changed(status, volumes=tuple(volumes))
    ready = sum(_of(volume).ready_time is not None for volume in volumes)
    if ready == len(volumes):
        return Plan(entered(status, Phase.RESUMING, world.now, "starting workloads"), again_seconds=SOON)
    if not quiesce.is_quiesced(status) and _is_late(status, world.now):
        return _failing(status, Failure(Reason.SNAPSHOT_FAILED, _unready(volumes)), world.now)
    message = wording.progress("making snapshots", ready, len(volumes), "ready")
    return Plan(changed(status, message=message), actions, again_seconds=pace(status, world.now))


def _is_late(status: BackupStatus, now: datetime) -> bool:
    """Say whether snapshots take too long. Where something is down, its deadline ends the run, and earlier."""
    return status.phase_time is not None and now - status.phase_time > CLONE_PATIENCE


def _unready(volumes: Iterable[VolumeStatus]) -> str:
    names = ", ".join(volume.claim for volume in volumes if _of(volume).ready_time is None)
    patience = duration_text(int(CLONE_PATIENCE.total_seconds()))
    return f"the snapshots of {names} were not ready within {patience}; does the snapshot controller run?"


def _has_failed(taken: Taken, now: datetime) -> bool:
    return bool(taken.error) and not taken.ready and now - taken.created > ERROR_PATIENCE


def _seen(
    volume: VolumeStatus, snapshot: VolumeSnapshotStatus, taken: Taken | None, now: datetime
) -> VolumeStatus:
    """Return a volume's status with what its snapshot is like now."""
    if taken is None or not taken.ready or snapshot.ready_time is not None:
        return volume
    size = max(snapshot.size_bytes, taken.size_bytes)
    ready = snapshot.model_copy(update={"ready_time": to_utc(now), "size_bytes": size})
    return volume.model_copy(update={"snapshot": ready})


def _failing(status: BackupStatus, failure: Failure, now: datetime) -> BackupPlan:
    return Plan(failing(status, failure, now), again_seconds=SOON)


def _failing_volume(status: BackupStatus, volume: VolumeStatus, taken: Taken, now: datetime) -> BackupPlan:
    at_fault = volume.model_copy(update={"error": taken.error})
    volumes = tuple(at_fault if one.claim == volume.claim else one for one in status.volumes)
    failure = Failure(Reason.SNAPSHOT_FAILED, f"no snapshot of claim {volume.claim}: {taken.error}")
    return _failing(changed(status, volumes=volumes), failure, now)


def _of(volume: VolumeStatus) -> VolumeSnapshotStatus:
    assert volume.snapshot is not None
    return volume.snapshot


# --- Uploading


def lost(volume: VolumeStatus, world: World) -> Failure | None:
    """Return that a snapshot is gone before its mover was made; a volume that is read directly has none."""
    snapshot = volume.snapshot
    if snapshot is None or snapshot.name in world.snapshots.taken:
        return None
    why = world.snapshots.problem or "was deleted by somebody before it was read"
    return Failure(Reason.SNAPSHOT_FAILED, f"VolumeSnapshot {snapshot.name}: {why}")


# --- the end


def cleared(plan: BackupPlan, world: World, movers: Sequence[JobState]) -> BackupPlan:
    """Return a plan that, if it ends the run, deletes what the run has made beside the repository.

    A mover's Job goes with its pod, and the copy of the claim with that.
    """
    status = plan.status
    if not status.phase.finished:
        return plan
    names = [volume.snapshot.name for volume in status.volumes if volume.snapshot]
    leave: list[Action] = [DeleteJob(job.name) for job in movers]
    leave += [DeleteSnapshot(name) for name in names if name in world.snapshots.taken]
    return Plan(
        status,
        (*(one for one in plan.actions if one not in leave), *leave),
        plan.events,
        plan.finalizer,
        plan.again_seconds,
    )
