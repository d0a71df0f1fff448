"""From the API's objects to what decisions see of workloads. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from kubernetes.aio.client import V1CronJob, V1Deployment, V1ObjectMeta, V1ReplicaSet, V1StatefulSet
from pydantic import ValidationError

from becalm_operator.api import names
from becalm_operator.api.backup import WorkloadReference
from becalm_operator.api.identity import Identity
from becalm_operator.api.record import Record
from becalm_operator.api.switches import (
    KEDA_API_VERSION,
    KEDA_KIND,
    KEDA_PAUSE,
    KEDA_PAUSED_AT,
    NATIVE,
    SUSPENSION,
    Switch,
    dig,
    resource_name,
)
from becalm_operator.cluster.authors import is_put_back
from becalm_operator.cluster.documents import Document, without_authors
from becalm_operator.cluster.identities import identities
from becalm_operator.cluster.kinds import ScaledKind
from becalm_operator.cluster.views import controller_of, metadata_of, mounted, named
from becalm_operator.plan.world import Pod, Workload


def deployment_view(deployment: V1Deployment) -> Workload:
    """Return a Deployment as decisions see it."""
    assert deployment.spec is not None
    template = deployment.spec.template.spec
    return _workload("Deployment", deployment, mounted(template), identities(template))


def stateful_set_view(stateful_set: V1StatefulSet, claims: Iterable[str]) -> Workload:
    """Return a StatefulSet as decisions see it. `claims` are all claims of its namespace."""
    spec = stateful_set.spec
    assert spec is not None
    policy = spec.persistent_volume_claim_retention_policy
    templates = [metadata_of(claim.metadata).name or "" for claim in spec.volume_claim_templates or ()]
    named, known = metadata_of(stateful_set.metadata).name or "", tuple(claims)
    made = {template: _of_templates(named, [template], known) for template in templates}
    deletes = bool(policy and policy.when_scaled == "Delete")
    return _workload(
        "StatefulSet",
        stateful_set,
        (*mounted(spec.template.spec), *sorted(claim for each in made.values() for claim in each)),
        identities(spec.template.spec, made),
        deletes_claims=deletes,
    )


def replica_set_view(replica_set: V1ReplicaSet) -> Workload:
    """Return a ReplicaSet as decisions see it.

    One that has an owner carries no record of its own: a Deployment's controller copies annotations to its ReplicaSets,
    and leaves them there.
    """
    assert replica_set.spec is not None
    template = replica_set.spec.template.spec if replica_set.spec.template is not None else None
    seen = _workload("ReplicaSet", replica_set, mounted(template), identities(template))
    return replace(seen, record=None, unreadable_record=False) if seen.owner else seen


def _workload(
    kind: str,
    one: V1Deployment | V1StatefulSet | V1ReplicaSet,
    claims: tuple[str, ...],
    known: Mapping[str, Identity],
    *,
    deletes_claims: bool = False,
) -> Workload:
    metadata, spec, status = metadata_of(one.metadata), one.spec, one.status
    assert spec is not None
    record, unreadable = _record(metadata.annotations or {})
    return Workload(
        reference=WorkloadReference(kind=kind, name=metadata.name or ""),
        uid=metadata.uid or "",
        resource_version=metadata.resource_version or "",
        replicas=1 if spec.replicas is None else spec.replicas,
        ready=(status.ready_replicas if status else None) or 0,
        settled=((status.observed_generation if status else None) or 0) >= (metadata.generation or 0),
        generation=metadata.generation or 0,
        record=record,
        unreadable_record=unreadable,
        owner=controller_of(metadata),
        deletes_claims=deletes_claims,
        claims=claims,
        identities=known,
    )


def cron_job_view(cron_job: V1CronJob) -> Workload:
    """Return a CronJob as decisions see it: it is up if it is not suspended."""
    metadata, spec = metadata_of(cron_job.metadata), cron_job.spec
    assert spec is not None
    job = spec.job_template.spec
    template = job.template.spec if job is not None else None
    record, unreadable = _record(metadata.annotations or {})
    up = 0 if spec.suspend else 1
    return Workload(
        reference=WorkloadReference(kind="CronJob", name=metadata.name or ""),
        uid=metadata.uid or "",
        resource_version=metadata.resource_version or "",
        replicas=up,
        ready=up,
        switch=SUSPENSION,
        generation=metadata.generation or 0,
        record=record,
        unreadable_record=unreadable,
        owner=controller_of(metadata),
        claims=mounted(template),
        identities=identities(template),
    )


def native_view(document: Document, kind: str, switch: Switch) -> Workload:
    """Return an object of a native kind as the sweep sees it: who mounts what and who is Ready is a run's affair."""
    replicas, generation = switch.read(document), document["metadata"].get("generation", 0)
    counted = 1 if replicas is None else replicas
    return _of_document(document, kind, NATIVE[kind], switch, counted, generation)


