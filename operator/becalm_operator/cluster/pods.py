"""Pods, read as far as decisions look at them.

A run looks at all pods of its namespace whenever something changes there, and most of them are movers of runs that are
over. To make models of everything that is written in them took the client 350 ms for 73 of them, in which nothing else
was looked after; of what is left, 20.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kubernetes.aio.client import ApiClient, CoreV1Api, V1ListMeta, V1Pod, V1PodList

from becalm_operator.cluster.documents import Document, without_authors
from becalm_operator.cluster.pages import all_pages
from becalm_operator.cluster.translate import refuse_error, translated
from becalm_operator.errors import UnavailableError

_SPEC = ("nodeName", "restartPolicy", "securityContext")
_CONTAINER = ("name", "resources", "securityContext", "volumeMounts")
_VOLUME = ("name", "persistentVolumeClaim", "ephemeral")


class Pods:
    """The pods of an API server."""

    def __init__(self, client: ApiClient) -> None:
        self._core = CoreV1Api(client)

    async def list(self, namespace: str, selector: str = "") -> Sequence[V1Pod]:
        """Return the pods of a namespace that have these labels, as `lean_pod` makes them.

        Raises:
            ClusterError: They cannot be listed.
        """
        with translated(f"listing pods of {namespace}"):
            return await all_pages(self._page, namespace, label_selector=selector or None)

    async def _page(self, namespace: str, **options: Any) -> V1PodList:
        answer = await self._core.list_namespaced_pod_without_preload_content(namespace, **options)
        async with answer:
            await refuse_error(answer)
            page = json_document(await answer.read())
        pods = [lean_pod(one) for one in page["items"] or ()]
        return V1PodList(items=pods, metadata=V1ListMeta.from_dict(page.get("metadata") or {}))


def lean_pod(pod: Document) -> V1Pod:
    """Return a pod with those of its fields alone that `views`, `identities` and `movers` read."""
    spec = pod.get("spec") or {}
    made = V1Pod.from_dict(
        {
            "metadata": without_authors(pod["metadata"]),
            "spec": _only(_SPEC, spec)
            | {
                "containers": _each(_CONTAINER, spec.get("containers")),
                "volumes": _each(_VOLUME, spec.get("volumes")),
            },
            "status": pod.get("status") or {},
        }
    )
    assert made is not None
    return made


def json_document(answer: bytes) -> Document:
    """Return what the API server answers.

    Raises:
        UnavailableError: It is no JSON: something on the way, or an API server that is ill.
    """
    try:
        document: Document = json.loads(answer)
    except ValueError as error:
        raise UnavailableError(f"the answer makes no sense: {error}") from error
    return document


def _only(keys: Iterable[str], document: Document) -> dict[str, Any]:
    return {key: document[key] for key in keys if key in document}


def _each(keys: Iterable[str], documents: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    return [_only(keys, document) for document in documents or ()]
