"""Deployments and StatefulSets: what they are, and stopping and starting them in one update each."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from kubernetes.aio.client import ApiClient, AppsV1Api, V1Deployment, V1ReplicaSet, V1StatefulSet

from becalm_operator.api import names
from becalm_operator.api.backup import WorkloadReference
from becalm_operator.cluster import views
from becalm_operator.cluster.pages import all_pages
from becalm_operator.cluster.translate import REQUEST_SECONDS, translated
from becalm_operator.errors import NotFoundError
from becalm_operator.plan.steps import ScaleDown, ScaleUp
from becalm_operator.plan.world import Workload

_MERGE = "application/merge-patch+json"


class Workloads:
    """The workloads of an API server."""

    def __init__(self, client: ApiClient) -> None:
        self._api = AppsV1Api(client)

    async def list(self, namespace: str, claims: Iterable[str]) -> dict[str, Workload]:
        """Return the workloads of a namespace, by their reference. `claims` are all claims of it."""
        deployments, stateful_sets = await asyncio.gather(
            self._deployments(namespace), self._stateful_sets(namespace)
        )
        known = tuple(claims)
        found = [views.deployment_view(one) for one in deployments]
        found += [views.stateful_set_view(one, known) for one in stateful_sets]
        return {str(workload.reference): workload for workload in found}

    async def list_with_record(self, namespace: str) -> Sequence[tuple[str, Workload]]:
        """Return the workloads that carry a record, with their namespaces; an empty namespace means all."""
        deployments, stateful_sets = await asyncio.gather(
            self._deployments(namespace), self._stateful_sets(namespace)
        )
        found = [(_namespace(one), views.deployment_view(one)) for one in deployments if _has_record(one)]
        found += [
            (_namespace(one), views.stateful_set_view(one, ())) for one in stateful_sets if _has_record(one)
        ]
        return found

    async def replica_set_owners(self, namespace: str) -> dict[str, str]:
        """Return who controls each ReplicaSet of a namespace."""
        with translated(f"listing ReplicaSets of {namespace}"):
            found: Sequence[V1ReplicaSet] = await all_pages(self._api.list_namespaced_replica_set, namespace)
        return views.replica_set_owners(found)

    async def stop(self, namespace: str, action: ScaleDown) -> None:
        """Scale a workload to 0 and write the record, in one update; a workload that has changed is left alone."""
        annotations = {names.RECORD_ANNOTATION: action.record.to_annotation()}
        await self._patch(namespace, action.workload, _change(action.resource_version, annotations, 0))

    async def start(self, namespace: str, action: ScaleUp) -> None:
        """Scale a workload back and take the record off, in one update; one that is gone needs nothing."""
        annotations = {names.RECORD_ANNOTATION: None}
        change = _change(action.resource_version, annotations, action.replicas)
        try:
            await self._patch(namespace, action.workload, change)
        except NotFoundError:
            return

    async def _patch(self, namespace: str, workload: WorkloadReference, change: dict[str, Any]) -> None:
        patch = (
            self._api.patch_namespaced_deployment
            if workload.kind == "Deployment"
            else self._api.patch_namespaced_stateful_set
        )
        with translated(f"scaling {namespace}/{workload}"):
            await patch(
                workload.name,
                namespace,
                change,
                field_manager=names.FIELD_MANAGER,
                _content_type=_MERGE,
                _request_timeout=REQUEST_SECONDS,
            )

    async def _deployments(self, namespace: str) -> Sequence[V1Deployment]:
        with translated(f"listing Deployments of {namespace or 'all namespaces'}"):
            if namespace:
                return await all_pages(self._api.list_namespaced_deployment, namespace)
            return await all_pages(self._api.list_deployment_for_all_namespaces)

    async def _stateful_sets(self, namespace: str) -> Sequence[V1StatefulSet]:
        with translated(f"listing StatefulSets of {namespace or 'all namespaces'}"):
            if namespace:
                return await all_pages(self._api.list_namespaced_stateful_set, namespace)
            return await all_pages(self._api.list_stateful_set_for_all_namespaces)


def _change(resource_version: str, annotations: dict[str, Any], replicas: int) -> dict[str, Any]:
    """Return the patch of one update. With its resourceVersion the API server refuses it if anything has changed."""
    return {
        "metadata": {"resourceVersion": resource_version, "annotations": annotations},
        "spec": {"replicas": replicas},
    }


def _has_record(workload: V1Deployment | V1StatefulSet) -> bool:
    metadata = workload.metadata
    return metadata is not None and names.RECORD_ANNOTATION in (metadata.annotations or {})


def _namespace(workload: V1Deployment | V1StatefulSet) -> str:
    return (workload.metadata.namespace if workload.metadata else None) or ""
