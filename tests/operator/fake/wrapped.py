"""Clusters that stand in front of another and make something go wrong at a call."""

import asyncio
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
Call = Callable[[], Awaitable[T]]


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
        return await call()

    async def load(self, kind: type[R], namespace: str, name: str) -> R | None:
        return await self.around("load", lambda: self._inner.load(kind, namespace, name))

    async def list_keys(self) -> Keys:
        return await self.around("list_keys", self._inner.list_keys)

    async def observe_run(self, run: Backup | Restore) -> World:
        return await self.around("observe_run", lambda: self._inner.observe_run(run))

    async def observe_repository(self, repository: BackupRepository) -> RepositoryWorld:
        return await self.around("observe_repository", lambda: self._inner.observe_repository(repository))

    async def observe_schedule(self, schedule: BackupSchedule) -> ScheduleWorld:
        return await self.around("observe_schedule", lambda: self._inner.observe_schedule(schedule))

    async def observe_held(self) -> Holdings:
        return await self.around("observe_held", self._inner.observe_held)

    async def apply(self, owner: Resource, action: Action) -> None:
        name = f"apply {type(action).__name__}"
        await self.around(name, lambda: self._inner.apply(owner, action))

    async def release(self, namespace: str, action: ScaleUp) -> None:
        await self.around("release", lambda: self._inner.release(namespace, action))

    async def announce(self, owner: Resource, event: Event) -> None:
        await self.around(f"announce {event.reason}", lambda: self._inner.announce(owner, event))

    async def announce_workload(self, namespace: str, uid: str, event: Event) -> None:
        await self.around("announce_workload", lambda: self._inner.announce_workload(namespace, uid, event))

    async def annotate(self, resource: Resource, name: str, value: str) -> None:
        await self.around(f"annotate {name}", lambda: self._inner.annotate(resource, name, value))

    async def set_finalizer(self, resource: R, *, present: bool) -> R:
        return await self.around(
            f"set_finalizer {present}", lambda: self._inner.set_finalizer(resource, present=present)
        )

    async def write_status(self, resource: R, status: Model) -> R:
        return await self.around("write_status", lambda: self._inner.write_status(resource, status))


class Counting(Wrapped):
    """Notes every call."""

    def __init__(self, inner: Cluster) -> None:
        super().__init__(inner)
        self.calls: list[str] = []

    async def around(self, name: str, call: Call[T]) -> T:
        self.calls.append(name)
        return await call()


class Dying(Wrapped):
    """The operator dies at a call, counted from 0: before it takes effect, or after and before its answer."""

    def __init__(self, inner: Cluster, at: int, *, after: bool) -> None:
        super().__init__(inner)
        self._left = at
        self._after = after

    async def around(self, name: str, call: Call[T]) -> T:
        self._left -= 1
        if self._left >= 0:
            return await call()
        if self._after and self._left == -1:
            await call()
        raise OperatorDiedError(name)


class Stalling(Wrapped):
    """The operator stands still before a call, counted from 0; when `resumed` it does the call, and dies."""

    def __init__(self, inner: Cluster, at: int) -> None:
        super().__init__(inner)
        self._left = at
        self.stalled, self.resumed = asyncio.Event(), asyncio.Event()
        self.refused = False
        """Whether the late call was refused."""

    async def around(self, name: str, call: Call[T]) -> T:
        self._left -= 1
        if self._left >= 0:
            return await call()
        self.stalled.set()
        await self.resumed.wait()
        try:
            await call()
        except ClusterError:
            self.refused = True
        raise OperatorDiedError(name)


class Failing(Wrapped):
    """The next calls fail, one for each entry of `failures`; where `after`, they have taken effect nevertheless."""

    def __init__(self, inner: Cluster) -> None:
        super().__init__(inner)
        self.failures: list[tuple[type[ClusterError], bool]] = []

    async def around(self, name: str, call: Call[T]) -> T:
        if not self.failures:
            return await call()
        kind, after = self.failures.pop(0)
        if after and kind is not ConflictError:
            await call()
        raise kind(f"{name} failed")


class Doubling(Wrapped):
    """Every action is done twice, as after a crash between it and the status."""

    async def apply(self, owner: Resource, action: Action) -> None:
        await self._inner.apply(owner, action)
        try:
            await self._inner.apply(owner, action)
        except ConflictError:
            return
