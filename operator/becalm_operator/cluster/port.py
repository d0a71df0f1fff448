"""What reconciling asks of a cluster. The real one is `ApiServer`; tests have one in memory.

Every read is fresh. Every write is harmless when repeated, and fails with ConflictError when the object has changed
since it was read.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from becalm_operator.api.backup import Backup
from becalm_operator.api.base import Model
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.errors import ClusterError
from becalm_operator.plan.steps import Action, Event, ScaleUp
from becalm_operator.plan.world import Holdings, RepositoryWorld, ScheduleWorld, World

Resource = Backup | Restore | BackupRepository | BackupSchedule
R = TypeVar("R", Backup, Restore, BackupRepository, BackupSchedule)

KINDS: tuple[type[Resource], ...] = (BackupRepository, BackupSchedule, Backup, Restore)


@dataclass(frozen=True, slots=True)
class Key:
    """Names an object of ours."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The objects of ours that could be listed, and what has kept anybody from listing all of them."""

    found: tuple[Key, ...]
    unseen: tuple[ClusterError, ...] = ()
    over: frozenset[Key] = frozenset()
    """Those of them that are runs which have ended and do not carry our finalizer: nothing is left to be done."""


class Cluster(Protocol):
    """The API server, as far as reconciling goes.

    All methods raise ClusterError: ConflictError and UnavailableError mean "decide again later".
    """

    async def load(self, kind: type[R], namespace: str, name: str) -> R | None:
        """Return an object of ours, or None if it does not exist."""

    async def list_keys(self) -> Keys:
        """Return all objects of ours that the operator looks after. What cannot be listed is told, and not raised."""

    async def observe_run(self, run: Backup | Restore) -> World:
        """Return all that a run's next step depends on."""

    async def observe_repository(self, repository: BackupRepository) -> RepositoryWorld:
        """Return all that a repository's next step depends on."""

    async def observe_schedule(self, schedule: BackupSchedule) -> ScheduleWorld:
        """Return all that a schedule's next step depends on."""

    async def observe_held(self) -> Holdings:
        """Return every workload that carries a record; one place that cannot be looked at hides no other."""

    async def apply(self, owner: Resource, action: Action) -> None:
        """Do one thing for an object of ours."""

    async def release(self, namespace: str, action: ScaleUp) -> None:
        """Start a workload whose run can or will not do it."""

    async def announce(self, owner: Resource, event: Event) -> None:
        """Make an event about an object of ours, and about the workload it names."""

    async def announce_workload(self, namespace: str, uid: str, event: Event) -> None:
        """Make an event about a workload alone. `uid` is the workload's."""

    async def annotate(self, resource: Resource, name: str, value: str) -> None:
        """Set an annotation of an object of ours; one that is gone needs none."""

    async def set_finalizer(self, resource: R, *, present: bool) -> R:
        """Put our finalizer on an object or take it off; return the object as it is now."""

    async def write_status(self, resource: R, status: Model) -> R:
        """Replace an object's status; return the object as it is now."""
