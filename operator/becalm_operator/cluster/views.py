"""From the API's objects to what decisions see. Pure."""

import re
from collections.abc import Iterable, Mapping

from kubernetes.aio.client import (
    V1ContainerState,
    V1Deployment,
    V1Job,
    V1ObjectMeta,
    V1PersistentVolumeClaim,
    V1Pod,
    V1PodSpec,
    V1ReplicaSet,
    V1StatefulSet,
)
from pydantic import ValidationError

from becalm_operator.api import names
from becalm_operator.api.backup import WorkloadKind, WorkloadReference
from becalm_operator.api.record import Record
from becalm_operator.plan.world import Claim, JobState, Pod, Workload

_STUCK = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
)
_ONE_NODE = ("ReadWriteOnce", "ReadWriteOncePod")


def deployment_view(deployment: V1Deployment) -> Workload:
    """Return a Deployment as decisions see it."""
    assert deployment.spec is not None
    return _workload("Deployment", deployment, _mounted(deployment.spec.template.spec))


def stateful_set_view(stateful_set: V1StatefulSet, claims: Iterable[str]) -> Workload:
    """Return a StatefulSet as decisions see it. `claims` are all claims of its namespace."""
    spec = stateful_set.spec
    assert spec is not None
    policy = spec.persistent_volume_claim_retention_policy
    templates = [_metadata(claim.metadata).name or "" for claim in spec.volume_claim_templates or ()]
    made = _of_templates(_metadata(stateful_set.metadata).name or "", templates, claims)
    deletes = bool(policy and policy.when_scaled == "Delete")
    return _workload(
        "StatefulSet", stateful_set, (*_mounted(spec.template.spec), *made), deletes_claims=deletes
    )


def _workload(
    kind: WorkloadKind,
    one: V1Deployment | V1StatefulSet,
    claims: tuple[str, ...],
    *,
    deletes_claims: bool = False,
) -> Workload:
    metadata, spec, status = _metadata(one.metadata), one.spec, one.status
    assert spec is not None
    record, unreadable = _record(metadata)
    return Workload(
        reference=WorkloadReference(kind=kind, name=metadata.name or ""),
        uid=metadata.uid or "",
        resource_version=metadata.resource_version or "",
        replicas=1 if spec.replicas is None else spec.replicas,
        ready=(status.ready_replicas if status else None) or 0,
        settled=((status.observed_generation if status else None) or 0) >= (metadata.generation or 0),
        record=record,
        unreadable_record=unreadable,
        owner=controller_of(metadata),
        deletes_claims=deletes_claims,
        claims=claims,
    )


def _of_templates(stateful_set: str, templates: Iterable[str], claims: Iterable[str]) -> tuple[str, ...]:
    """Return the claims made from a StatefulSet's templates: those of ordinals beyond its count, too."""
    pattern = re.compile(rf"(?:{'|'.join(map(re.escape, templates))})-{re.escape(stateful_set)}-\d+")
    return tuple(sorted(claim for claim in claims if pattern.fullmatch(claim)))


def _record(metadata: V1ObjectMeta) -> tuple[Record | None, bool]:
    """Return the record, and whether there is one that makes no sense."""
    text = (metadata.annotations or {}).get(names.RECORD_ANNOTATION)
    if text is None:
        return None, False
    try:
        return Record.model_validate_json(text), False
    except ValidationError:
        return None, True


def _mounted(pod: V1PodSpec | None) -> tuple[str, ...]:
    volumes = (pod.volumes if pod else None) or []
    sources = (volume.persistent_volume_claim for volume in volumes)
    return tuple(dict.fromkeys(source.claim_name for source in sources if source))


def controller_of(metadata: V1ObjectMeta) -> str:
    """Return the controller of an object as Kind/name, or nothing."""
    owners = [owner for owner in metadata.owner_references or () if owner.controller]
    return f"{owners[0].kind}/{owners[0].name}" if owners else ""


def replica_set_owners(replica_sets: Iterable[V1ReplicaSet]) -> dict[str, str]:
    """Return who controls each ReplicaSet: both as Kind/name."""
    metas = [_metadata(one.metadata) for one in replica_sets]
    return {f"ReplicaSet/{meta.name}": controller_of(meta) for meta in metas}


