"""Clusters that stand in front of another and make something go wrong at a call."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from becalm_operator.api.backup import Backup
from becalm_operator.api.base import Model
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.cluster.port import Cluster, Keys, R, Resource
from becalm_operator.errors import ClusterError, ConflictError
from becalm_operator.plan.steps import Action, Event, ScaleUp
from becalm_operator.plan.world import Holdings, RepositoryWorld, ScheduleWorld, World

T = TypeVar("T")
Call = Callable[[Cluster], Awaitable[T]]
"""A call with all that it says, to be done on a cluster."""


def only_reads(name: str) -> bool:
    """Say whether a call, by the name that `around` gets, changes nothing."""
    return name.startswith(("load", "list_keys", "observe"))


class OperatorDiedError(BaseException):
    """The operator's process is gone. No `except Exception` sees it."""


class Wrapped:
    """Passes every call on through `around`."""

    def __init__(self, inner: Cluster) -> None:
        self._inner = inner

    async def around(self, name: str, call: Call[T]) -> T:
        """Do one call; `name` says which for people."""
        return await call(self._inner)

    async def load(self, kind: type[R], namespace: str, name: str) -> R | None:
        return await self.around("load", lambda inner: inner.load(kind, namespace, name))

    async def list_keys(self) -> Keys:
        return await self.around("list_keys", lambda inner: inner.list_keys())

    async def observe_run(self, run: Backup | Restore) -> World:
        return await self.around("observe_run", lambda inner: inner.observe_run(run))

    async def observe_repository(self, repository: BackupRepository) -> RepositoryWorld:
        return await self.around("observe_repository", lambda inner: inner.observe_repository(repository))

    async def observe_schedule(self, schedule: BackupSchedule) -> ScheduleWorld:
        return await self.around("observe_schedule", lambda inner: inner.observe_schedule(schedule))

    async def observe_held(self) -> Holdings:
        return await self.around("observe_held", lambda inner: inner.observe_held())

    async def apply(self, owner: Resource, action: Action) -> None:
        name = f"apply {type(action).__name__}"
        await self.around(name, lambda inner: inner.apply(owner, action))

    async def release(self, namespace: str, action: ScaleUp) -> None:
        await self.around("release", lambda inner: inner.release(namespace, action))

    async def announce(self, owner: Resource, event: Event) -> None:
        await self.around(f"announce {event.reason}", lambda inner: inner.announce(owner, event))

    async def announce_workload(self, namespace: str, uid: str, event: Event) -> None:
        await self.around("announce_workload", lambda inner: inner.announce_workload(namespace, uid, event))

    async def annotate(self, resource: Resource, name: str, value: str) -> None:
        await self.around(f"annotate {name}", lambda inner: inner.annotate(resource, name, value))

    async def set_finalizer(self, resource: R, *, present: bool) -> R:
        return await self.around(
            f"set_finalizer {present}", lambda inner: inner.set_finalizer(resource, present=present)
        )

    async def write_status(self, resource: R, status: Model) -> R:
        return await self.around("write_status", lambda inner: inner.write_status(resource, status))


class Counting(Wrapped):
    """Notes every call."""

    def __init__(self, inner: Cluster) -> None:
        super().__init__(inner)
        self.calls: list[str] = []

    async def around(self, name: str, call: Call[T]) -> T:
        self.calls.append(name)
        return await call(self._inner)


class Dying(Wrapped):
    """The operator dies at a call, counted from 0: before it takes effect, or after and before its answer."""

    def __init__(self, inner: Cluster, at: int, *, after: bool) -> None:
        super().__init__(inner)
        self._left = at
        self._after = after

    async def around(self, name: str, call: Call[T]) -> T:
        self._left -= 1
        if self._left >= 0:
            return await call(self._inner)
        if self._after and self._left == -1:
            await call(self._inner)
        raise OperatorDiedError(name)


class Failing(Wrapped):
    """The next calls fail, one for each entry of `failures`; where `after`, they have taken effect nevertheless."""

    def __init__(self, inner: Cluster) -> None:
        super().__init__(inner)
        self.failures: list[tuple[type[ClusterError], bool]] = []

    async def around(self, name: str, call: Call[T]) -> T:
        if not self.failures:
            return await call(self._inner)
        kind, after = self.failures.pop(0)
        if after and kind is not ConflictError:
            await call(self._inner)
        raise kind(f"{name} failed")


class Doubling(Wrapped):
    """Every action is done twice, as after a crash between it and the status."""

    async def apply(self, owner: Resource, action: Action) -> None:
        await self._inner.apply(owner, action)
        try:
            await self._inner.apply(owner, action)
        except ConflictError:
            return
