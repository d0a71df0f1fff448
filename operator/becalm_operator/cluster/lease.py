"""The Lease: at most one operator acts at a time.

A candidate never compares clocks of two machines. It takes the Lease from a holder when it has itself not seen it
renewed for as long as the Lease says. The holder stops acting earlier than that, so the two never overlap. It goes on
trying to renew: an API server that was away for a minute has given the Lease to nobody, and a process that ended for it
would be started again later and later by its kubelet, while workloads are down.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, Protocol

from kubernetes.aio.client import ApiClient, CoordinationV1Api, V1Lease, V1LeaseSpec, V1ObjectMeta

from becalm_operator.api import names
from becalm_operator.cluster.translate import translated
from becalm_operator.errors import (
    ClusterError,
    ConflictError,
    LeaseLostError,
    NotFoundError,
    UnavailableError,
)

NAME = "becalm-operator"

_REQUEST_SECONDS = 5.0
"""Short, so that a renewal that hangs can be tried again in time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take, in seconds. `rest` must be well below `duration`: between the two nobody acts."""

    duration: int = 30
    renew: float = 10.0
    rest: float = 20.0
    retry: float = 2.0


class Leases(Protocol):
    """Where the Lease is kept: one object, changed under its resourceVersion."""

    async def read(self) -> V1Lease | None:
        """Return the Lease, or None if there is none."""

    async def create(self, lease: V1Lease) -> V1Lease:
        """Make the Lease. Raises ConflictError if there is one."""

    async def replace(self, lease: V1Lease) -> V1Lease:
        """Write the Lease. Raises ConflictError if it has changed since it was read."""


class ApiLeases:
    """The Lease on an API server."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._api = CoordinationV1Api(client)
        self._namespace = namespace
        self._what = f"Lease {namespace}/{NAME}"

    async def read(self) -> V1Lease | None:
        """Return the Lease, or None if there is none."""
        try:
            with translated(f"reading {self._what}"):
                return await self._api.read_namespaced_lease(
                    NAME, self._namespace, _request_timeout=_REQUEST_SECONDS
                )
        except NotFoundError:
            return None

    async def create(self, lease: V1Lease) -> V1Lease:
        """Make the Lease."""
        with translated(f"making {self._what}"):
            return await self._api.create_namespaced_lease(
                self._namespace, lease, field_manager=names.FIELD_MANAGER, _request_timeout=_REQUEST_SECONDS
            )

    async def replace(self, lease: V1Lease) -> V1Lease:
        """Write the Lease."""
        with translated(f"writing {self._what}"):
            return await self._api.replace_namespaced_lease(
                NAME,
                self._namespace,
                lease,
                field_manager=names.FIELD_MANAGER,
                _request_timeout=_REQUEST_SECONDS,
            )


