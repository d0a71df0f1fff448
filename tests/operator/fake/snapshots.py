"""Snapshots in the cluster in memory: the controller that makes them, and what the operator sees of them."""

from collections.abc import Mapping
from typing import Any

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.errors import RefusedError
from becalm_operator.plan.snapshot_world import SnapshotClass, Snapshots, StorageKind, Taken
from becalm_operator.plan.steps import DeleteSnapshot, MakeSnapshot
from tests.operator.cluster.lab import CSI_DRIVER, CSI_STORAGE, REFUSING_CLASS, SNAPSHOT_CLASS
from tests.operator.fake.movers import tree_of
from tests.operator.fake.objects import StoredClaim, StoredJob, StoredSnapshot
from tests.operator.fake.state import State, refuse_bad_labels

CLASSES = (SnapshotClass(SNAPSHOT_CLASS, CSI_DRIVER, default=True), SnapshotClass(REFUSING_CLASS, CSI_DRIVER))
REFUSAL = "this class makes no snapshots"
_DETACHING = 9
"""How many ticks after its last pod a volume is detached: so many that who does not wait for it is too early."""


def look(state: State, backup: Backup) -> Snapshots:
    """Return what a Backup sees of snapshots."""
    if state.no_snapshots:
        return Snapshots(problem=state.no_snapshots)
    claims = [claim for claim in state.claims.values() if claim.namespace == backup.metadata.namespace]
    if backup.status.phase is Phase.PREFLIGHT:
        drivers = {claim.name: claim.driver for claim in claims if claim.driver}
        return Snapshots(drivers=drivers, classes=CLASSES, kinds={CSI_STORAGE: StorageKind(CSI_DRIVER)})
    if state.no_attachments and backup.status.phase is Phase.DRAINING:
        return Snapshots(problem=state.no_attachments)
    mine = [one for one in state.snapshots.values() if one.owner_uid == backup.metadata.uid]
    attached = {c.name for c in claims if c.attached} if backup.status.phase is Phase.DRAINING else set()
    return Snapshots(taken={one.name: _view(one) for one in mine}, attached=frozenset(attached))


def _view(one: StoredSnapshot) -> Taken:
    return Taken(one.name, one.created, ready=one.ready, error=one.error)


def apply(state: State, namespace: str, action: MakeSnapshot | DeleteSnapshot) -> None:
    """Make a VolumeSnapshot, unless one of its name exists, or delete one."""
    if isinstance(action, DeleteSnapshot):
        state.snapshots.pop((namespace, action.name), None)
        return
    if namespace in state.terminating:
        raise RefusedError(f"namespace {namespace} is being terminated")
    made = _stored(state, namespace, action.document)
    state.snapshots.setdefault((namespace, made.name), made)


def _stored(state: State, namespace: str, document: Mapping[str, Any]) -> StoredSnapshot:
    """Return what a document asks for."""
    metadata, spec = document["metadata"], document["spec"]
    refuse_bad_labels(metadata["labels"])
    claim = spec["source"]["persistentVolumeClaimName"]
    return StoredSnapshot(
        namespace=namespace,
        name=metadata["name"],
        owner_uid=metadata["labels"][names.OWNER_UID_LABEL],
        claim=claim,
        refused=spec["volumeSnapshotClassName"] == REFUSING_CLASS,
        script=state.script_of("snapshot", claim, metadata["name"]),
        created=state.now,
    )


def advance(state: State) -> None:
    """Let the driver work for a tick. What is written before a snapshot is ready may be in it, or half of it."""
    alive = {resource.metadata.uid for resource in state.resources.values()}
    for place, one in list(state.snapshots.items()):
        if one.owner_uid not in alive:
            del state.snapshots[place]
            continue
        one.age += 1
        one.torn |= not one.ready and has_writers(state, one.namespace, one.claim)
        if one.refused or one.script.stuck:
            one.error = one.script.stuck or REFUSAL
        elif not one.script.hangs and one.age > one.script.ticks:
            one.ready = True
    for claim in state.claims.values():
        _advance_attachment(state, claim)


def _advance_attachment(state: State, claim: StoredClaim) -> None:
    """What a node still holds when a volume is detached too late is written then: so nobody may look before."""
    if not claim.attaches:
        return
    used = any(claim.name in pod.claims and pod.namespace == claim.namespace for pod in state.pods.values())
    claim.detaching = _DETACHING if used else max(claim.detaching - 1, 0)


def has_writers(state: State, namespace: str, claim: str) -> bool:
    """Say whether somebody's pod has a claim, or a node may still write to it what a pod has left."""
    stored = state.claims.get((namespace, claim))
    held = stored is not None and stored.attached
    return held or any(
        pod.namespace == namespace and claim in pod.claims and not pod.ours for pod in state.pods.values()
    )


def begin(state: State, job: StoredJob) -> bool:
    """Fill the copy that a Job reads; say whether there is one."""
    found = state.snapshots.get((job.namespace, job.snapshot))
    if found is None or not found.ready:
        return False
    if found.torn:
        state.store.torn.add(tree_of(job))
    return True
