"""The real cluster: the port over an API server."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from kubernetes.aio.client import ApiClient, CoreV1Api, V1PersistentVolumeClaim

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.base import Model, time_text
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.api.switches import dig
from becalm_operator.cluster import other_runs, views, workload_views
from becalm_operator.cluster.announcements import Announcements, workload_reference
from becalm_operator.cluster.documents import Documents
from becalm_operator.cluster.gates import Gates
from becalm_operator.cluster.holdings import HeldWorkloads
from becalm_operator.cluster.hooks import Hooks
from becalm_operator.cluster.jobs import Jobs
from becalm_operator.cluster.movers import movers
from becalm_operator.cluster.objects import Objects
from becalm_operator.cluster.pages import all_pages
from becalm_operator.cluster.pods import Pods
from becalm_operator.cluster.port import KINDS, Key, Keys, R, Resource
from becalm_operator.cluster.snapshots import VolumeSnapshots
from becalm_operator.cluster.translate import REQUEST_SECONDS, translated
from becalm_operator.cluster.workloads import Workloads
from becalm_operator.errors import ClusterError, RefusedError
from becalm_operator.manifests.jobs import Image
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
from becalm_operator.plan.world import (
    Caps,
    Claim,
    Holdings,
    RepositoryWorld,
    ScheduleWorld,
    Share,
    World,
)
from becalm_operator.settings import Settings

_FINISHED = frozenset(phase.value for phase in Phase if phase.finished)


class ApiServer:
    """Implements `port.Cluster`. `clock` tells the time, in UTC; `may_act` raises a ClusterError if it may not."""

    def __init__(
        self,
        client: ApiClient,
        settings: Settings,
        clock: Callable[[], datetime],
        may_act: Callable[[], None] = lambda: None,
    ) -> None:
        self._core = CoreV1Api(client)
        self._objects = Objects(client)
        self._workloads = Workloads(client, settings.extra_kinds)
        self._jobs = Jobs(client)
        self._pods = Pods(client)
        self._snapshots = VolumeSnapshots(client, Documents(client))
        self._gates = Gates(client)
        self._hooks = Hooks(client, settings, self._jobs)
        self._announcements = Announcements(client, settings.identity)
        self._image = Image(settings.image, settings.pull_policy)
        self._namespaces = settings.watched_namespaces or ("",)
        self._held = HeldWorkloads(self._workloads, self._objects, self._namespaces)
        self._caps = Caps(settings.most_down_per_namespace, settings.most_down_per_cluster)
        self._dumps_enabled = settings.dumps_enabled
        self._clock = clock
        self._may_act = may_act

    async def load(self, kind: type[R], namespace: str, name: str) -> R | None:
        """Return an object of ours, or None if it does not exist."""
        return await self._objects.load(kind, namespace, name)

    async def list_keys(self) -> Keys:
        """Return all objects of ours in the watched namespaces; one listing that fails hides no other."""
        found: list[Key] = []
        unseen: list[ClusterError] = []
        over: set[Key] = set()
        for kind in KINDS:
            for namespace in self._namespaces:
                try:
                    listed = await self._objects.list_raw(kind, namespace)
                except ClusterError as error:
                    unseen.append(error)
                else:
                    found += (_key(kind, raw["metadata"]) for raw in listed)
                    over |= {_key(kind, raw["metadata"]) for raw in listed if _is_over(kind, raw)}
        return Keys(tuple(found), tuple(unseen), frozenset(over))

    # --- reading

    async def observe_run(self, run: Backup | Restore) -> World:
        """Read the namespace of a run, all of it afresh.

        The order is a promise: Jobs are read before pods, and pods before their owners. A Job that is gone has
        no pods left then, one that is over has what its pod said, and no pod is a stranger for being new.
        """
        namespace, now = run.metadata.namespace, self._clock()
        found, claims, standard, repository, schedule, source = await asyncio.gather(
            self._jobs.read(namespace, run.metadata.uid),
            self._claims(namespace),
            self._pod_security(namespace),
            self._objects.load(BackupRepository, namespace, run.spec.repository_ref.name),
            self._schedule_of(run),
            self._source_of(run),
        )
        # a snapshot that is ready was so before the pods were looked at
        snapshots = await self._snapshots_of(run, claims)
        raw, runs, (elsewhere, unseen) = await asyncio.gather(
            self._pods.list(namespace), self._other_runs(run), self._shares_elsewhere(run)
        )
        seen, jobs = await asyncio.gather(
            self._workloads.look(namespace, claims, other_runs.planned_kinds(run)),
            self._jobs.states(namespace, found, raw, now),
        )
        # a Job of this run that has gone meanwhile was there when its pod was looked at
        own = (views.metadata_of(job.metadata) for job in found)
        ours = movers(run.metadata.uid, (*own, *seen.jobs))
        pods = tuple(views.pod_view(pod, seen.owners, ours) for pod in raw)
        workloads = workload_views.with_claims_of_pods(seen.workloads, pods)
        return World(
            now=now,
            image=self._image,
            pod_security=standard,
            repository=repository,
            workloads=workloads,
            kinds=seen.kinds,
            pods=pods,
            claims=claims,
            jobs=self._jobs.refused(run.metadata.uid, now) | jobs,
            snapshots=snapshots,
            others=other_runs.in_the_way(runs, workloads, pods, now),
            caps=self._caps,
            shares=(*other_runs.shares(runs), *elsewhere),
            unseen=unseen,
            former=tuple(one for one in runs if isinstance(one, Backup) and one.status.phase.finished),
            schedule=schedule,
            source=source,
            hooks=await self._hooks.look(run),
            dumps_enabled=self._dumps_enabled,
            gone=views.gone_pods(raw, now),
        )

    async def observe_repository(self, repository: BackupRepository) -> RepositoryWorld:
        """Read the Jobs of a repository, and who may have left a lock in it."""
        now, metadata = self._clock(), repository.metadata
        jobs, pods = await asyncio.gather(
            self._jobs.list(metadata.namespace, metadata.uid, now), self._pods.list(metadata.namespace)
        )
        return RepositoryWorld(now, self._image, jobs, views.gone_pods(pods, now))

    async def observe_schedule(self, schedule: BackupSchedule) -> ScheduleWorld:
        """Read the Backups of a schedule."""
        metadata = schedule.metadata
        selector = f"{names.SCHEDULE_LABEL}={metadata.name}"
        backups = await self._objects.list(Backup, metadata.namespace, selector)
        return ScheduleWorld(self._clock(), tuple(b for b in backups if _is_owned_by(b, schedule)))

    async def observe_held(self) -> Holdings:
        """Return every workload that carries a record, with the run that wrote it."""
        return await self._held.look()

    async def _pod_security(self, namespace: str) -> str:
        with translated(f"reading namespace {namespace}"):
            found = await self._core.read_namespace(namespace, _request_timeout=REQUEST_SECONDS)
        return views.pod_security(found)

    async def _claims(self, namespace: str) -> dict[str, Claim]:
        with translated(f"listing claims of {namespace}"):
            found: Sequence[V1PersistentVolumeClaim] = await all_pages(
                self._core.list_namespaced_persistent_volume_claim, namespace
            )
        claims = [views.claim_view(claim) for claim in found]
        return {claim.name: claim for claim in claims}

    async def _other_runs(self, run: Backup | Restore) -> list[Backup | Restore]:
        runs = await self._objects.runs(run.metadata.namespace)
        return [one for one in runs if one.metadata.uid != run.metadata.uid]

    async def _shares_elsewhere(self, run: Backup | Restore) -> tuple[tuple[Share, ...], tuple[str, ...]]:
        """Return what runs of other namespaces take and where nobody may know, if a run might begin by that."""
        if not (run.status.phase.waiting and self._caps.per_cluster):
            return (), ()
        runs: list[Backup | Restore] = []
        unseen: list[str] = []
        for place in self._namespaces:
            try:
                runs += await self._objects.runs(place)
            except RefusedError:
                unseen.append(place or "all namespaces")
        others = [one for one in runs if one.metadata.namespace != run.metadata.namespace]
        return other_runs.shares(others), tuple(unseen)

    async def _snapshots_of(self, run: Backup | Restore, claims: dict[str, Claim]) -> Snapshots:
        if isinstance(run, Backup) and run.spec.capture == "Snapshot":
            return await self._snapshots.look(run, claims)
        return Snapshots()

    async def _schedule_of(self, run: Backup | Restore) -> BackupSchedule | None:
        name = run.metadata.labels.get(names.SCHEDULE_LABEL) if isinstance(run, Backup) else None
        return await self._objects.load(BackupSchedule, run.metadata.namespace, name) if name else None

    async def _source_of(self, run: Backup | Restore) -> Backup | None:
        name = run.spec.source.backup_name if isinstance(run, Restore) else None
        return await self._objects.load(Backup, run.metadata.namespace, name) if name else None

    # --- writing

    async def apply(self, owner: Resource, action: Action) -> None:
        """Do one thing for an object of ours."""
        self._may_act()
        namespace = owner.metadata.namespace
        match action:
            case ApplyJob(job=job):
                await self._jobs.ask_for(namespace, job, self._clock())
            case DeleteJob(name=name):
                await self._jobs.delete(namespace, name)
            case MakeSnapshot() | DeleteSnapshot():
                await self._snapshots.apply(namespace, action)
            case OpenGate(pod=pod, calls=calls):
                await self._gates.open(namespace, pod, calls)
            case ScaleDown() | ScaleUp():
                await self._scale(namespace, action)
            case MakeBackup():
                await self._objects.make(Backup, namespace, _backup_document(owner, action))
            case DeleteBackup(name=name):
                await self._objects.delete(Backup, namespace, name)
            case RequestProbe(repository=name):
                await self._request_probe(namespace, name)
            case RunCommand() | EndCommand() | ApplyHookJob():
                await self._hooks.apply(namespace, owner.metadata.uid, action)

    async def _scale(self, namespace: str, action: ScaleDown | ScaleUp) -> None:
        if isinstance(action, ScaleDown):
            await self._workloads.stop(namespace, action)
        else:
            await self._workloads.start(namespace, action)

    async def _request_probe(self, namespace: str, name: str) -> None:
        asked = {names.PROBE_ANNOTATION: time_text(self._clock())}
        await self._objects.annotate(BackupRepository, namespace, name, asked)

    async def annotate(self, resource: Resource, name: str, value: str) -> None:
        """Set an annotation of an object of ours; one that is gone needs none."""
        metadata = resource.metadata
        await self._objects.annotate(type(resource), metadata.namespace, metadata.name, {name: value})

    async def release(self, namespace: str, action: ScaleUp) -> None:
        """Start a workload whose run can or will not do it."""
        await self._workloads.start(namespace, action)

    async def announce(self, owner: Resource, event: Event) -> None:
        """Make an event about an object of ours, and about the workload it names."""
        uid = ""
        if event.workload is not None and isinstance(owner, Backup | Restore):
            states = owner.status.workloads
            uid = next((state.uid for state in states if state.reference == event.workload), "")
        await self._announcements.about(owner, event, uid)

    async def announce_workload(self, namespace: str, uid: str, event: Event) -> None:
        """Make an event about a workload alone."""
        reference = workload_reference(namespace, event.workload, uid)
        if reference is not None:
            await self._announcements.make(reference, event)

    async def set_finalizer(self, resource: R, *, present: bool) -> R:
        """Put our finalizer on an object or take it off."""
        metadata = resource.metadata
        finalizers = [name for name in metadata.finalizers if name != names.FINALIZER]
        finalizers += [names.FINALIZER] if present else []
        patch = {"metadata": {"resourceVersion": metadata.resource_version, "finalizers": finalizers}}
        return await self._objects.patch(type(resource), metadata.namespace, metadata.name, patch)

    async def write_status(self, resource: R, status: Model) -> R:
        """Replace an object's status."""
        return await self._objects.write_status(resource, status)


def _key(kind: type[Resource], metadata: Mapping[str, Any]) -> Key:
    return Key(kind.kind, metadata["namespace"], metadata["name"])


def _is_over(kind: type[Resource], raw: Mapping[str, Any]) -> bool:
    """Say whether an object is a run that has ended and is let go. One that makes no sense is not known to be."""
    finalizers = raw["metadata"].get("finalizers") or ()
    return (
        kind in (Backup, Restore)
        and str(dig(raw, ("status", "phase"))) in _FINISHED
        and names.FINALIZER not in finalizers
    )


def _is_owned_by(backup: Backup, schedule: BackupSchedule) -> bool:
    return any(owner.get("uid") == schedule.metadata.uid for owner in backup.metadata.owner_references)


def _backup_document(owner: Resource, action: MakeBackup) -> dict[str, object]:
    """Return the Backup that a schedule makes, as the API server takes it."""
    reference = {
        "apiVersion": names.API_VERSION,
        "kind": owner.kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": Backup.kind,
        "metadata": {
            "name": action.name,
            "labels": action.labels,
            "annotations": action.annotations,
            "ownerReferences": [reference],
        },
        "spec": action.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True),
    }