class Lease:
    """One operator's view of the Lease. `on_attempt` is called with every try, whether it goes well or not."""

    def __init__(
        self,
        leases: Leases,
        identity: str,
        timing: Timing | None = None,
        on_attempt: Callable[[], None] = lambda: None,
    ) -> None:
        self._leases = leases
        self._identity = identity
        self._timing = timing or Timing()
        self._held: V1Lease | None = None
        self._renewed_at = 0.0
        self._seen: tuple[object, ...] = ()
        self._seen_at = 0.0
        self._on_attempt = on_attempt

    async def acquire(self) -> None:
        """Return once the Lease is held. Waits as long as another operator renews it, or nobody answers."""
        told = ""
        while True:
            try:
                holder = await self._try()
            except ConflictError:
                continue  # somebody was faster; what they have written decides
            except ClusterError as error:
                waiting = str(error)
            else:
                if holder is None:
                    return
                waiting = f"held by {holder}"
            if waiting != told:
                _log.info("waiting for the Lease: %s", waiting)
                told = waiting
            await asyncio.sleep(self._timing.retry)

    async def _try(self) -> str | None:
        """Take the Lease if it is free. Returns who else holds it, or None when it is ours."""
        self._on_attempt()
        started = _now()
        found = await self._leases.read()
        if found is None:
            self._took(await self._leases.create(self._claim(None)), started)
        elif self._is_free(found):
            self._took(await self._leases.replace(self._claim(found)), started)
        else:
            return _holder(found)
        return None

    def _is_free(self, found: V1Lease) -> bool:
        holder = _holder(found)
        # Our own name is a process before us in the same pod: its container has ended, or we would not run.
        if not holder or holder == self._identity:
            return True
        spec = found.spec or V1LeaseSpec()
        seen = (*_claim_of(found), spec.renew_time)
        if seen != self._seen:
            self._seen, self._seen_at = seen, _now()
        return _now() - self._seen_at >= (spec.lease_duration_seconds or self._timing.duration)

    async def holder(self) -> str:
        """Return who holds the Lease, or did last; nothing if nobody ever has, or it was left to the next one."""
        found = await self._leases.read()
        return _holder(found) if found else ""

    async def seize(self) -> str:
        """Take the Lease whoever holds it, and return who did. They notice at their next renewal, and end."""
        while True:
            found = await self._leases.read()
            try:
                claim = self._claim(found)
                write = self._leases.replace if found else self._leases.create
                self._took(await write(claim), _now())
            except ConflictError:
                continue
            return _holder(found) if found else ""

    async def keep(self) -> NoReturn:
        """Renew the Lease for ever, however long nobody answers.

        Raises:
            LeaseLostError: Somebody else has it.
        """
        while True:
            await asyncio.sleep(self._timing.renew)
            await self._renew()

    async def _renew(self) -> None:
        while True:
            self._on_attempt()
            started = _now()
            try:
                self._took(await self._renewed(), started)
            except ClusterError as error:
                _log.warning("the Lease was not renewed, trying again: %s", error)
                await asyncio.sleep(self._timing.retry)
            else:
                return

    async def _renewed(self) -> V1Lease:
        assert self._held is not None
        try:
            return await self._leases.replace(_renewal(self._held, self._held))
        except (ConflictError, NotFoundError):
            found = await self._leases.read()
        if found is None:  # somebody has deleted it; whoever makes it first has it
            anew = _renewal(self._held, self._held)
            return await self._leases.create(anew.model_copy(update={"metadata": _metadata(None)}))
        if _claim_of(found) != _claim_of(self._held):
            raise LeaseLostError(f"the Lease was taken by {_holder(found) or 'somebody'}")
        return await self._leases.replace(_renewal(self._held, found))

    def require(self) -> None:
        """See that nobody else can have the Lease. A process that stood still does not know yet that it has lost it.

        Raises:
            UnavailableError: It has not been renewed for so long that somebody may.
        """
        silent = _now() - self._renewed_at
        if not self._is_held_for(self._timing.rest):
            raise UnavailableError(f"the Lease has not been renewed for {silent:.0f} s, so nothing is done")

    def is_held(self) -> bool:
        """Say whether it is ours and was renewed within its term. If not, somebody else may have it."""
        return self._is_held_for(self._timing.duration)

    def _is_held_for(self, seconds: float) -> bool:
        return self._held is not None and _now() - self._renewed_at < seconds

    async def release(self) -> None:
        """Leave the Lease to the next one, who need not wait then. Failing to is told, not raised."""
        if self._held is None:
            return
        free = _renewal(self._held, self._held)
        spec = (free.spec or V1LeaseSpec()).model_copy(update={"holder_identity": None})
        try:
            await self._leases.replace(free.model_copy(update={"spec": spec}))
        except ClusterError as error:
            _log.warning("the Lease was not released; the next operator waits for it to run out: %s", error)
        self._held = None

    def _took(self, lease: V1Lease, started: float) -> None:
        # counted from before the call: the others cannot have seen it earlier
        self._held, self._renewed_at = lease, started

    def _claim(self, found: V1Lease | None) -> V1Lease:
        before = found.spec if found else None
        now = _micro_time()
        spec = V1LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=self._timing.duration,
            acquire_time=now,
            renew_time=now,
            lease_transitions=(before.lease_transitions or 0) + 1 if before else 0,
        )
        return V1Lease(
            api_version="coordination.k8s.io/v1", kind="Lease", metadata=_metadata(found), spec=spec
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _micro_time() -> datetime:
    """Return the time with microseconds that are not 0: without a fraction the API server does not take it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=max(now.microsecond, 1))


def _metadata(found: V1Lease | None) -> V1ObjectMeta:
    if found is None or found.metadata is None:
        return V1ObjectMeta(name=NAME)
    return found.metadata.model_copy(update={"managed_fields": None})


def _renewal(held: V1Lease, newest: V1Lease) -> V1Lease:
    """Return what we hold, renewed now, on top of the object's newest version."""
    spec = (held.spec or V1LeaseSpec()).model_copy(update={"renew_time": _micro_time()})
    return newest.model_copy(update={"spec": spec, "metadata": _metadata(newest)})


def _holder(lease: V1Lease) -> str:
    return (lease.spec.holder_identity if lease.spec else None) or ""


def _claim_of(lease: V1Lease) -> tuple[object, ...]:
    """Return what is the same for as long as one process holds the Lease, and differs for any other."""
    spec = lease.spec or V1LeaseSpec()
    return spec.holder_identity, spec.acquire_time, spec.lease_transitions
