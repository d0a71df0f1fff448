"""Reading and writing our own objects."""

import asyncio
from collections.abc import Sequence
from typing import Any

from kubernetes.aio.client import ApiClient, CustomObjectsApi
from pydantic import ValidationError

from becalm_operator.api import names
from becalm_operator.api.backup import Backup
from becalm_operator.api.base import Model, told
from becalm_operator.api.restore import Restore
from becalm_operator.cluster.port import R, Resource
from becalm_operator.cluster.translate import REQUEST_SECONDS, translated
from becalm_operator.errors import ConflictError, NotFoundError, RefusedError

_PAGE = 500


class Objects:
    """The four kinds of ours on an API server."""

    def __init__(self, client: ApiClient) -> None:
        self._api = CustomObjectsApi(client)

    async def load(self, kind: type[R], namespace: str, name: str) -> R | None:
        """Return an object, or None if it does not exist."""
        try:
            with translated(f"reading {kind.kind} {namespace}/{name}"):
                raw = await self._api.get_namespaced_custom_object(
                    names.GROUP, names.VERSION, namespace, kind.plural, name, _request_timeout=REQUEST_SECONDS
                )
        except NotFoundError:
            return None
        return _parsed(kind, raw)

    async def list_raw(
        self, kind: type[Resource], namespace: str, selector: str = ""
    ) -> list[dict[str, Any]]:
        """Return the documents of all objects of a kind; an empty namespace means all."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            with translated(f"listing {kind.plural} of {namespace or 'all namespaces'}"):
                page: Any = await self._page(kind, namespace, selector, token)
            found += page["items"]
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return found

    async def _page(self, kind: type[Resource], namespace: str, selector: str, token: str) -> object:
        options: dict[str, Any] = {
            "label_selector": selector or None,
            "limit": _PAGE,
            "_continue": token or None,
            "_request_timeout": REQUEST_SECONDS,
        }
        place = (names.GROUP, names.VERSION)
        if namespace:
            return await self._api.list_namespaced_custom_object(*place, namespace, kind.plural, **options)
        return await self._api.list_cluster_custom_object(*place, kind.plural, **options)

    async def list(self, kind: type[R], namespace: str, selector: str = "") -> Sequence[R]:
        """Return all objects of a kind in a namespace; those that this version cannot read are left out."""
        parsed = []
        for raw in await self.list_raw(kind, namespace, selector):
            try:
                parsed.append(_parsed(kind, raw))
            except RefusedError:
                continue
        return parsed

    async def runs(self, namespace: str) -> Sequence[Backup | Restore]:
        """Return all runs of a namespace that this version can read; an empty namespace means all."""
        backups, restores = await asyncio.gather(self.list(Backup, namespace), self.list(Restore, namespace))
        return [*backups, *restores]

    async def make(self, kind: type[Resource], namespace: str, document: dict[str, Any]) -> None:
        """Make an object, unless one of its name exists."""
        try:
            with translated(f"making {kind.kind} {namespace}/{document['metadata']['name']}"):
                await self._api.create_namespaced_custom_object(
                    names.GROUP,
                    names.VERSION,
                    namespace,
                    kind.plural,
                    document,
                    field_manager=names.FIELD_MANAGER,
                    _request_timeout=REQUEST_SECONDS,
                )
        except ConflictError:
            return

    async def delete(self, kind: type[Resource], namespace: str, name: str) -> None:
        """Delete an object, if it exists."""
        try:
            with translated(f"deleting {kind.kind} {namespace}/{name}"):
                await self._api.delete_namespaced_custom_object(
                    names.GROUP, names.VERSION, namespace, kind.plural, name, _request_timeout=REQUEST_SECONDS
                )
        except NotFoundError:
            return

    async def patch(self, kind: type[R], namespace: str, name: str, patch: dict[str, Any]) -> R:
        """Merge a patch into an object and return it."""
        return _parsed(kind, await self._patched(kind, namespace, name, patch))

    async def annotate(
        self, kind: type[Resource], namespace: str, name: str, annotations: dict[str, str]
    ) -> None:
        """Set annotations of an object, if it exists."""
        try:
            await self._patched(kind, namespace, name, {"metadata": {"annotations": annotations}})
        except NotFoundError:
            return

    async def _patched(
        self, kind: type[Resource], namespace: str, name: str, patch: dict[str, Any]
    ) -> object:
        with translated(f"changing {kind.kind} {namespace}/{name}"):
            raw: object = await self._api.patch_namespaced_custom_object(
                names.GROUP,
                names.VERSION,
                namespace,
                kind.plural,
                name,
                patch,
                field_manager=names.FIELD_MANAGER,
                _content_type="application/merge-patch+json",
                _request_timeout=REQUEST_SECONDS,
            )
        return raw

    async def write_status(self, resource: R, status: Model) -> R:
        """Replace an object's status, unless the object has changed since it was read."""
        kind, metadata = type(resource), resource.metadata
        document = {
            "apiVersion": names.API_VERSION,
            "kind": kind.kind,
            "metadata": {
                "name": metadata.name,
                "namespace": metadata.namespace,
                "resourceVersion": metadata.resource_version,
            },
            "status": told(status),
        }
        with translated(f"writing the status of {kind.kind} {metadata.namespace}/{metadata.name}"):
            raw = await self._api.replace_namespaced_custom_object_status(
                names.GROUP,
                names.VERSION,
                metadata.namespace,
                kind.plural,
                metadata.name,
                document,
                field_manager=names.FIELD_MANAGER,
                _request_timeout=REQUEST_SECONDS,
            )
        return _parsed(kind, raw)


def _parsed(kind: type[R], raw: object) -> R:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors()[:3])
        raise RefusedError(f"this version of becalm cannot read a {kind.kind}: {places}") from error
