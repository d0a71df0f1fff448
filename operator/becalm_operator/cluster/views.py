"""From the API's objects to what decisions see of pods, claims and Jobs. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from kubernetes.aio.client import (
    V1ContainerStateTerminated,
    V1ContainerStatus,
    V1Job,
    V1JobCondition,
    V1Namespace,
    V1ObjectMeta,
    V1PersistentVolumeClaim,
    V1PersistentVolumeClaimSpec,
    V1Pod,
    V1PodSpec,
)

from becalm_operator.api import names
from becalm_operator.api.switches import NATIVE, resource_name
from becalm_operator.cluster.identities import identities
from becalm_operator.cluster.movers import Movers, is_labelled
from becalm_operator.cluster.quantity import amount, size_bytes
from becalm_operator.plan.world import Claim, JobState, Pod

_STUCK = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
)
_FINAL = ("Succeeded", "Failed")
_UNDER_WAY = ("Pending", "Running")
_NOT_STARTED = ("StartError", "ContainerCannotRun")
_LOCKS_STAND = timedelta(minutes=35)
"""How long a lock stands that nobody refreshes, and a little more."""
_MOST_GONE = 50
_MOST_DIGITS = 9
_ENFORCED = "pod-security.kubernetes.io/enforce"
_ONE_POD = "ReadWriteOncePod"
_ONE_NODE = ("ReadWriteOnce", _ONE_POD)
_NO_MOVERS = Movers()


def mounted(pod: V1PodSpec | None) -> tuple[str, ...]:
    """Return the claims that a pod of this spec mounts."""
    volumes = (pod.volumes if pod else None) or []
    sources = (volume.persistent_volume_claim for volume in volumes)
    return tuple(dict.fromkeys(source.claim_name for source in sources if source))


def controller_of(metadata: V1ObjectMeta) -> str:
    """Return the controller of an object, named as a workload is, or nothing."""
    owners = [owner for owner in metadata.owner_references or () if owner.controller]
    return named(owners[0].kind, owners[0].api_version, owners[0].name) if owners else ""


def named(kind: str, api_version: str, name: str) -> str:
    """Return the name of any object as workloads are named. Groups of Kubernetes itself are left out."""
    ours = api_version in ("v1", *NATIVE.values())
    return f"{resource_name(kind, None if ours else api_version)}/{name}"


def pod_view(pod: V1Pod, owners: Mapping[str, str], movers: Movers = _NO_MOVERS) -> Pod:
    """Return a pod as decisions see it. It belongs to the controller of its controller, and so on.

    `owners` says who controls what; all are named as workloads are. `movers` says what is ours.
    """
    metadata = metadata_of(pod.metadata)
    ours = movers.has(metadata)
    return Pod(
        name=metadata.name or "",
        owner=_top(controller_of(metadata), owners),
        claims=mounted(pod.spec) + _ephemeral(pod),
        node=(pod.spec.node_name if pod.spec else None) or "",
        created=metadata.creation_timestamp,
        ended=has_ended(pod),
        ours=ours,
        written=movers.written(pod) if ours else (),
        ready=_is_ready(pod),
        labels=dict(metadata.labels or {}),
        identities=identities(pod.spec),
        requests=_requests(pod.spec),
    )


def _requests(pod: V1PodSpec | None) -> dict[str, Decimal]:
    """Return what the containers of a pod ask a node for. Init containers are over when it stands beside others."""
    total: dict[str, Decimal] = {}
    for container in (pod.containers if pod else None) or ():
        asked = (container.resources.requests if container.resources else None) or {}
        for resource, text in asked.items():
            total[resource] = total.get(resource, Decimal()) + amount(str(text))
    return total


def _is_ready(pod: V1Pod) -> bool:
    conditions = (pod.status.conditions if pod.status else None) or []
    going = metadata_of(pod.metadata).deletion_timestamp is not None
    return not going and any(c.type == "Ready" and c.status == "True" for c in conditions)


def _top(name: str, owners: Mapping[str, str]) -> str:
    passed = {name}
    while (owner := owners.get(name)) and owner not in passed:
        passed.add(owner)
        name = owner
    return name


def _ephemeral(pod: V1Pod) -> tuple[str, ...]:
    """Return the claims that exist for this pod alone."""
    volumes = (pod.spec.volumes if pod.spec else None) or []
    return tuple(f"{metadata_of(pod.metadata).name}-{v.name}" for v in volumes if v.ephemeral)


def has_ended(pod: V1Pod) -> bool:
    """Say whether a pod's containers are gone for good."""
    return _phase(pod) in _FINAL


