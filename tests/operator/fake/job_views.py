"""Jobs of the cluster in memory: made of manifests, and shown as decisions see them."""

from decimal import Decimal

from kubernetes.aio.client import V1Job

from becalm_operator.api import names
from becalm_operator.errors import RefusedError
from becalm_operator.manifests.hooks import HOOK
from becalm_operator.manifests.jobs import RESTORE
from becalm_operator.plan.world import JobState, Pod
from tests.operator.fake.objects import StoredJob
from tests.operator.fake.state import State, refuse_bad_labels

NODE = "node-1"


def mover_pod(job: StoredJob, run: str) -> Pod | None:
    """Return the pod of a mover, as the run of a UID sees it."""
    if not job.has_pod:
        return None
    claim = f"{job.name}-pod-data" if job.snapshot else job.claim
    ours = job.role != HOOK
    written = (claim,) if job.role == RESTORE and job.owner_uid != run else ()
    labels = {names.OWNER_UID_LABEL: job.owner_uid}
    return Pod(
        pod_name(job),
        f"job/{job.name}",
        (claim,) if claim else (),
        NODE,
        ours=ours,
        written=written,
        ready=True,
        labels=labels,
        requests={"memory": Decimal(job.script.memory)},
    )


def pod_name(job: StoredJob) -> str:
    """Return the name of a Job's pod, if it has one."""
    return pod_of(job) if job.has_pod else ""


def pod_of(job: StoredJob) -> str:
    """Return what a Job's pod is called, also when it is over."""
    return f"{job.name}-pod"


def job_state(job: StoredJob) -> JobState:
    """Return a Job as decisions see it."""
    return JobState(
        name=job.name,
        created=job.created,
        active=job.has_pod,
        succeeded=job.phase == "succeeded",
        failed=job.phase == "failed",
        exit_code=job.exit_code,
        report=job.report,
        stuck=_stuck(job),
        dump_exit_code=job.dump_exit_code,
        dump_ended_at=job.ended_at if job.dump_exit_code is not None else None,
        pod=pod_name(job),
        ready=job.at_gate if job.gate else job.phase == "running",
        gate=job.gate if job.has_pod else "",
        gate_calls=job.gate_calls if job.has_pod else 0,
    )


def _stuck(job: StoredJob) -> str:
    if job.phase != "made" or not job.age:
        return ""
    if job.waits:
        return "Unschedulable: the claim of the pod is not bound"
    return job.script.stuck if job.is_stuck else ""


def stored_job(state: State, namespace: str, job: V1Job) -> StoredJob:
    """Return what a manifest asks for."""
    metadata, template = job.metadata, job.spec.template.metadata if job.spec else None
    assert metadata is not None
    assert template is not None
    labels, annotations = metadata.labels or {}, template.annotations or {}
    refuse_bad_labels({**labels, **(template.labels or {})})
    if len(metadata.name or "") > 63:
        raise RefusedError(f"Job name {metadata.name} is too long")
    role = labels[names.ROLE_LABEL]
    claim = annotations[names.HOOK_ANNOTATION if role == HOOK else names.CLAIM_ANNOTATION]
    return StoredJob(
        namespace=namespace,
        name=metadata.name or "",
        uid=state.new_uid(),
        owner_uid=labels[names.OWNER_UID_LABEL],
        role=role,
        claim=claim if role in ("mover", "restore") else "",
        plan=annotations.get(names.COMMIT_ANNOTATION, ""),
        gate=annotations.get(names.GATE_ANNOTATION, ""),
        script=state.script_of(role, claim, metadata.name or ""),
        created=state.now,
        snapshot=_source_of(job),
        gone_hosts=_gone_hosts(job),
    )


def _gone_hosts(job: V1Job) -> tuple[str, ...]:
    pod = job.spec.template.spec if job.spec else None
    words = [word for container in (pod.containers if pod else ()) for word in container.command or ()]
    return tuple(word.removeprefix("--gone-host=") for word in words if word.startswith("--gone-host="))


def gone_pods(state: State, namespace: str) -> tuple[str, ...]:
    """Return the pods that have failed lately; where one was killed, that has left its lock."""
    return tuple(
        pod_of(job)
        for job in state.jobs.values()
        if job.namespace == namespace and job.phase == "failed" and job.deleting is None
    )


def _source_of(job: V1Job) -> str:
    """Return the snapshot that a Job's volume is filled from."""
    pod = job.spec.template.spec if job.spec else None
    volumes = (pod.volumes if pod else None) or []
    templates = [volume.ephemeral.volume_claim_template for volume in volumes if volume.ephemeral]
    sources = [template.spec.data_source for template in templates if template]
    return next((source.name for source in sources if source), "")
