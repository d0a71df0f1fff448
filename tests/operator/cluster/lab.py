"""What the contract of a cluster is tested with: a lab that makes things, and what nearly all tests do in it."""

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol, TypeVar

from kubernetes.aio.client import V1Job

from becalm_operator.api.backup import (
    Backup,
    BackupSpec,
    BackupStatus,
    Phase,
    VolumeStatus,
    WorkloadReference,
    WorkloadStatus,
)
from becalm_operator.api.base import LocalReference, Metadata, SecretKeyReference
from becalm_operator.api.hooks import RunHooks
from becalm_operator.api.record import Holder, Record, undo_command
from becalm_operator.api.repository import BackupRepository, BackupRepositorySpec, ClaimStorage, Storage
from becalm_operator.api.schedule import BackupSchedule, BackupScheduleSpec, BackupTemplate
from becalm_operator.cluster.port import Cluster, R, Resource
from becalm_operator.errors import ConflictError
from becalm_operator.plan.steps import (
    RunCommand,
    ScaleDown,
    ScaleUp,
)
from becalm_operator.plan.world import Held, JobState, Workload, World

T = TypeVar("T")

LONE = WorkloadReference(kind="ReplicaSet", name="lone")
REPORTS = WorkloadReference(kind="CronJob", name="reports")
WEB = WorkloadReference(kind="Deployment", name="web")
DB = WorkloadReference(kind="StatefulSet", name="db")
REPORT = '{"kind":"access","exit_code":0,"repository_id":"abc","version":2}'
CSI_DRIVER, CSI_STORAGE = "e2e.csi.becalm.dev", "snapshots"
SNAPSHOT_CLASS, REFUSING_CLASS = "snapshots", "refusing"


class Ending(enum.Enum):
    """How the pod of a Job fares."""

    WELL = enum.auto()
    """It leaves `REPORT` and ends with exit code 0."""
    FAILED = enum.auto()
    """It leaves `REPORT` and ends with exit code 12."""
    NEVER = enum.auto()
    """It runs until it is deleted."""
    STUCK = enum.auto()
    """Its container cannot be made, for the image is not on the node and must not be fetched."""


class Announced(NamedTuple):
    """An event as people read it."""

    type: str
    reason: str
    note: str


