"""A cluster of one namespace that notes every write, and can be told to die at one of them."""

from datetime import UTC, datetime
from typing import Any

from becalm_operator.api.backup import Backup
from becalm_operator.api.base import Model
from becalm_operator.api.names import FINALIZER
from becalm_operator.api.record import Record
from becalm_operator.api.repository import BackupRepository
from becalm_operator.cluster.port import Key, Keys, R, Resource
from becalm_operator.errors import ClusterError, ConflictError, NotFoundError, OperatorError
from becalm_operator.manifests.jobs import Image
from becalm_operator.plan.steps import Action, DeleteJob, Event, ScaleDown, ScaleUp
from becalm_operator.plan.world import (
    Held,
    Holdings,
    JobState,
    Pod,
    RepositoryWorld,
    ScheduleWorld,
    Workload,
    World,
)

NOW = datetime(2025, 6, 1, 3, 0, tzinfo=UTC)
IMAGE = Image("becalm:test", "IfNotPresent")


class CrashError(BaseException):
    """The operator's process ends here. Not an Exception: nothing may handle it."""


class RecordingCluster:
    """Implements `port.Cluster`. `die_at` counts writes: before an even number's half, or after an odd one's."""

    def __init__(self) -> None:
        self.objects: dict[Key, Resource] = {}
        self.workloads: dict[str, Workload] = {}
        self.pods: tuple[Pod, ...] = ()
        self.jobs: dict[str, JobState] = {}
        self.repository: BackupRepository | None = None
        self.written: list[str] = []
        self.told: list[Event] = []
        self.failures: dict[str, list[Exception]] = {}
        self.observed = 0
        self.die_at: int | None = None
        self.no_kinds = False
        self.unseen: tuple[OperatorError, ...] = ()
        self.unlisted: tuple[ClusterError, ...] = ()
        self.over: frozenset[Key] = frozenset()

    # --- what a test does

    def put(self, resource: Resource) -> Key:
        metadata = resource.metadata
        key = Key(resource.kind, metadata.namespace, metadata.name)
        self.objects[key] = resource
        return key

    def get(self, key: Key) -> Any:
        return self.objects[key]

    def _write(self, name: str) -> None:
        """Note a write, unless it fails or the process dies before it."""
        if self.failures.get(name):
            raise self.failures[name].pop(0)
        self._perhaps_die()
        self.written.append(name)

    def _perhaps_die(self) -> None:
        if self.die_at is not None:
            self.die_at -= 1
            if self.die_at < 0:
                raise CrashError

    # --- reading

    async def load(self, kind: type[R], namespace: str, name: str) -> R | None:
        found = self.objects.get(Key(kind.kind, namespace, name))
        assert found is None or isinstance(found, kind)
        return found

    async def list_keys(self) -> Keys:
        if self.no_kinds:
            return Keys((), (NotFoundError("the server does not know backups"),))
        return Keys(tuple(self.objects), self.unlisted, self.over)

    async def observe_run(self, run: Any) -> World:
        self.observed += 1
        return World(
            NOW,
            IMAGE,
            repository=self.repository,
            workloads=dict(self.workloads),
            pods=self.pods,
            jobs=dict(self.jobs),
        )

    async def observe_repository(self, repository: Any) -> RepositoryWorld:
        return RepositoryWorld(NOW, IMAGE, dict(self.jobs))

    async def observe_schedule(self, schedule: Any) -> ScheduleWorld:
        backups = (found for found in self.objects.values() if isinstance(found, Backup))
        return ScheduleWorld(NOW, tuple(backups))

    async def observe_held(self) -> Holdings:
        self._perhaps_fail("observe_held")
        found = []
        for workload in self.workloads.values():
            if workload.record is None and not workload.unreadable_record:
                continue
            by = workload.record.by if workload.record else None
            run = self.objects.get(Key(by.kind, "shop", by.name)) if by else None
            same = run is not None and by is not None and run.metadata.uid == by.uid
            found.append(Held("shop", workload, run.status if same else None))  # type: ignore[union-attr, arg-type]
        return Holdings(tuple(found), self.unseen)

    def _perhaps_fail(self, name: str) -> None:
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    # --- writing

    async def apply(self, owner: Resource, action: Action) -> None:
        self._write(type(action).__name__)
        if isinstance(action, ScaleDown | ScaleUp):
            self._scale(action)
        if isinstance(action, DeleteJob):
            self.jobs.pop(action.name, None)
        self._perhaps_die()

    async def release(self, namespace: str, action: ScaleUp) -> None:
        self._write(f"release {action.workload}")
        self._scale(action)

    def _scale(self, action: ScaleDown | ScaleUp) -> None:
        found = self.workloads[str(action.workload)]
        if found.resource_version != action.resource_version:
            raise ConflictError("changed")
        if isinstance(action, ScaleDown):
            replicas = 0
            record: Record | None = action.record
        else:
            replicas, record = action.replicas, None
        version = str(int(found.resource_version) + 1)
        self.workloads[str(action.workload)] = Workload(
            found.reference, found.uid, version, replicas=replicas, record=record
        )

    async def announce(self, owner: Resource, event: Event) -> None:
        self._write("event")
        self.told.append(event)
        self._perhaps_die()

    async def announce_workload(self, namespace: str, uid: str, event: Event) -> None:
        self._write(f"event about {event.workload}")
        self.told.append(event)

    async def annotate(self, resource: Resource, name: str, value: str) -> None:
        self._write(f"annotation {name}")
        key = Key(resource.kind, resource.metadata.namespace, resource.metadata.name)
        found = self.objects[key]
        annotations = {**found.metadata.annotations, name: value}
        metadata = found.metadata.model_copy(update={"annotations": annotations})
        self.objects[key] = found.model_copy(update={"metadata": metadata})

    async def set_finalizer(self, resource: R, *, present: bool) -> R:
        self._write("finalizer on" if present else "finalizer off")
        theirs: list[str] = [name for name in resource.metadata.finalizers if name != FINALIZER]
        finalizers = (*theirs, FINALIZER) if present else tuple(theirs)
        changed = self._changed(resource, metadata={"finalizers": finalizers})
        if changed.metadata.deletion_timestamp and not finalizers:
            del self.objects[Key(resource.kind, resource.metadata.namespace, resource.metadata.name)]
        self._perhaps_die()
        return changed

    async def write_status(self, resource: R, status: Model) -> R:
        self._write("status")
        changed = self._changed(resource, status=status)
        self._perhaps_die()
        return changed

    def _changed(self, resource: R, metadata: dict[str, Any] | None = None, **fields: Any) -> R:
        key = Key(resource.kind, resource.metadata.namespace, resource.metadata.name)
        now = self.objects[key].metadata
        if now.resource_version != resource.metadata.resource_version:
            raise ConflictError("changed")
        newer = {**(metadata or {}), "resource_version": str(int(now.resource_version) + 1)}
        changed = resource.model_copy(update={**fields, "metadata": now.model_copy(update=newer)})
        self.objects[key] = changed
        return changed
