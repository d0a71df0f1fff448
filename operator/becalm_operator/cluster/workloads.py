"""What can be brought to a standstill: what it is like, and stopping and starting it in one update each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes.aio.client import ApiClient, AppsV1Api, BatchV1Api, V1ObjectMeta

from becalm_operator.api import names
from becalm_operator.api.record import release_patch
from becalm_operator.api.switches import KEDA_API_VERSION, KEDA_KIND, merged, resource_name
from becalm_operator.cluster import views
from becalm_operator.cluster import workload_views as sight
from becalm_operator.cluster.documents import Document, Documents, Place
from becalm_operator.cluster.kinds import KEDA_PLACE, Kinds, ScaledKind
from becalm_operator.cluster.pages import all_pages
from becalm_operator.cluster.records import Carrier, Records
from becalm_operator.cluster.translate import translated
from becalm_operator.errors import ClusterError, NotFoundError, RefusedError, UnavailableError
from becalm_operator.plan import wording
from becalm_operator.plan.steps import ScaleDown, ScaleUp
from becalm_operator.plan.world import Workload

_JOBS = Place("batch", "v1", "jobs")
_AUTOSCALER = resource_name(KEDA_KIND, KEDA_API_VERSION)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """The workloads of a namespace by their reference, who controls what there, and the kinds that were looked for."""

    workloads: Mapping[str, Workload]
    owners: Mapping[str, str]
    kinds: frozenset[str]
    jobs: Sequence[V1ObjectMeta] = ()
    """The metadata of all Jobs there."""


@dataclass(frozen=True, slots=True)
class _Native:
    """How the objects of one native kind are listed and seen; `claims` are all claims of their namespace."""

    what: str
    in_namespace: Callable[..., Awaitable[Any]]
    view: Callable[[Any, tuple[str, ...]], Workload]


class Workloads:
    """The workloads of an API server. `extra_kinds` are names of CustomResourceDefinitions."""

    def __init__(self, client: ApiClient, extra_kinds: tuple[str, ...] = ()) -> None:
        self._natives = _natives(AppsV1Api(client), BatchV1Api(client))
        self._documents = Documents(client)
        self._kinds = Kinds(self._documents, extra_kinds)
        self._records = Records(self._documents, self._kinds)

    async def look(self, namespace: str, claims: Iterable[str], needed: frozenset[str] = frozenset()) -> Seen:
        """Return the workloads of a namespace. `claims` are all claims of it.

        Raises:
            ClusterError: Something could not be listed. Of what is refused only a kind that is `needed` counts.
        """
        natives, jobs, (kinds, others), autoscalers = await asyncio.gather(
            asyncio.gather(*(self._native(one, namespace) for one in self._natives)),
            self._jobs(namespace),
            self._others(namespace, needed),
            self._unless_refused(self._autoscalers(namespace), needed=_AUTOSCALER in needed),
        )
        known = tuple(claims)
        pairs = [(native, one) for native, found in zip(self._natives, natives, strict=True) for one in found]
        workloads = [native.view(one, known) for native, one in pairs]
        workloads += [sight.scaled_view(one, kind) for kind, found in others for one in found]
        workloads += [sight.autoscaler_view(one) for one in autoscalers]
        by_name = {str(workload.reference): workload for workload in workloads}
        owners = {name: workload.owner for name, workload in by_name.items()}
        controllers = {f"job/{job.name}": views.controller_of(job) for job in jobs}
        # a Job of ours belongs to a Backup or the like, which is no workload
        owners |= {job: owner for job, owner in controllers.items() if owner in by_name}
        return Seen(by_name, owners, frozenset(kind.resource for kind in kinds), jobs)

    async def with_record(self, namespace: str) -> tuple[list[Carrier], list[ClusterError]]:
        """Return the workloads that carry a record, with their namespaces; an empty namespace means all.

        Also returns why something could not be looked at: one kind that is refused hides no other.
        """
        return await self._records.look(namespace)

    async def stop(self, namespace: str, action: ScaleDown) -> None:
        """Stop a workload and write the record, in one update; a workload that has changed is left alone."""
        record = {"metadata": {"annotations": {names.RECORD_ANNOTATION: action.record.to_annotation()}}}
        await self._patch(namespace, action, merged(record, action.switch.change(0)))

    async def start(self, namespace: str, action: ScaleUp) -> None:
        """Start a workload and take the record off, in one update; one that is gone needs nothing."""
        try:
            await self._patch(namespace, action, release_patch(action.switch, action.replicas))
        except NotFoundError:
            return

    async def _patch(self, namespace: str, action: ScaleDown | ScaleUp, change: dict[str, Any]) -> None:
        """Make one update. With its resourceVersion the API server refuses it if anything has changed."""
        place = await self._kinds.place_of(action.workload)
        guard = {"metadata": {"resourceVersion": action.resource_version}}
        await self._documents.patch(place, namespace, action.workload.name, merged(change, guard))

    async def _native(self, native: _Native, namespace: str) -> Sequence[Any]:
        with translated(f"listing {native.what} of {namespace}"):
            return await all_pages(native.in_namespace, namespace)

    async def _jobs(self, namespace: str) -> Sequence[V1ObjectMeta]:
        """Return the metadata of all Jobs of a namespace: of the rest nothing is read, and it is much."""
        pages = self._documents.metadata(_JOBS, namespace)
        return [sight.metadata_from(one) async for page in pages for one in page]

    async def _others(
        self, namespace: str, needed: frozenset[str]
    ) -> tuple[Sequence[ScaledKind], list[tuple[ScaledKind, list[Document]]]]:
        kinds, problems = await self._kinds.known()
        if hidden := self._kinds.hidden(needed):
            raise UnavailableError(
                "; ".join([f"nobody may know of {wording.listed(hidden)} now", *map(str, problems)])
            )
        for problem in problems:
            if isinstance(problem, UnavailableError):  # or a workload that is held would seem to be gone
                raise problem
        found = await asyncio.gather(
            *(
                self._unless_refused(self._of_kind(kind, namespace), needed=kind.resource in needed)
                for kind in kinds
            )
        )
        return kinds, list(zip(kinds, found, strict=True))

    async def _of_kind(self, kind: ScaledKind, namespace: str) -> list[Document]:
        try:
            return await self._documents.list(kind.place, namespace)
        except NotFoundError:  # its definition has just gone, and its objects with it
            return []

    async def _autoscalers(self, namespace: str) -> list[Document]:
        try:
            return await self._documents.list(KEDA_PLACE, namespace)
        except NotFoundError:  # there is no KEDA
            return []

    async def _unless_refused(self, listing: Awaitable[list[Document]], *, needed: bool) -> list[Document]:
        """Return what is listed, and nothing of what must not be: runs that have nothing to do with it go on.

        A run that has to do with it would take what it holds down for gone, and leave it down: it looks again instead.
        """
        try:
            return await listing
        except RefusedError as error:
            if needed:
                raise UnavailableError(str(error)) from error
            _log.warning("%s", error)
            return []


def _natives(apps: AppsV1Api, batch: BatchV1Api) -> tuple[_Native, ...]:
    return (
        _Native(
            "Deployments",
            apps.list_namespaced_deployment,
            lambda one, _: sight.deployment_view(one),
        ),
        _Native(
            "StatefulSets",
            apps.list_namespaced_stateful_set,
            sight.stateful_set_view,
        ),
        _Native(
            "ReplicaSets",
            apps.list_namespaced_replica_set,
            lambda one, _: sight.replica_set_view(one),
        ),
        _Native(
            "CronJobs",
            batch.list_namespaced_cron_job,
            lambda one, _: sight.cron_job_view(one),
        ),
    )