def _phase(pod: V1Pod) -> str:
    """Return a pod's phase: the one to come, once all its containers have ended and none is started again.

    The kubelet tells of the containers first, and of the phase a second later. That is a second of downtime less. What
    has ended at once was never seen to run.
    """
    status, spec = pod.status, pod.spec
    told = (status.phase if status else None) or ""
    if status is None or spec is None or told not in _UNDER_WAY or spec.restart_policy != "Never":
        return told
    beside = (*(status.init_container_statuses or ()), *(status.ephemeral_container_statuses or ()))
    codes = [_exit_code(one) for one in status.container_statuses or ()]
    if len(codes) < len(spec.containers) or None in codes or any(_exit_code(one) is None for one in beside):
        return told
    return "Failed" if any(codes) else "Succeeded"


def _is_final(pod: V1Pod) -> bool:
    return bool(pod.status and pod.status.phase in _FINAL)


def _exit_code(container: V1ContainerStatus) -> int | None:
    ended = container.state.terminated if container.state else None
    return ended.exit_code if ended else None


def pod_security(namespace: V1Namespace) -> str:
    """Return the Pod Security Standard that a namespace enforces."""
    return (metadata_of(namespace.metadata).labels or {}).get(_ENFORCED, "privileged")


def claim_view(claim: V1PersistentVolumeClaim) -> Claim:
    """Return a claim as decisions see it."""
    metadata = metadata_of(claim.metadata)
    spec = claim.spec or V1PersistentVolumeClaimSpec()
    modes = spec.access_modes or []
    return Claim(
        name=metadata.name or "",
        bound=bool(claim.status and claim.status.phase == "Bound"),
        labels=dict(metadata.labels or {}),
        node_bound=all(mode in _ONE_NODE for mode in modes),
        volume=spec.volume_name or "",
        storage_class=spec.storage_class_name or "",
        access_modes=tuple(modes),
        size_bytes=_capacity(claim),
        block=spec.volume_mode == "Block",
        one_pod=bool(modes) and all(mode == _ONE_POD for mode in modes),
    )


def _capacity(claim: V1PersistentVolumeClaim) -> int:
    """Return how large a claim's volume is; before it has one, how large it is to be."""
    given = (claim.status.capacity if claim.status else None) or {}
    resources = claim.spec.resources if claim.spec else None
    asked = (resources.requests if resources else None) or {}
    return size_bytes(str(given.get("storage") or asked.get("storage") or "0"))


def job_view(job: V1Job, pods: Iterable[V1Pod], hints: Mapping[str, str]) -> JobState:
    """Return a Job as decisions see it. `hints` say, by UID, what events tell of a Job or pod that is stuck.

    A pod's own end counts before the Job controller has taken notice: that is another second of downtime less.
    """
    metadata = metadata_of(job.metadata)
    mine = [pod for pod in pods if controller_of(metadata_of(pod.metadata)) == f"job/{metadata.name}"]
    newest = max(mine, key=lambda pod: str(metadata_of(pod.metadata).creation_timestamp), default=None)
    ended = _terminated(newest, _telling(newest)) if newest else None
    phase = _phase(newest) if newest else ""
    dumped = _terminated(newest, "dump") if newest else None
    annotations = (metadata_of(newest.metadata).annotations if newest else None) or {}
    succeeded = _holds(job, "Complete", "SuccessCriteriaMet") or phase == "Succeeded"
    stuck = hints.get(metadata.uid or "", "") if newest is None else stuck_reason(newest, hints)
    assert metadata.creation_timestamp is not None
    return JobState(
        name=metadata.name or "",
        created=metadata.creation_timestamp,
        active=any(not has_ended(pod) for pod in mine),
        lingers=any(has_ended(pod) and not _is_final(pod) for pod in mine),
        succeeded=succeeded,
        failed=not succeeded and (_holds(job, "Failed", "FailureTarget") or phase == "Failed"),
        overdue=_is_overdue(job),
        exit_code=ended.exit_code if ended else None,
        report=(ended.message or "") if ended else "",
        stuck=stuck,
        dump_exit_code=dumped.exit_code if dumped else None,
        dump_ended_at=dumped.finished_at if dumped else None,
        dump_reason=_reason(dumped) if dumped else "",
        pod=(metadata_of(newest.metadata).name or "") if newest else "",
        ready=newest is not None and _is_ready(newest),
        gate=annotations.get(names.GATE_ANNOTATION, ""),
        gate_calls=_number(annotations.get(names.GATE_CALLS_ANNOTATION, "")),
    )


