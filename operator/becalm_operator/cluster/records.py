"""Looking for what carries a record, in a cluster of any size.

Of all objects no more than the metadata is asked for, and no more than a page of it is held. What carries a record is
then read one by one, as a document: typed models would know more of it, and refuse what they do not know.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from becalm_operator.api import names
from becalm_operator.api.switches import REPLICAS, SUSPENSION
from becalm_operator.cluster import workload_views as sight
from becalm_operator.cluster.documents import Document, Documents, Place
from becalm_operator.cluster.kinds import KEDA_PLACE, NATIVE_PLACES, Kinds, ScaledKind
from becalm_operator.errors import ClusterError, NotFoundError, RefusedError
from becalm_operator.plan.world import Workload

_AT_ONCE = 8
_REPLICA_SETS = NATIVE_PLACES["ReplicaSet"]

_log = logging.getLogger(__name__)

Carrier = tuple[str, Workload]
"""A workload that carries a record, after its namespace."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where the objects of a kind are, and how they are seen. `native`: it is there in every cluster."""

    place: Place
    view: Callable[[Document], Workload]
    native: bool = False

    def carries_record(self, metadata: Document) -> bool:
        """Say whether an object carries a record: a Deployment's controller leaves copies on its ReplicaSets."""
        owners = metadata.get("ownerReferences") or ()
        copied = self.place == _REPLICA_SETS and any(owner.get("controller") for owner in owners)
        return names.RECORD_ANNOTATION in (metadata.get("annotations") or {}) and not copied


class Records:
    """What carries a record on an API server."""

    def __init__(self, documents: Documents, kinds: Kinds) -> None:
        self._documents = documents
        self._kinds = kinds
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def look(self, namespace: str) -> tuple[list[Carrier], list[ClusterError]]:
        """Return what carries a record, and what could not be looked at; an empty namespace means all."""
        others, problems = await self._kinds.known()
        kinds = (*_NATIVES, *map(_scaled, others), _AUTOSCALERS)
        answers = await asyncio.gather(*(self._of_kind(kind, namespace) for kind in kinds))
        told = [one for answer in answers for one in answer]
        found = [one for one in told if not isinstance(one, ClusterError)]
        return found, [*problems, *(one for one in told if isinstance(one, ClusterError))]

    async def _of_kind(self, kind: _Kind, namespace: str) -> list[Carrier | ClusterError]:
        carriers: list[tuple[str, str]] = []
        unseen: list[ClusterError] = []
        try:
            async for page in self._documents.metadata(kind.place, namespace):
                carriers += [(one["namespace"], one["name"]) for one in page if kind.carries_record(one)]
        except Exception as error:  # noqa: BLE001  one kind that makes no sense hides no other
            # of kinds that need not be there, none is there then
            if kind.native or not isinstance(error, NotFoundError):
                unseen.append(_problem(f"listing {kind.place}", error))
        read = await asyncio.gather(*(self._read(kind, *carrier) for carrier in carriers))
        return [*unseen, *(one for answer in read for one in answer)]

    async def _read(self, kind: _Kind, namespace: str, name: str) -> list[Carrier | ClusterError]:
        """Return an object, if it still carries a record."""
        try:
            async with self._room:
                found = await self._documents.find(kind.place, namespace, name)
            if found is None or not kind.carries_record(found["metadata"]):
                return []
            return [(namespace, kind.view(found))]
        except Exception as error:  # noqa: BLE001  nor one object
            return [_problem(f"reading {kind.place} {namespace}/{name}", error)]


def _problem(what: str, error: Exception) -> ClusterError:
    if isinstance(error, ClusterError):
        return error
    _log.error("%s failed", what, exc_info=error)
    return RefusedError(f"{what}: what the API server sends makes no sense: {type(error).__name__}")


def _scaled(kind: ScaledKind) -> _Kind:
    return _Kind(kind.place, partial(sight.scaled_view, kind=kind))


def _native(kind: str) -> _Kind:
    switch = SUSPENSION if kind == "CronJob" else REPLICAS
    return _Kind(NATIVE_PLACES[kind], partial(sight.native_view, kind=kind, switch=switch), native=True)


_NATIVES = tuple(map(_native, NATIVE_PLACES))
_AUTOSCALERS = _Kind(KEDA_PLACE, sight.autoscaler_view)
