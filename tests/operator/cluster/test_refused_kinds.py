"""A kind that must not be listed for now: what a run holds down of it is not taken for gone."""

from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.api.backup import Backup, Phase, WorkloadReference
from becalm_operator.cluster.documents import Document, Documents, Place
from becalm_operator.cluster.other_runs import planned_kinds
from becalm_operator.cluster.workloads import Workloads
from becalm_operator.errors import ClusterError, NotFoundError, RefusedError, UnavailableError
from tests.operator.cluster.definitions import AUTOSCALER, WIDGET, WIDGETS_NAME, widgets
from tests.operator.handlers.api import FakeApiServer, fake_api_server
from tests.operator.handlers.examples import backup, restore

NATIVE = frozenset({"deployment"})
WIDGETS, AUTOSCALERS = WIDGET.resource, AUTOSCALER.resource


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as made:
        yield made


@pytest.fixture
async def workloads(
    server: FakeApiServer, definition: Document | ClusterError, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Workloads]:
    async def read(self: Documents, place: Place, name: str) -> Document:
        if isinstance(definition, ClusterError):
            raise definition
        return definition

    monkeypatch.setattr(Documents, "read", read)
    async with ApiClient(Configuration(host=server.url)) as client:
        yield Workloads(client, (WIDGETS_NAME,))


@pytest.fixture
def definition() -> Document | ClusterError:
    return widgets()


def refuse(server: FakeApiServer, what: str) -> None:
    server.status_of = lambda path: 403 if what in path else 200


@pytest.mark.parametrize(("plural", "kind"), [("widgets", WIDGETS), ("scaledobjects", AUTOSCALERS)])
async def test_a_run_that_has_to_do_with_a_refused_kind_looks_again(
    server: FakeApiServer, workloads: Workloads, plural: str, kind: str
) -> None:
    refuse(server, f"/{plural}")

    with pytest.raises(UnavailableError, match=plural):
        await workloads.look("shop", (), frozenset({kind}))


@pytest.mark.parametrize(("plural", "kind"), [("widgets", AUTOSCALERS), ("scaledobjects", WIDGETS)])
async def test_a_run_that_has_nothing_to_do_with_it_goes_on(
    server: FakeApiServer, workloads: Workloads, plural: str, kind: str
) -> None:
    refuse(server, f"/{plural}")

    assert (await workloads.look("shop", (), NATIVE | {kind})).workloads == {}


class TestAHiddenDefinition:
    @pytest.fixture
    def definition(self) -> ClusterError:
        return RefusedError("forbidden")

    async def test_a_run_that_has_to_do_with_its_kind_looks_again(self, workloads: Workloads) -> None:
        for _ in range(2):  # what was refused is remembered for a minute
            with pytest.raises(UnavailableError, match=r"widget\.example\.org.*forbidden"):
                await workloads.look("shop", (), frozenset({WIDGETS}))

    async def test_a_run_that_has_nothing_to_do_with_it_goes_on(self, workloads: Workloads) -> None:
        assert (await workloads.look("shop", (), NATIVE)).kinds == frozenset()


class TestADefinitionThatIsNotThere:
    @pytest.fixture
    def definition(self) -> ClusterError:
        return NotFoundError("no such kind")

    async def test_there_is_nothing_of_its_kind(self, workloads: Workloads) -> None:
        assert (await workloads.look("shop", (), frozenset({WIDGETS}))).workloads == {}


def test_the_kinds_of_a_run_are_those_it_has_planned_with_and_not_those_it_only_names() -> None:
    planned = [{"apiVersion": AUTOSCALER.api_version, "kind": AUTOSCALER.kind, "name": "s", "uid": "u"}]
    made = backup(Phase.CAPTURING, workloads=[{**one, "replicas": 1} for one in planned])

    assert planned_kinds(made) == {AUTOSCALERS}
    assert planned_kinds(_naming(WIDGET)) == frozenset()
    assert planned_kinds(restore(Phase.PENDING)) == frozenset()


def _naming(reference: WorkloadReference) -> Backup:
    made = backup(Phase.PENDING)
    return made.model_copy(update={"spec": made.spec.model_copy(update={"workloads": (reference,)})})