def scaled_view(document: Document, kind: ScaledKind) -> Workload:
    """Return an object of a kind with a scale subresource as decisions see it. Its claims only its pods tell."""
    replicas = kind.switch.read(document)
    ready = dig(document, kind.status_path)
    observed = dig(document, ("status", "observedGeneration"))
    generation = document["metadata"].get("generation", 0)
    counted = generation if kind.counts_changes else 0
    return replace(
        _of_document(document, kind.kind, kind.api_version, kind.switch, replicas or 0, counted),
        ready=ready if isinstance(ready, int) else 0,
        settled=not isinstance(observed, int) or observed >= generation,
        unfit="" if replicas is not None else f"has no number at {'.'.join(kind.switch.path)}",
    )


def autoscaler_view(document: Document) -> Workload:
    """Return a ScaledObject of KEDA as decisions see it: it is up if it is not paused."""
    up = KEDA_PAUSE.read(document) or 0
    held_at = dig(document, ("metadata", "annotations", KEDA_PAUSED_AT))
    pinned = f"holds its target at {held_at} replicas, by its annotation {KEDA_PAUSED_AT}"
    return replace(
        _of_document(document, KEDA_KIND, KEDA_API_VERSION, KEDA_PAUSE, up if held_at is None else 0),
        ready=up,
        scales=_target(dig(document, ("spec", "scaleTargetRef")) or {}),
        unfit="" if held_at in (None, "0") else pinned,
    )


def _target(reference: Document) -> str:
    """Return what a ScaledObject scales, named as a workload is; a Deployment where it says nothing else."""
    kind = reference.get("kind") or "Deployment"
    return f"{resource_name(kind, reference.get('apiVersion') or NATIVE.get(kind))}/{reference.get('name')}"


def _of_document(
    document: Document, kind: str, api_version: str, switch: Switch, replicas: int, generation: int = 0
) -> Workload:
    metadata = document["metadata"]
    record, unreadable = _record(metadata.get("annotations") or {})
    owners = [owner for owner in metadata.get("ownerReferences") or () if owner.get("controller")]
    return Workload(
        reference=WorkloadReference(kind=kind, api_version=api_version, name=metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        replicas=replicas,
        switch=switch,
        generation=generation,
        record=record,
        unreadable_record=unreadable,
        put_back=record is not None and is_put_back(metadata, record, switch, generation),
        owner=named(owners[0]["kind"], owners[0]["apiVersion"], owners[0]["name"]) if owners else "",
    )


def with_claims_of_pods(workloads: Mapping[str, Workload], pods: Iterable[Pod]) -> dict[str, Workload]:
    """Return the workloads, and those whose kind tells nothing of claims with what their pods mount."""
    mounted: dict[str, dict[str, None]] = {}
    for pod in pods:
        mounted.setdefault(pod.owner, {}).update(dict.fromkeys(pod.claims))
    return {
        name: one if one.reference.is_native else replace(one, claims=tuple(sorted(mounted.get(name, ()))))
        for name, one in workloads.items()
    }


def _of_templates(stateful_set: str, templates: Iterable[str], claims: Iterable[str]) -> tuple[str, ...]:
    """Return the claims made from a StatefulSet's templates: those of ordinals beyond its count, too."""
    pattern = re.compile(rf"(?:{'|'.join(map(re.escape, templates))})-{re.escape(stateful_set)}-\d+")
    return tuple(sorted(claim for claim in claims if pattern.fullmatch(claim)))


def _record(annotations: Mapping[str, str]) -> tuple[Record | None, bool]:
    """Return the record, and whether there is one that makes no sense."""
    text = annotations.get(names.RECORD_ANNOTATION)
    if text is None:
        return None, False
    try:
        return Record.model_validate_json(text), False
    except ValidationError:
        return None, True


def metadata_from(document: Document) -> V1ObjectMeta:
    """Return metadata that came as a document, without its authors."""
    return metadata_of(V1ObjectMeta.from_dict(without_authors(document)))