def _number(text: str) -> int:
    """Return a number that an annotation holds; 0 where somebody has written there what they like."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else 0


def _holds(job: V1Job, *types: str) -> bool:
    return any(condition.type in types for condition in _true_conditions(job))


def _is_overdue(job: V1Job) -> bool:
    return any(condition.reason == "DeadlineExceeded" for condition in _true_conditions(job))


def _true_conditions(job: V1Job) -> list[V1JobCondition]:
    conditions = (job.status.conditions if job.status else None) or []
    return [condition for condition in conditions if condition.status == "True"]


def _terminated(pod: V1Pod, container: str) -> V1ContainerStateTerminated | None:
    statuses = (pod.status.container_statuses if pod.status else None) or []
    states = [status.state for status in statuses if status.name == container and status.state]
    return next((state.terminated for state in states if state.terminated), None)


def _telling(pod: V1Pod) -> str:
    """Return the container whose end is the Job's: ours, or in the pod of somebody's own Job the first one."""
    containers = [container.name for container in (pod.spec.containers if pod.spec else None) or ()]
    return "becalm" if "becalm" in containers else next(iter(containers), "")


def gone_pods(pods: Iterable[V1Pod], now: datetime) -> tuple[str, ...]:
    """Return those of our pods that have failed lately and run no more: a lock that one has left is nobody's.

    The kubelet's word counts and no other: it says how our container has ended. A pod that was only given up, for
    its node cannot be reached, or whose object was taken away by force, may still run.
    """
    found = (
        (_ended_at(pod), metadata_of(pod.metadata).name or "") for pod in pods if _is_ours_and_failed(pod)
    )
    lately = sorted((ended, name) for ended, name in found if ended and now - ended < _LOCKS_STAND)
    return tuple(name for _, name in lately[-_MOST_GONE:])


def _is_ours_and_failed(pod: V1Pod) -> bool:
    return is_labelled(metadata_of(pod.metadata)) and _phase(pod) == "Failed"


def _ended_at(pod: V1Pod) -> datetime | None:
    ended = _terminated(pod, "becalm")
    return ended.finished_at if ended else None


def _reason(ended: V1ContainerStateTerminated) -> str:
    """Return why a container has ended, where its program did not end by itself. What that has said is left out."""
    if ended.reason in _NOT_STARTED:
        return f"{ended.reason}: {ended.message or 'no message'}"
    return "" if ended.reason in ("Completed", "Error") else ended.reason or ""


def stuck_reason(pod: V1Pod, hints: Mapping[str, str]) -> str:
    """Return why a pod cannot start, or nothing."""
    if pod.status is None or pod.status.phase != "Pending":
        return ""
    for status in (*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())):
        waiting = status.state.waiting if status.state else None
        if waiting and waiting.reason in _STUCK:
            return f"{waiting.reason}: {waiting.message or 'no message'}"
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"{condition.reason or 'Unschedulable'}: {condition.message or 'no message'}"
    return hints.get(metadata_of(pod.metadata).uid or "", "")


def metadata_of(metadata: V1ObjectMeta | None) -> V1ObjectMeta:
    """Return the metadata of an object that the API server has sent: none is without."""
    assert metadata is not None
    return metadata
