"""What belongs to an object of ours: it goes with that, and is known by its labels."""

from dataclasses import dataclass

from kubernetes.aio.client import V1Job, V1JobSpec, V1ObjectMeta, V1OwnerReference, V1PodTemplateSpec

from becalm_operator.api import names
from becalm_operator.manifests.names import job_name

_KEEP_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Owner:
    """The custom resource that a Job works for."""

    kind: str
    name: str
    namespace: str
    uid: str


def labels_of(owner: Owner, role: str) -> dict[str, str]:
    """Return the labels of what belongs to an object and has a role there."""
    return {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.ROLE_LABEL: role,
        names.OWNER_KIND_LABEL: owner.kind,
        names.OWNER_UID_LABEL: owner.uid,
    }


def owner_reference(owner: Owner) -> V1OwnerReference:
    """Return the reference by which something goes with what it works for."""
    return V1OwnerReference(
        api_version=names.API_VERSION,
        kind=owner.kind,
        name=owner.name,
        uid=owner.uid,
        controller=True,
        block_owner_deletion=True,
    )


def owned_job(
    owner: Owner,
    role: str,
    template: V1PodTemplateSpec,
    *,
    part: tuple[str, str],
    deadline_seconds: int | None,
) -> V1Job:
    """Return the Job of a role, with one pod that is tried once. `part`, an annotation, tells Jobs of a role apart.

    A second try would be a second downtime: the run decides about that, not the Job.
    """
    labels = labels_of(owner, role)
    annotations = {names.OWNER_NAME_ANNOTATION: owner.name, part[0]: part[1]}
    theirs = template.metadata or V1ObjectMeta()
    template.metadata = V1ObjectMeta(
        labels={**(theirs.labels or {}), **labels},
        annotations={**(theirs.annotations or {}), **annotations},
    )
    metadata = V1ObjectMeta(
        name=job_name(owner.name, owner.uid, role, part[1]),
        namespace=owner.namespace,
        labels=labels,
        annotations=annotations,
        owner_references=[owner_reference(owner)],
    )
    spec = V1JobSpec(
        backoff_limit=0,
        active_deadline_seconds=deadline_seconds,
        completions=1,
        parallelism=1,
        ttl_seconds_after_finished=_KEEP_SECONDS,
        template=template,
    )
    return V1Job(api_version="batch/v1", kind="Job", metadata=metadata, spec=spec)