def pod_view(pod: V1Pod, replica_sets: Mapping[str, str]) -> Pod:
    """Return a pod as decisions see it; a ReplicaSet's pod is its Deployment's."""
    metadata = _metadata(pod.metadata)
    owner = controller_of(metadata)
    owner = replica_sets.get(owner) or owner
    kind, _, name = owner.partition("/")
    return Pod(
        name=metadata.name or "",
        owner=f"{kind.lower()}/{name}" if owner else "",
        claims=_mounted(pod.spec) + _ephemeral(pod),
        node=(pod.spec.node_name if pod.spec else None) or "",
        ended=has_ended(pod),
        ours=_is_ours(metadata),
    )


def _ephemeral(pod: V1Pod) -> tuple[str, ...]:
    """Return the claims that exist for this pod alone."""
    volumes = (pod.spec.volumes if pod.spec else None) or []
    return tuple(f"{_metadata(pod.metadata).name}-{v.name}" for v in volumes if v.ephemeral)


def has_ended(pod: V1Pod) -> bool:
    """Say whether a pod's containers are gone for good."""
    return bool(pod.status and pod.status.phase in ("Succeeded", "Failed"))


def _is_ours(metadata: V1ObjectMeta) -> bool:
    labels = metadata.labels or {}
    return labels.get(names.MANAGED_BY_LABEL) == names.MANAGED_BY and names.OWNER_UID_LABEL in labels


def claim_view(claim: V1PersistentVolumeClaim) -> Claim:
    """Return a claim as decisions see it."""
    metadata = _metadata(claim.metadata)
    modes = (claim.spec.access_modes if claim.spec else None) or []
    return Claim(
        name=metadata.name or "",
        bound=bool(claim.status and claim.status.phase == "Bound"),
        labels=dict(metadata.labels or {}),
        node_bound=all(mode in _ONE_NODE for mode in modes),
    )


def job_view(job: V1Job, pods: Iterable[V1Pod], hints: Mapping[str, str]) -> JobState:
    """Return a Job as decisions see it. `hints` say, by UID, what events tell of a Job or pod that is stuck.

    A pod's own end counts before the Job controller has taken notice: that is a second of downtime less.
    """
    metadata = _metadata(job.metadata)
    mine = [pod for pod in pods if controller_of(_metadata(pod.metadata)) == f"Job/{metadata.name}"]
    newest = max(mine, key=lambda pod: str(_metadata(pod.metadata).creation_timestamp), default=None)
    ended = _terminated(newest) if newest else None
    phase = newest.status.phase if newest and newest.status else ""
    succeeded = _holds(job, "Complete", "SuccessCriteriaMet") or phase == "Succeeded"
    stuck = hints.get(metadata.uid or "", "") if newest is None else stuck_reason(newest, hints)
    assert metadata.creation_timestamp is not None
    return JobState(
        name=metadata.name or "",
        created=metadata.creation_timestamp,
        active=any(not has_ended(pod) for pod in mine),
        succeeded=succeeded,
        failed=not succeeded and (_holds(job, "Failed", "FailureTarget") or phase == "Failed"),
        exit_code=ended.terminated.exit_code if ended and ended.terminated else None,
        report=(ended.terminated.message or "") if ended and ended.terminated else "",
        stuck=stuck,
    )


def _holds(job: V1Job, *types: str) -> bool:
    conditions = (job.status.conditions if job.status else None) or []
    return any(condition.type in types and condition.status == "True" for condition in conditions)


def _terminated(pod: V1Pod) -> V1ContainerState | None:
    statuses = (pod.status.container_statuses if pod.status else None) or []
    states = [status.state for status in statuses if status.name == "becalm" and status.state]
    return next((state for state in states if state.terminated), None)


def stuck_reason(pod: V1Pod, hints: Mapping[str, str]) -> str:
    """Return why a pod cannot start, or nothing."""
    if pod.status is None or pod.status.phase != "Pending":
        return ""
    for status in pod.status.container_statuses or ():
        waiting = status.state.waiting if status.state else None
        if waiting and waiting.reason in _STUCK:
            return f"{waiting.reason}: {waiting.message or 'no message'}"
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"{condition.reason or 'Unschedulable'}: {condition.message or 'no message'}"
    return hints.get(_metadata(pod.metadata).uid or "", "")


def _metadata(metadata: V1ObjectMeta | None) -> V1ObjectMeta:
    assert metadata is not None
    return metadata
