"""The Jobs of a run: each runs one command of the engine, once, and leaves its report as termination message."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubernetes.aio.client import (
    V1Affinity,
    V1Container,
    V1EmptyDirVolumeSource,
    V1EnvVar,
    V1Job,
    V1NodeAffinity,
    V1NodeSelector,
    V1NodeSelectorRequirement,
    V1NodeSelectorTerm,
    V1ObjectMeta,
    V1PersistentVolumeClaimVolumeSource,
    V1PodSpec,
    V1PodTemplateSpec,
    V1Probe,
    V1Volume,
    V1VolumeMount,
)

from becalm_engine.contract import CommitPlan
from becalm_operator.api import names
from becalm_operator.api.backup import BackupSpec
from becalm_operator.api.identity import Identity
from becalm_operator.api.repository import BackupRepositorySpec
from becalm_operator.api.restore import RestoreSpec, TargetStatus
from becalm_operator.api.schedule import Retention
from becalm_operator.api.snapshots import VolumeSnapshotStatus
from becalm_operator.manifests.access import literal, repository_access
from becalm_operator.manifests.gate import CLOSED, Gate, annotation_file
from becalm_operator.manifests.identity import OF_REPOSITORY, container_context, pod_context
from becalm_operator.manifests.owned import Owner, owned_job
from becalm_operator.manifests.snapshots import clone_volume
from becalm_operator.manifests.written import resources, tolerations
from becalm_operator.settings import PullPolicy

ACCESS, INIT, MOVER, COMMIT, FORGET, RESTORE = "access", "init", "mover", "commit", "forget", "restore"
PREVIEW = "preview"
TERMINATION_LOG = "/dev/termination-log"
_DATA_FOLDER = "/data"
_PLAN_FOLDER = "/run/becalm"
_NOWHERE = "/tmp/preview"  # noqa: S108  nothing is written there
_READS = ("DAC_READ_SEARCH",)
_WRITES = ("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "MKNOD", "SETFCAP")
_OPENING_SECONDS = 30 * 60
_TIDYING_SECONDS = 6 * 3600
"""When a Job that holds no workload down is given up. Those that do are ended by the run, and have bounds of it."""
_LOCK_PATIENCE = "35m"
"""How long `forget` waits for whoever works on the repository: a lock that nobody refreshes counts for half an hour."""


@dataclass(frozen=True, slots=True)
class Image:
    """What movers run."""

    name: str
    pull_policy: PullPolicy


@dataclass(frozen=True, slots=True)
class _Task:
    """What one Job does, beside opening the repository."""

    role: str
    arguments: tuple[str, ...]
    part: str = ""
    volumes: tuple[V1Volume, ...] = ()
    mounts: tuple[V1VolumeMount, ...] = ()
    capabilities: tuple[str, ...] = ()
    node: str = ""
    identity: Identity | None = None
    deadline_seconds: int | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    probe: V1Probe | None = None


def access_job(owner: Owner, repository: BackupRepositorySpec, image: Image, *, part: str = "") -> V1Job:
    """Open the repository and report its id."""
    return _job(
        owner, repository, image, _Task(ACCESS, ("cat", "config"), part, deadline_seconds=_OPENING_SECONDS)
    )


def init_job(owner: Owner, repository: BackupRepositorySpec, image: Image, *, part: str = "") -> V1Job:
    """Make the repository."""
    return _job(owner, repository, image, _Task(INIT, ("init",), part, deadline_seconds=_OPENING_SECONDS))


def mover_job(
    owner: Owner,
    repository: BackupRepositorySpec,
    image: Image,
    *,
    backup: BackupSpec,
    claim: str,
    node: str,
    identity: Identity | None = None,
    snapshot: VolumeSnapshotStatus | None = None,
    gate: Gate | None = None,
    deadline_seconds: int | None = None,
) -> V1Job:
    """Read one claim, or its `snapshot`, and upload it, without publishing a snapshot of the repository.

    It waits for its `gate`, if it has one. `deadline_seconds` is when Kubernetes ends it, whoever is there.
    """
    arguments = ["backup", "--capture", f"--host={owner.namespace}"]
    arguments += [f"--exclude={pattern}" for pattern in backup.paths.exclude]
    arguments += ["--exclude-caches"] if backup.paths.exclude_caches else []
    arguments += gate.arguments if gate else []
    arguments.append(data_path(claim))
    volumes, mounts = _claim(claim, read_only=True)
    if snapshot is not None:
        volumes = (clone_volume("data", snapshot),)
    task = _Task(MOVER, tuple(arguments), claim, volumes, mounts, _READS, node, identity, deadline_seconds)
    return _job(owner, repository, image, _behind(gate, task) if gate else task)


def _behind(gate: Gate, task: _Task) -> _Task:
    return dataclasses.replace(
        task,
        volumes=(*task.volumes, gate.volume),
        mounts=(*task.mounts, gate.mount),
        annotations={names.GATE_ANNOTATION: CLOSED},
        probe=gate.probe,
    )


def stream_job(
    owner: Owner,
    repository: BackupRepositorySpec,
    image: Image,
    *,
    role: str,
    part: str,
    fifo: str,
    path: str,
    volume: V1Volume,
    mount: V1VolumeMount,
    deadline_seconds: int,
) -> V1Job:
    """Upload what comes through a named pipe as one file at `path`, without publishing a snapshot."""
    arguments = ("backup", "--capture", f"--host={owner.namespace}")
    stream = (f"--stdin-from-fifo={fifo}", f"--stdin-filename={path}")
    task = _Task(role, (*arguments, *stream), part, (volume,), (mount,), deadline_seconds=deadline_seconds)
    return _job(owner, repository, image, task)


def attempt_part(attempt: int) -> str:
    """Return what distinguishes the Jobs of several tries, counted from 1."""
    return "" if attempt == 1 else str(attempt)


def commit_job(
    owner: Owner, repository: BackupRepositorySpec, image: Image, *, plan: CommitPlan, attempt: int = 1
) -> V1Job:
    """Publish the trees of all claims as snapshots."""
    source = annotation_file("plan.json", names.COMMIT_ANNOTATION)
    task = _Task(
        COMMIT,
        ("commit", f"--plan={_PLAN_FOLDER}/plan.json"),
        attempt_part(attempt),
        deadline_seconds=_TIDYING_SECONDS,
        volumes=(V1Volume(name="plan", downward_api=source),),
        mounts=(V1VolumeMount(name="plan", mount_path=_PLAN_FOLDER, read_only=True),),
        annotations={names.COMMIT_ANNOTATION: plan.to_json()},
    )
    return _job(owner, repository, image, task)


def forget_job(
    owner: Owner, repository: BackupRepositorySpec, image: Image, *, schedule: str, retention: Retention
) -> V1Job:
    """Apply a schedule's retention to its own snapshots, and to nobody else's."""
    arguments = [
        "forget",
        f"--host={owner.namespace}",
        f"--tag={schedule_tag(schedule)}",
        "--group-by=host,paths",
        f"--retry-lock={_LOCK_PATIENCE}",
    ]
    arguments += retention_flags(retention)
    return _job(owner, repository, image, _Task(FORGET, tuple(arguments), deadline_seconds=_TIDYING_SECONDS))


def restore_job(
    owner: Owner,
    repository: BackupRepositorySpec,
    image: Image,
    *,
    restore: RestoreSpec,
    target: TargetStatus,
    deadline_seconds: int | None = None,
) -> V1Job:
    """Put the files of a snapshot back into one claim, until Kubernetes ends it after `deadline_seconds`."""
    arguments = _restored(restore, target, data_path(target.to))
    arguments += ["--sparse"]  # a claim may hold files that are larger than itself
    arguments += ["--allow-unset-metadata"]  # the content counts; the status says what could not be set
    arguments += ["--delete"] if restore.delete_extra else []
    arguments += ["--verify"] if restore.verify else []
    volumes, mounts = _claim(target.to, read_only=False)
    task = _Task(RESTORE, tuple(arguments), target.to, volumes, mounts, _WRITES, target.node, target.identity)
    return _job(owner, repository, image, dataclasses.replace(task, deadline_seconds=deadline_seconds))


def preview_job(
    owner: Owner,
    repository: BackupRepositorySpec,
    image: Image,
    *,
    restore: RestoreSpec,
    target: TargetStatus,
) -> V1Job:
    """See that a restore into one claim could begin. It mounts nothing, and is over when the top folder is read."""
    arguments = (*_restored(restore, target, _NOWHERE), "--exclude=*", "--dry-run")
    return _job(
        owner, repository, image, _Task(PREVIEW, arguments, target.to, deadline_seconds=_OPENING_SECONDS)
    )


def _restored(restore: RestoreSpec, target: TargetStatus, folder: str) -> list[str]:
    """Return the command that restores what is wished into a folder, but for how."""
    command = ["restore", f"{target.snapshot_id}:{data_path(target.claim)}", f"--target={folder}"]
    return command + [f"--include={pattern}" for pattern in restore.paths.include]


def breaking_locks(job: V1Job, gone_hosts: Iterable[str]) -> V1Job:
    """Return a Job for which locks of these hosts count for nothing."""
    made = job.model_copy(deep=True)
    assert made.spec is not None
    assert made.spec.template.spec is not None
    (container,) = (one for one in made.spec.template.spec.containers if one.name == "becalm")
    container.command = [*(container.command or ()), *(f"--gone-host={host}" for host in gone_hosts)]
    return made


def data_path(claim: str) -> str:
    """Return where a claim is mounted; the path stands in the snapshots."""
    return f"{_DATA_FOLDER}/{claim}"


def schedule_tag(schedule: str) -> str:
    """Return the tag by which a schedule's retention knows its snapshots."""
    return f"schedule={schedule}"