class Lab(Protocol):
    """How tests make things that becalm itself never makes, and wait."""

    namespace: str

    async def until(self, what: str, look: Callable[[], Awaitable[T | None]]) -> T:
        """Return what `look` returns once that is something; fail with `what` after a deadline."""

    async def make_claim(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Make a claim of one node that gets a volume; at the latest when a pod mounts it."""

    async def make_csi_claim(self, name: str) -> None:
        """Make a claim of `CSI_STORAGE`. Of its driver are `SNAPSHOT_CLASS`, the default one, and `REFUSING_CLASS`."""

    async def attach(self, claim: str) -> None:
        """Have the volume of a claim attached to a node."""

    async def make_deployment(
        self, name: str, *, replicas: int, claims: Sequence[str] = (), owner: str = ""
    ) -> None:
        """Make a Deployment whose pods end quickly. `owner`, ConfigMap/name, is made and controls it."""

    async def make_stateful_set(
        self, name: str, *, replicas: int, template: str, deletes_claims: bool = False
    ) -> None:
        """Make a StatefulSet with a claim template."""

    async def make_replica_set(self, name: str, *, replicas: int, claims: Sequence[str] = ()) -> None:
        """Make a ReplicaSet of nobody."""

    async def make_cron_job(self, name: str, *, claims: Sequence[str] = (), suspend: bool = False) -> None:
        """Make a CronJob whose time does not come."""

    async def run_cron_job(self, name: str) -> None:
        """Start a Job of a CronJob that does not end by itself."""

    async def make_widget(self, name: str, members: int | None) -> None:
        """Make a Widget, which nobody looks after. None leaves its count unset."""

    async def make_autoscaler(
        self, name: str, target: WorkloadReference, annotations: Mapping[str, str] | None = None
    ) -> None:
        """Make a ScaledObject, which nobody looks after."""

    async def enforce(self, standard: str) -> None:
        """Have the namespace enforce a Pod Security Standard."""

    async def make_pod(self, name: str, claims: Sequence[str]) -> None:
        """Make a pod of nobody."""

    async def scale(self, workload: WorkloadReference, replicas: int) -> None:
        """Scale a workload as a person does: its annotations stay."""

    async def type(self, words: Sequence[str]) -> None:
        """Do what a person who types this does: `kubectl -n NAMESPACE patch KIND NAME --type merge -p PATCH`."""

    async def edit(self, workload: WorkloadReference) -> None:
        """Change the spec of a workload, but not its count."""

    async def roll_back(self, workload: WorkloadReference) -> None:
        """Go back to a Deployment's revision before the last edit: `kubectl rollout undo`."""

    async def delete_workload(self, workload: WorkloadReference) -> None:
        """Delete a workload."""

    async def make(self, resource: R) -> R:
        """Make an object of ours; its status is empty then."""

    async def delete(self, resource: Resource) -> None:
        """Delete an object of ours as a person does."""

    async def touch(self, resource: Resource) -> None:
        """Change a label of an object of ours, so that it gets a new version."""

    async def touch_workload(self, workload: WorkloadReference) -> None:
        """Change a label of a workload, so that it gets a new version."""

    async def announced(self, about: Resource | WorkloadReference) -> list[Announced]:
        """Return what the operator has announced about an object, oldest first."""

    def job(self, owner: Resource, part: str, ending: Ending) -> V1Job:
        """Return a Job of ours, not made yet, whose pod fares so. `part` tells several of one owner apart."""

    def command(self, pod: str, part: str, ending: Ending) -> RunCommand:
        """Return a hook's command for a pod that fares so; it writes `REPORT`. Of those that end none is STUCK."""

    async def times_run(self, pod: str, part: str) -> int:
        """Return how often a hook's command was begun."""

    def hook_job(self, owner: Resource, part: str, ending: Ending) -> V1Job:
        """Return a hook's Job, not made yet, whose pod fares so."""


@dataclass
class Scene:
    """A cluster, its lab, and the things that nearly all tests do with them."""

    cluster: Cluster
    lab: Lab

    async def backup(self, name: str = "b", workloads: Sequence[WorkloadReference] = (WEB,)) -> Backup:
        """Make a Backup."""
        return await self.lab.make(a_backup(self.lab.namespace, name, workloads))

    async def world(self, backup: Backup) -> World:
        """Look at the namespace."""
        return await self.cluster.observe_run(backup)

    async def ready(self, backup: Backup, reference: WorkloadReference) -> Workload:
        """Wait until a workload is as it should be."""

        async def look() -> Workload | None:
            seen = (await self.world(backup)).workloads.get(str(reference))
            return seen if seen and seen.settled and seen.ready == seen.replicas else None

        return await self.lab.until(f"{reference} is Ready", look)

    async def stop(self, backup: Backup, reference: WorkloadReference) -> Record:
        """Scale a workload down for a Backup."""

        async def attempt() -> Record | None:
            seen = (await self.world(backup)).workloads[str(reference)]
            action = a_scale_down(backup, seen, await self.world(backup))
            try:
                await self.cluster.apply(backup, action)
            except ConflictError:  # its controller has written meanwhile
                return None
            return action.record

        return await self.lab.until(f"{reference} is stopped", attempt)

    async def start(self, backup: Backup, reference: WorkloadReference, replicas: int) -> None:
        """Scale a workload up for a Backup."""

        async def attempt() -> bool | None:
            seen = (await self.world(backup)).workloads[str(reference)]
            action = ScaleUp(reference, seen.uid, seen.resource_version, replicas, seen.switch)
            try:
                await self.cluster.apply(backup, action)
            except ConflictError:
                return None
            return True

        await self.lab.until(f"{reference} is started", attempt)

    async def held(self) -> dict[str, Held]:
        """Return what carries a record in the lab's namespace."""
        seen = await self.cluster.observe_held()
        assert seen.unseen == ()
        return {str(h.workload.reference): h for h in seen.held if h.namespace == self.lab.namespace}

    async def job(self, backup: Backup, name: str, what: str, holds: Callable[[JobState], bool]) -> JobState:
        """Wait until a Job is so."""

        async def look() -> JobState | None:
            seen = (await self.world(backup)).jobs.get(name)
            return seen if seen and holds(seen) else None

        return await self.lab.until(f"Job {name} is {what}", look)


def a_backup(namespace: str, name: str, workloads: Sequence[WorkloadReference] = (WEB,)) -> Backup:
    return Backup(
        metadata=Metadata(name=name, namespace=namespace),
        spec=BackupSpec(repository_ref=LocalReference(name="main"), workloads=tuple(workloads)),
    )


def a_backup_with_hooks(namespace: str, name: str) -> Backup:
    bare = a_backup(namespace, name)
    command = {"podSelector": {"matchLabels": {"app": "web"}}, "command": ["true"]}
    hooks = RunHooks.model_validate({"before": [{"name": "one", "exec": command}]})
    return bare.model_copy(update={"spec": bare.spec.model_copy(update={"hooks": hooks})})


def a_repository(namespace: str) -> BackupRepository:
    storage = Storage(persistent_volume_claim=ClaimStorage(claim_name="repository"))
    spec = BackupRepositorySpec(storage=storage, password_secret_ref=SecretKeyReference(name="password"))
    return BackupRepository(metadata=Metadata(name="main", namespace=namespace), spec=spec)


def a_schedule(namespace: str) -> BackupSchedule:
    template = BackupTemplate(spec=a_backup(namespace, "x").spec)
    spec = BackupScheduleSpec(schedule="0 3 * * *", template=template)
    return BackupSchedule(metadata=Metadata(name="nightly", namespace=namespace), spec=spec)


def a_scale_down(backup: Backup, workload: Workload, world: World) -> ScaleDown:
    metadata = backup.metadata
    record = Record(
        by=Holder(kind=backup.kind, name=metadata.name, uid=metadata.uid),
        at=world.now,
        replicas=workload.replicas,
        deadline=world.now + timedelta(minutes=30),
        generation=workload.generation + workload.switch.counts_as_change,
        undo=undo_command(metadata.namespace, workload.reference, workload.switch, workload.replicas),
    )
    return ScaleDown(workload.reference, workload.uid, workload.resource_version, record, workload.switch)


def name_of(job: V1Job) -> str:
    assert job.metadata is not None
    assert job.metadata.name
    return job.metadata.name


def a_status(world: World) -> BackupStatus:
    """Return a status in which every kind of field is set."""
    now = world.now.replace(microsecond=0)
    state = WorkloadStatus(kind="Deployment", name="web", uid="u", replicas=3, stopped_at=now)
    volume = VolumeStatus(claim="data", node="n", tree="t", snapshot_id="s", bytes_processed=7)
    return BackupStatus(
        phase=Phase.CAPTURING,
        message="reading volumes",
        start_time=now,
        phase_time=now,
        workloads=(state,),
        volumes=(volume,),
        repository_id="abc",
        size_bytes=7,
    )
