"""What every API server promises about lists, the small one of the tests too: `Documents` and `Records` rely on it."""

from typing import Any, Protocol

import pytest

from becalm_operator.cluster import documents as module
from becalm_operator.cluster.documents import Document, Documents
from becalm_operator.cluster.kinds import NATIVE_PLACES

_PLACE = NATIVE_PLACES["Deployment"]


class Shelf(Protocol):
    """Where tests put what is to be listed."""

    namespace: str

    async def make_deployment(self, name: str, *, replicas: int) -> None:
        """Make a Deployment."""


class DocumentsContract:
    """Pages, metadata alone, and one by its name. A subclass has fixtures `documents` and `shelf`."""

    @pytest.fixture
    async def full(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Shelf:
        """Return a shelf with three Deployments, of which two fit into a page."""
        monkeypatch.setattr(module, "_PAGE", 2)
        for name in ("one", "two", "three"):
            await shelf.make_deployment(name, replicas=0)
        return shelf

    async def _pages(self, documents: Documents, shelf: Shelf) -> list[list[Document]]:
        return [list(page) async for page in documents.metadata(_PLACE, shelf.namespace)]

    async def test_metadata_comes_in_pages(self, documents: Documents, full: Shelf) -> None:
        pages = await self._pages(documents, full)

        assert [len(page) for page in pages] == [2, 1]
        found = {(one["namespace"], one["name"]) for page in pages for one in page}
        assert found == {(full.namespace, name) for name in ("one", "two", "three")}

    async def test_of_all_namespaces_too(self, documents: Documents, full: Shelf) -> None:
        names = [one["name"] async for page in documents.metadata(_PLACE, "") for one in page]

        assert {"one", "two", "three"} <= set(names)

    async def test_where_there_is_nothing_no_metadata_comes(self, documents: Documents, shelf: Shelf) -> None:
        pages = documents.metadata(NATIVE_PLACES["StatefulSet"], shelf.namespace)

        assert [one async for page in pages for one in page] == []

    async def test_nothing_but_metadata_is_sent(self, documents: Documents, full: Shelf) -> None:
        page: Any = await documents._page(_PLACE, full.namespace, "", module._METADATA, {})

        assert {key for one in page["items"] for key in one} <= {"kind", "apiVersion", "metadata"}

    async def test_one_is_found_by_its_name_with_all_there_is_of_it(
        self, documents: Documents, full: Shelf
    ) -> None:
        found = await documents.find(_PLACE, full.namespace, "two")

        assert found is not None
        assert (found["metadata"]["name"], found["spec"]["replicas"]) == ("two", 0)

    async def test_one_that_is_gone_is_not_found(self, documents: Documents, full: Shelf) -> None:
        assert await documents.find(_PLACE, full.namespace, "four") is None