def retention_flags(retention: Retention) -> list[str]:
    """Return the flags of `becalm forget` for a retention."""
    kept = retention.model_dump(by_alias=False, exclude_none=True)
    return [f"--{name.replace('_', '-')}={value}" for name, value in kept.items()]


def _claim(claim: str, *, read_only: bool) -> tuple[tuple[V1Volume, ...], tuple[V1VolumeMount, ...]]:
    source = V1PersistentVolumeClaimVolumeSource(claim_name=claim, read_only=read_only or None)
    mount = V1VolumeMount(name="data", mount_path=data_path(claim), read_only=read_only)
    return (V1Volume(name="data", persistent_volume_claim=source),), (mount,)


def _job(owner: Owner, repository: BackupRepositorySpec, image: Image, task: _Task) -> V1Job:
    mover = repository.mover
    metadata = V1ObjectMeta(
        labels=dict(mover.pod_labels), annotations={**mover.pod_annotations, **task.annotations}
    )
    template = V1PodTemplateSpec(metadata=metadata, spec=_pod(repository, image, task))
    part = names.CLAIM_ANNOTATION, task.part
    return owned_job(owner, task.role, template, part=part, deadline_seconds=task.deadline_seconds)


def _pod(repository: BackupRepositorySpec, image: Image, task: _Task) -> V1PodSpec:
    access, mover = repository_access(repository), repository.mover
    environment = (*access.environment, V1EnvVar(name="BECALM_REPORT", value=TERMINATION_LOG))
    container = V1Container(
        name="becalm",
        image=image.name,
        image_pull_policy=image.pull_policy,
        command=["becalm", *(literal(argument) for argument in (*task.arguments, *access.flags))],
        env=list(environment),
        startup_probe=task.probe,
        volume_mounts=[*access.mounts, *task.mounts, V1VolumeMount(name="tmp", mount_path="/tmp")],  # noqa: S108
        termination_message_path=TERMINATION_LOG,
        termination_message_policy="File",
        resources=resources(mover.resources, "spec.mover.resources", OF_REPOSITORY),
        security_context=container_context(repository, task.identity, task.capabilities),
    )
    return V1PodSpec(
        restart_policy="Never",
        automount_service_account_token=False,
        enable_service_links=False,
        service_account_name=mover.service_account_name or None,
        priority_class_name=mover.priority_class_name or None,
        node_selector=dict(mover.node_selector) or None,
        affinity=_affinity(task.node),
        tolerations=tolerations(mover.tolerations, "spec.mover.tolerations", OF_REPOSITORY),
        termination_grace_period_seconds=20,
        security_context=pod_context(task.identity),
        containers=[container],
        volumes=[
            *access.volumes,
            *task.volumes,
            V1Volume(name="tmp", empty_dir=V1EmptyDirVolumeSource()),
        ],
    )


def _affinity(node: str) -> V1Affinity | None:
    """Bind a pod to the node where its volume is attached, and still let the scheduler decide that it fits."""
    if not node:
        return None
    here = V1NodeSelectorRequirement(key="metadata.name", operator="In", values=[node])
    terms = V1NodeSelector(node_selector_terms=[V1NodeSelectorTerm(match_fields=[here])])
    return V1Affinity(node_affinity=V1NodeAffinity(required_during_scheduling_ignored_during_execution=terms))
