"""Objects of any kind, as documents: for what the typed client has no model of, and where one way has to do for all."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes.aio.client import ApiClient, CustomObjectsApi

from becalm_operator.api import names
from becalm_operator.cluster.translate import REQUEST_SECONDS, translated

Document = Mapping[str, Any]
_PAGE = 250
"""Few enough that a page may be held of each kind at once, and that reading one stops nothing else for long."""
_MERGE = "application/merge-patch+json"
_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


def without_authors(metadata: Document) -> dict[str, Any]:
    """Return an object's metadata but for who wrote which of its fields: that is much, and few want to know."""
    return {key: one for key, one in metadata.items() if key != "managedFields"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the API server keeps the objects of a kind."""

    group: str
    version: str
    plural: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}"


class Documents:
    """The objects of an API server that live in a group."""

    def __init__(self, client: ApiClient) -> None:
        self._api = CustomObjectsApi(client)

    async def read(self, place: Place, name: str) -> Document:
        """Return an object that belongs to no namespace."""
        with translated(f"reading {place} {name}"):
            found: Any = await self._api.get_cluster_custom_object(
                place.group, place.version, place.plural, name, _request_timeout=REQUEST_SECONDS
            )
        document: Document = found
        return document

    async def list(self, place: Place, namespace: str, selector: str = "") -> list[Document]:
        """Return the objects of a kind that have these labels; an empty namespace means all."""
        pages = self._pages(place, namespace, label_selector=selector or None)
        return [one async for page in pages for one in page]

    async def find(self, place: Place, namespace: str, name: str) -> Document | None:
        """Return an object, or None if it does not exist. It is listed, for to read it takes another permission."""
        pages = self._pages(place, namespace, field_selector=f"metadata.name={name}")
        return next(iter([one async for page in pages for one in page]), None)

    async def metadata(self, place: Place, namespace: str) -> AsyncIterator[Sequence[Document]]:
        """Yield the metadata of all objects of a kind, page by page. More of them the API server does not send."""
        async for page in self._pages(place, namespace, accept=_METADATA):
            yield [one["metadata"] for one in page]

    async def _pages(
        self, place: Place, namespace: str, *, accept: str = "", **selectors: str | None
    ) -> AsyncIterator[Sequence[Document]]:
        token = ""
        while True:
            with translated(f"listing {place} of {namespace or 'all namespaces'}"):
                page = await self._page(place, namespace, token, accept, selectors)
            # of metadata alone the API server sends null where there is nothing
            yield page["items"] or ()
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return

    async def _page(
        self, place: Place, namespace: str, token: str, accept: str, selectors: Mapping[str, str | None]
    ) -> Any:
        options: dict[str, Any] = {
            "limit": _PAGE,
            "_continue": token or None,
            "_headers": {"Accept": accept} if accept else None,
            "_request_timeout": REQUEST_SECONDS,
            **selectors,
        }
        kind = (place.group, place.version)
        if namespace:
            return await self._api.list_namespaced_custom_object(*kind, namespace, place.plural, **options)
        return await self._api.list_cluster_custom_object(*kind, place.plural, **options)

    async def patch(self, place: Place, namespace: str, name: str, change: dict[str, Any]) -> None:
        """Merge a patch into an object."""
        with translated(f"changing {place} {namespace}/{name}"):
            await self._api.patch_namespaced_custom_object(
                place.group,
                place.version,
                namespace,
                place.plural,
                name,
                change,
                field_manager=names.FIELD_MANAGER,
                _content_type=_MERGE,
                _request_timeout=REQUEST_SECONDS,
            )

    async def make(self, place: Place, namespace: str, document: Document) -> None:
        """Make an object.

        Raises:
            ConflictError: One of its name exists.
        """
        with translated(f"making {place} {namespace}/{document['metadata']['name']}"):
            await self._api.create_namespaced_custom_object(
                place.group,
                place.version,
                namespace,
                place.plural,
                dict(document),
                field_manager=names.FIELD_MANAGER,
                _request_timeout=REQUEST_SECONDS,
            )

    async def delete(self, place: Place, namespace: str, name: str) -> None:
        """Delete an object.

        Raises:
            NotFoundError: It does not exist.
        """
        with translated(f"deleting {place} {namespace}/{name}"):
            await self._api.delete_namespaced_custom_object(
                place.group, place.version, namespace, place.plural, name, _request_timeout=REQUEST_SECONDS
            )
