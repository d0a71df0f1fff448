"""What carries a record is found in a cluster of any size, and nothing else is kept, or can hide it."""

import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.api import names
from becalm_operator.api.record import Holder, Record
from becalm_operator.cluster.documents import Document, Documents, Place
from becalm_operator.cluster.kinds import KEDA_PLACE, NATIVE_PLACES, Kinds
from becalm_operator.cluster.records import Records
from becalm_operator.cluster.workloads import Workloads
from becalm_operator.errors import NotFoundError, RefusedError, UnavailableError
from tests.operator.cluster.documents_contract import DocumentsContract
from tests.operator.handlers.api import FakeApiServer, fake_api_server
from tests.operator.plan.worlds import NOW

RECORD = Record(
    by=Holder(kind="Backup", name="b", uid="u"), at=NOW, replicas=3, deadline=NOW, undo="kubectl"
).to_annotation()
DEPLOYMENT = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "x", "controller": True}]


def an_object(name: str, record: str | None = None, **spec: Any) -> dict[str, Any]:
    annotations = {names.RECORD_ANNOTATION: record} if record is not None else {}
    metadata = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "generation": 2,
        "annotations": annotations,
    }
    return {"metadata": metadata, "spec": {"replicas": 0, **spec}}


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as running:
        yield running


@pytest.fixture
async def client(server: FakeApiServer) -> AsyncIterator[ApiClient]:
    async with ApiClient(Configuration(host=server.url)) as client:
        yield client


@dataclass
class FakeShelf:
    server: FakeApiServer
    namespace: str = "shop"

    async def make_deployment(self, name: str, *, replicas: int) -> None:
        self.server.put("deployments", an_object(name, replicas=replicas))


class TestFakeApiServer(DocumentsContract):
    @pytest.fixture
    def documents(self, client: ApiClient) -> Documents:
        return Documents(client)

    @pytest.fixture
    def shelf(self, server: FakeApiServer) -> FakeShelf:
        return FakeShelf(server)


async def test_of_what_carries_no_record_nothing_but_metadata_is_asked_for(
    server: FakeApiServer, client: ApiClient
) -> None:
    for number in range(300):
        server.put("replicasets", an_object(f"web-{number}"))
        copy = an_object(f"copy-{number}", RECORD)
        copy["metadata"]["ownerReferences"] = DEPLOYMENT
        server.put("replicasets", copy)
    server.put("replicasets", an_object("lone", RECORD))
    server.put("cronjobs", an_object("reports", RECORD, suspend=True))

    found, unseen = await Workloads(client).with_record("")

    assert {(namespace, str(workload.reference)) for namespace, workload in found} == {
        ("shop", "replicaset/lone"),
        ("shop", "cronjob/reports"),
    }
    assert unseen == []
    assert server.sent == {"replicasets": 1, "cronjobs": 1}


async def test_an_object_that_no_model_would_take_is_seen_and_hides_no_other(
    server: FakeApiServer, client: ApiClient
) -> None:
    strange = an_object("strange", RECORD, template={"spec": {"containers": "none"}}, selector=7)
    server.put("deployments", strange)
    server.put("deployments", an_object("strange-too", selector=7))
    server.put("deployments", an_object("web", RECORD))

    found, unseen = await Workloads(client).with_record("shop")

    assert [str(workload.reference) for _, workload in found] == [
        "deployment/strange",
        "deployment/web",
    ]
    assert all(workload.replicas == 0 and workload.record is not None for _, workload in found)
    assert unseen == []


async def test_an_object_that_makes_no_sense_at_all_is_told_of_and_hides_no_other(
    server: FakeApiServer, client: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    strange = an_object("strange", RECORD)
    del strange["metadata"]["uid"]
    server.put("deployments", strange)
    server.put("deployments", an_object("web", RECORD))

    found, (problem,) = await Workloads(client).with_record("")

    assert [str(workload.reference) for _, workload in found] == ["deployment/web"]
    assert isinstance(problem, RefusedError)
    assert "reading deployments.apps shop/strange" in str(problem)


class Listed(dict[str, Any]):
    """A document of which can be seen whether anybody keeps it."""


class Cluster(Documents):
    """Documents of one kind, `pages` pages of them; each begins with one that carries a record."""

    def __init__(self, place: Place, pages: int) -> None:
        self.place, self.pages = place, pages
        self.listed: list[weakref.ref[Listed]] = []
        self.most_alive = 0
        self.error: Exception | None = None

    async def _page(self, place: Place, namespace: str, token: str, accept: str, selectors: Any) -> Any:
        if place == KEDA_PLACE:
            raise NotFoundError("there is no KEDA")
        if place != self.place:
            return {"items": []}
        if name := selectors.get("field_selector"):
            return {"items": [an_object(name.removeprefix("metadata.name="), RECORD)]}
        self.most_alive = max(self.most_alive, self.alive())
        number = int(token or 0)
        if number == self.pages - 1 and self.error:
            raise self.error
        items = [self._listed(f"web-{number}-{one}", RECORD if one == 0 else None) for one in range(100)]
        return {
            "items": items,
            "metadata": {"continue": str(number + 1) if number + 1 < self.pages else ""},
        }

    def _listed(self, name: str, record: str | None) -> Document:
        made = Listed(an_object(name, record))
        made["metadata"] = Listed(made["metadata"])
        self.listed += [weakref.ref(made), weakref.ref(made["metadata"])]
        return made

    def alive(self) -> int:
        return sum(one() is not None for one in self.listed)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet", "CronJob"])
async def test_no_more_than_a_page_is_kept(kind: str) -> None:
    cluster = Cluster(NATIVE_PLACES[kind], pages=20)

    found, unseen = await Records(cluster, Kinds(cluster, ())).look("")

    assert (len(found), unseen) == (20, [])
    assert cluster.most_alive <= 200, "each of a hundred has its document and its metadata"
    assert cluster.alive() == 0


@pytest.mark.parametrize(
    "error", [UnavailableError("no answer"), RefusedError("forbidden"), NotFoundError("gone"), KeyError("?")]
)
async def test_what_was_found_before_a_listing_failed_is_found(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(NATIVE_PLACES["Deployment"], pages=3)
    cluster.error = error

    found, (problem,) = await Records(cluster, Kinds(cluster, ())).look("")

    assert len(found) == 2
    assert type(problem) is (RefusedError if isinstance(error, KeyError) else type(error))
