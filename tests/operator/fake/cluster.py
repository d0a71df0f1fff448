"""The port over the cluster in memory."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from kubernetes.aio.client import V1Job

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, RunStatus
from becalm_operator.api.base import Metadata, Model, time_text
from becalm_operator.api.record import Holder
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.cluster.announcements import _cut
from becalm_operator.cluster.port import Key, Keys, R, Resource
from becalm_operator.errors import ConflictError, RefusedError
from becalm_operator.manifests.jobs import Image
from becalm_operator.plan.leaving import leaves
from becalm_operator.plan.limits import share_of
from becalm_operator.plan.snapshot_world import Snapshots
from becalm_operator.plan.steps import (
    Action,
    ApplyHookJob,
    ApplyJob,
    DeleteBackup,
    DeleteJob,
    DeleteSnapshot,
    EndCommand,
    Event,
    MakeBackup,
    MakeSnapshot,
    OpenGate,
    RequestProbe,
    RunCommand,
    ScaleDown,
    ScaleUp,
)
from becalm_operator.plan.sweep import truly_held
from becalm_operator.plan.world import (
    Caps,
    Claim,
    Held,
    Holdings,
    JobState,
    OtherRun,
    Pod,
    RepositoryWorld,
    ScheduleWorld,
    Share,
    Workload,
    World,
)
from tests.operator.fake import job_views, snapshots
from tests.operator.fake.controllers import ENDING, STARTING
from tests.operator.fake.hooks import FakeHooks
from tests.operator.fake.job_views import NODE
from tests.operator.fake.objects import StoredClaim, StoredPod, StoredWorkload
from tests.operator.fake.state import State, backups_in, key_of, owner_uids, refuse_bad_labels

_IMAGE = Image("becalm:test", "IfNotPresent")


class FakeCluster:
    """Implements `port.Cluster`. `stops` and `starts` log what was scaled, as the holder's UID and kind/name."""

    def __init__(self, state: State, caps: Caps | None = None) -> None:
        self.state = state
        self.caps = caps or Caps()
        self.hooks = FakeHooks(state, self._make_job)
        self.stops: list[tuple[str, str]] = []
        self.starts: list[str] = []

    async def load(self, kind: type[R], namespace: str, name: str) -> R | None:
        """Return an object of ours, or None if it does not exist."""
        found = self.state.resources.get(Key(kind.kind, namespace, name))
        return found if isinstance(found, kind) else None

    async def list_keys(self) -> Keys:
        """Return all objects of ours."""
        runs = [(key, one) for key, one in self.state.resources.items() if isinstance(one, Backup | Restore)]
        over = {
            key
            for key, run in runs
            if run.status.phase.finished and names.FINALIZER not in run.metadata.finalizers
        }
        return Keys(tuple(self.state.resources), over=frozenset(over))

    # --- reading

    async def observe_run(self, run: Backup | Restore) -> World:
        """Return the namespace of a run."""
        namespace = run.metadata.namespace
        workloads = {str(w.reference): self._workload(w) for w in self._workloads(namespace)}
        pods = self._pods(namespace, run.metadata.uid)
        label = run.metadata.labels.get(names.SCHEDULE_LABEL, "") if isinstance(run, Backup) else ""
        source = (run.spec.source.backup_name or "") if isinstance(run, Restore) else ""
        return World(
            now=self.state.now,
            image=_IMAGE,
            pod_security=self.state.pod_security.get(namespace, "privileged"),
            repository=await self.load(BackupRepository, namespace, run.spec.repository_ref.name),
            workloads=workloads,
            kinds=frozenset({"widget.example.org"}),
            pods=pods,
            claims=self._claims(namespace),
            jobs=self._jobs(run.metadata.uid),
            snapshots=self._snapshots(run),
            others=tuple(_other(other, workloads) for other in self._other_runs(run, pods)),
            caps=self.caps,
            shares=self._shares(run),
            former=tuple(b for b in backups_in(self.state, namespace) if b.status.phase.finished),
            schedule=await self.load(BackupSchedule, namespace, label),
            source=await self.load(Backup, namespace, source),
            hooks=self.hooks.look(run),
            dumps_enabled=True,
            gone=job_views.gone_pods(self.state, namespace),
        )

    async def observe_repository(self, repository: BackupRepository) -> RepositoryWorld:
        """Return the Jobs of a repository."""
        gone = job_views.gone_pods(self.state, repository.metadata.namespace)
        return RepositoryWorld(self.state.now, _IMAGE, self._jobs(repository.metadata.uid), gone)

    async def observe_schedule(self, schedule: BackupSchedule) -> ScheduleWorld:
        """Return the Backups of a schedule."""
        uid = schedule.metadata.uid
        mine = [b for b in backups_in(self.state, schedule.metadata.namespace) if uid in owner_uids(b)]
        return ScheduleWorld(self.state.now, tuple(mine))

    async def observe_held(self) -> Holdings:
        """Return every workload that carries a record."""
        held = []
        for stored in self.state.workloads.values():
            if names.RECORD_ANNOTATION in stored.annotations:
                run = self._holder(stored.namespace, stored.record.by) if stored.record else None
                one = Held(stored.namespace, self._workload(stored), run)
                held.append(
                    one if run and not run.phase.finished else truly_held(one, self._runs(stored.namespace))
                )
        return Holdings(tuple(held))

    def _holder(self, namespace: str, holder: Holder) -> RunStatus | None:
        run = self.state.resources.get(Key(holder.kind, namespace, holder.name))
        found = isinstance(run, Backup | Restore) and run.metadata.uid == holder.uid
        return run.status if found and isinstance(run, Backup | Restore) else None

    def _workloads(self, namespace: str) -> list[StoredWorkload]:
        return [workload for workload in self.state.workloads.values() if workload.namespace == namespace]

    def _workload(self, stored: StoredWorkload) -> Workload:
        known = [name for namespace, name in self.state.claims if namespace == stored.namespace]
        mounts = stored.mounts if stored.reference.is_native else self._mounted(stored)
        prefix = f"{stored.template}-{stored.reference.name}-"
        own = [name for name in known if stored.template and name.startswith(prefix)]
        return Workload(
            reference=stored.reference,
            uid=stored.uid,
            resource_version=str(stored.resource_version),
            replicas=stored.replicas,
            ready=stored.ready if stored.has_pods else stored.replicas,
            settled=not stored.has_pods or stored.observed == stored.generation,
            switch=stored.switch,
            generation=stored.generation,
            record=stored.record,
            unreadable_record=names.RECORD_ANNOTATION in stored.annotations and stored.record is None,
            put_back=stored.put_back,
            owner=stored.owner.lower(),
            deletes_claims=stored.deletes_claims,
            claims=(*mounts, *sorted(own)),
            scales=stored.scales,
            unfit=stored.unfit,
        )

    def _mounted(self, stored: StoredWorkload) -> tuple[str, ...]:
        """Return what the pods of a workload mount: its own document does not tell."""
        place = (stored.namespace, str(stored.reference))
        pods = [pod for pod in self.state.pods.values() if (pod.namespace, pod.controller) == place]
        return tuple(sorted({claim for pod in pods for claim in pod.claims}))

    def _pods(self, namespace: str, run: str) -> tuple[Pod, ...]:
        pods = [_pod(pod) for pod in self.state.pods.values() if pod.namespace == namespace]
        jobs = [job for job in self.state.jobs.values() if job.namespace == namespace]
        movers = [job_views.mover_pod(job, run) for job in jobs]
        return (*pods, *(pod for pod in movers if pod))

    def _claims(self, namespace: str) -> dict[str, Claim]:
        found = [claim for claim in self.state.claims.values() if claim.namespace == namespace]
        return {claim.name: _claim(claim) for claim in found}

    def _snapshots(self, run: Backup | Restore) -> Snapshots:
        wished = isinstance(run, Backup) and run.spec.capture == "Snapshot"
        return snapshots.look(self.state, run) if wished and isinstance(run, Backup) else Snapshots()

    def _jobs(self, owner_uid: str) -> dict[str, JobState]:
        mine = [job for job in self.state.jobs.values() if job.owner_uid == owner_uid]
        refused = self.state.unmade.of(owner_uid, self.state.now)
        return refused | {job.name: job_views.job_state(job) for job in mine}

    def _other_runs(self, run: Backup | Restore, pods: tuple[Pod, ...]) -> list[Backup | Restore]:
        runs = [r for r in self._runs(run.metadata.namespace) if r.metadata.uid != run.metadata.uid]
        return [
            one
            for one in runs
            if not one.status.phase.finished or leaves(one.metadata.uid, one.status, pods, self.state.now)
        ]

    def _runs(self, namespace: str) -> list[Backup | Restore]:
        runs = [one for one in self.state.resources.values() if isinstance(one, Backup | Restore)]
        return [one for one in runs if one.metadata.namespace == namespace]

    def _shares(self, run: Backup | Restore) -> tuple[Share, ...]:
        runs = [one for one in self.state.resources.values() if isinstance(one, Backup | Restore)]
        others = [r for r in runs if r.metadata.uid != run.metadata.uid and not r.status.phase.finished]
        far = run.status.phase.waiting and self.caps.per_cluster
        return tuple(share_of(r) for r in others if far or r.metadata.namespace == run.metadata.namespace)

    # --- writing

    async def apply(self, owner: Resource, action: Action) -> None:
        """Do one thing for an object of ours."""
        namespace = owner.metadata.namespace
        match action:
            case ApplyJob(job=job):
                self._ask_for_job(namespace, job)
            case DeleteJob(name=name):
                self._delete_job(namespace, name)
            case MakeSnapshot() | DeleteSnapshot():
                snapshots.apply(self.state, namespace, action)
            case OpenGate(pod=pod, calls=calls):
                self._open_gate(namespace, pod, calls)
            case ScaleDown() | ScaleUp():
                self._scale(namespace, action)
            case MakeBackup():
                self._make_backup(owner, action)
            case DeleteBackup(name=name):
                self._delete_backup(namespace, name)
            case RequestProbe(repository=name):
                self._request_probe(namespace, name)
            case RunCommand() | EndCommand() | ApplyHookJob():
                self.hooks.apply(namespace, owner.metadata.uid, action)

    async def release(self, namespace: str, action: ScaleUp) -> None:
        """Start a workload whose run can or will not do it."""
        self._start(namespace, action)

    def _scale(self, namespace: str, action: ScaleDown | ScaleUp) -> None:
        if isinstance(action, ScaleDown):
            self._stop(namespace, action)
        else:
            self._start(namespace, action)

    def _stop(self, namespace: str, action: ScaleDown) -> None:
        workload = self._unchanged(namespace, action)
        workload.replicas = 0
        workload.annotations[names.RECORD_ANNOTATION] = action.record.to_annotation()
        workload.record_by = workload.count_by = names.FIELD_MANAGER
        self.state.touched(workload, spec=workload.switch.counts_as_change)
        self.stops.append((action.record.by.uid, str(action.workload)))

    def _start(self, namespace: str, action: ScaleUp) -> None:
        if (namespace, str(action.workload)) not in self.state.workloads:
            return
        workload = self._unchanged(namespace, action)
        if workload.replicas != action.replicas:
            workload.replicas, workload.count_by = action.replicas, names.FIELD_MANAGER
        workload.annotations.pop(names.RECORD_ANNOTATION, None)
        self.state.touched(workload, spec=workload.switch.counts_as_change)
        self.starts.append(str(action.workload))

    def _unchanged(self, namespace: str, action: ScaleDown | ScaleUp) -> StoredWorkload:
        workload = self.state.workload(namespace, action.workload)
        if str(workload.resource_version) != action.resource_version:
            raise ConflictError(f"{action.workload} has changed since it was read")
        if action.switch != workload.switch:
            raise RefusedError(f"{action.workload} has no field {'.'.join(action.switch.path)}")
        return workload

    def _ask_for_job(self, namespace: str, job: V1Job) -> None:
        assert job.metadata is not None
        place = namespace, job.metadata.name or ""
        try:
            self._make_job(namespace, job)
        except RefusedError as error:
            owner_uid = (job.metadata.labels or {})[names.OWNER_UID_LABEL]
            self.state.unmade.note(place, owner_uid, error, self.state.now)
        else:
            self.state.unmade.forget(place)

    def _make_job(self, namespace: str, job: V1Job) -> None:
        stored = job_views.stored_job(self.state, namespace, job)
        if namespace in self.state.terminating:
            raise RefusedError(f"namespace {namespace} is being terminated")
        if stored.script.refused:
            raise RefusedError(f"making Job {namespace}/{stored.name}: {stored.script.refused}")
        if (namespace, stored.name) not in self.state.jobs:
            self.state.jobs[namespace, stored.name] = stored
            self.state.next_version()

    def _delete_job(self, namespace: str, name: str) -> None:
        self.state.unmade.forget((namespace, name))
        job = self.state.jobs.get((namespace, name))
        if job is not None and job.deleting is None:
            job.deleting = ENDING
            self.state.next_version()

    def _open_gate(self, namespace: str, pod: str, calls: int) -> None:
        for job in self.state.jobs.values():
            if (job.namespace, job_views.pod_name(job)) == (namespace, pod) and job.open_gate(calls):
                self.state.next_version()

    def _make_backup(self, owner: Resource, action: MakeBackup) -> None:
        metadata = Metadata(
            name=action.name,
            namespace=owner.metadata.namespace,
            labels=action.labels,
            annotations=action.annotations,
            owner_references=({"kind": owner.kind, "uid": owner.metadata.uid, "controller": True},),
        )
        refuse_bad_labels(action.labels)
        backup = Backup(metadata=metadata, spec=action.spec)
        if key_of(backup) not in self.state.resources:
            self.state.make(backup)

    def _delete_backup(self, namespace: str, name: str) -> None:
        if (key := Key(Backup.kind, namespace, name)) in self.state.resources:
            self.state.delete(key)

    def _request_probe(self, namespace: str, name: str) -> None:
        found = self.state.resources.get(Key(BackupRepository.kind, namespace, name))
        if found is not None:
            asked = {**found.metadata.annotations, names.PROBE_ANNOTATION: time_text(self.state.now)}
            self.state.alter(found, annotations=asked)

    async def announce(self, owner: Resource, event: Event) -> None:
        """Make an event about an object of ours."""
        if owner.metadata.namespace in self.state.terminating:
            raise RefusedError(f"namespace {owner.metadata.namespace} is being terminated")
        self._note(str(key_of(owner)), event)

    async def announce_workload(self, namespace: str, uid: str, event: Event) -> None:
        """Make an event about a workload alone."""
        self._note(f"{namespace}/{event.workload}", event)

    def _note(self, about: str, event: Event) -> None:
        self.state.events.append((about, replace(event, message=_cut(event.message))))

    async def annotate(self, resource: Resource, name: str, value: str) -> None:
        """Set an annotation of an object of ours."""
        found = self.state.resources.get(key_of(resource))
        if found is not None:
            self.state.alter(found, annotations={**found.metadata.annotations, name: value})

    async def set_finalizer(self, resource: R, *, present: bool) -> R:
        """Put our finalizer on an object or take it off."""
        stored = self.state.fresh(resource)
        if present and stored.metadata.deletion_timestamp is not None:
            raise RefusedError("no new finalizers can be added to an object that is being deleted")
        return self.state.change(stored, finalizers=_finalizers(stored.metadata, present=present))

    async def write_status(self, resource: R, status: Model) -> R:
        """Replace an object's status."""
        return self.state.change(self.state.fresh(resource), status=status)


def _finalizers(metadata: Metadata, *, present: bool) -> tuple[str, ...]:
    others = tuple(name for name in metadata.finalizers if name != names.FINALIZER)
    return (*others, names.FINALIZER) if present else others


def _claim(claim: StoredClaim) -> Claim:
    return Claim(
        claim.name,
        claim.bound,
        claim.labels,
        claim.node_bound,
        volume=f"pv-{claim.name}" if claim.bound else "",
        storage_class=claim.storage_class,
        access_modes=("ReadWriteOnce",) if claim.node_bound else ("ReadWriteMany",),
        size_bytes=1 << 20,
        one_pod=claim.one_pod,
    )


def _pod(pod: StoredPod) -> Pod:
    ready = pod.age >= STARTING and pod.ending is None
    labels = {"app": pod.controller.partition("/")[2]}
    requests = {"memory": Decimal(256 << 20)}
    return Pod(
        pod.name,
        pod.controller,
        pod.claims,
        NODE,
        created=pod.created,
        ours=pod.ours,
        ready=ready,
        labels=labels,
        requests=requests,
    )


def _other(run: Backup | Restore, workloads: dict[str, Workload]) -> OtherRun:
    """Return another run as far as it stands in the way."""
    stopped = run.spec.workloads.names if isinstance(run, Restore) else run.spec.workloads
    references = {str(reference) for reference in stopped}
    if isinstance(run, Restore):
        claims = {target.into for target in run.spec.targets}
    else:
        mounted = {claim for name in references if name in workloads for claim in workloads[name].claims}
        claims = {volume.claim for volume in run.status.volumes} or set(run.spec.claims.names) or mounted
    metadata = run.metadata
    return OtherRun(
        name=metadata.name,
        uid=metadata.uid,
        started=not run.status.phase.waiting,
        created=metadata.creation_timestamp or datetime.max.replace(tzinfo=UTC),
        claims=frozenset(claims),
        workloads=frozenset(references | {str(state.reference) for state in run.status.workloads}),
    )
