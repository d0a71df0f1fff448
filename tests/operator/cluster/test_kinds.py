"""What a CustomResourceDefinition says about scaling, and how long it is believed."""

import asyncio
from typing import Any

import pytest

from becalm_operator.api.backup import WorkloadReference
from becalm_operator.cluster.documents import Document, Documents, Place
from becalm_operator.cluster.kinds import Kinds, scaled_kind
from becalm_operator.errors import ClusterError, NotFoundError, RefusedError, UnavailableError
from tests.operator.cluster.definitions import AUTOSCALER, WIDGET, WIDGETS_NAME, scaled_objects, widgets
from tests.operator.handlers.virtual_time import virtually

WIDGETS = Place("example.org", "v1", "widgets")


def a_definition(*versions: dict[str, Any], **spec: Any) -> Document:
    made = widgets()
    made["spec"] = {**made["spec"], **spec}
    if versions:
        (good,) = made["spec"]["versions"]
        made["spec"]["versions"] = [{**good, **version} for version in versions]
    return made


def test_the_path_of_the_count_is_the_definitions() -> None:
    kind = scaled_kind(widgets())

    assert (kind.place, kind.kind, kind.resource) == (WIDGETS, "Widget", "widget.example.org")
    assert (kind.switch.path, kind.status_path) == (("spec", "size", "members"), ("status", "members"))
    assert kind.counts_changes


def test_the_stored_version_is_used_if_it_can_be_scaled_and_another_if_not() -> None:
    old = {"name": "v1beta1", "storage": False}
    new = {"name": "v2", "storage": True}
    bare = {"name": "v2", "storage": True, "subresources": {"status": {}}}
    unserved = {"name": "v2", "storage": True, "served": False}

    assert scaled_kind(a_definition(old, new)).place.version == "v2"
    assert scaled_kind(a_definition(old, bare)).place.version == "v1beta1"
    assert scaled_kind(a_definition(old, unserved)).place.version == "v1beta1"


def test_without_a_status_subresource_the_generation_says_nothing() -> None:
    scale = widgets()["spec"]["versions"][0]["subresources"]["scale"]

    assert not scaled_kind(a_definition({"name": "v1", "subresources": {"scale": scale}})).counts_changes


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        (scaled_objects(), "scaledobjects.keda.sh has no version that is served with a scale subresource"),
        (a_definition(scope="Cluster"), "belong to no namespace"),
    ],
)
def test_what_cannot_be_scaled_is_refused(definition: Document, text: str) -> None:
    with pytest.raises(RefusedError, match=text):
        scaled_kind(definition)


class Shelf(Documents):
    """Documents that are read from memory."""

    def __init__(self, answer: Document | ClusterError) -> None:
        self.answer = answer
        self.reads = 0

    async def read(self, place: Place, name: str) -> Document:
        assert (str(place), name) == ("customresourcedefinitions.apiextensions.k8s.io", WIDGETS_NAME)
        self.reads += 1
        if isinstance(self.answer, ClusterError):
            raise self.answer
        return self.answer


def test_a_definition_is_read_again_after_a_minute_and_not_before() -> None:
    async def scenario() -> list[int]:
        shelf = Shelf(widgets())
        kinds, seen = Kinds(shelf, (WIDGETS_NAME,)), []
        for seconds in (0, 59, 2):
            await asyncio.sleep(seconds)
            await kinds.known()
            seen.append(shelf.reads)
        return seen

    assert virtually(scenario()) == [1, 1, 2]


def test_while_the_api_server_does_not_answer_what_was_known_is_believed() -> None:
    async def scenario() -> tuple[int, int]:
        shelf = Shelf(widgets())
        kinds = Kinds(shelf, (WIDGETS_NAME,))
        await kinds.known()
        shelf.answer = UnavailableError("no answer")
        await asyncio.sleep(100)
        found, problems = await kinds.known()
        return len(found), len(problems)

    assert virtually(scenario()) == (1, 0)


@pytest.mark.parametrize(
    "answer",
    [
        RefusedError("forbidden"),
        UnavailableError("no answer"),
        scaled_objects(),
        {"metadata": {"name": WIDGETS_NAME}, "spec": {"scope": "Namespaced"}},
    ],
    ids=str,
)
async def test_a_definition_that_cannot_be_used_is_told_of_and_hides_no_other(
    answer: Document | ClusterError,
) -> None:
    kinds = Kinds(Shelf(answer), (WIDGETS_NAME,))

    found, problems = await kinds.known()

    assert (len(found), len(problems)) == (0, 1)
    with pytest.raises(RefusedError, match="is of a kind that is not known"):
        await kinds.place_of(WIDGET)


async def test_a_kind_that_is_not_there_is_no_problem_for_there_is_nothing_of_it() -> None:
    kinds = Kinds(Shelf(NotFoundError("it does not exist")), (WIDGETS_NAME,))

    assert await kinds.known() == ([], [])
    with pytest.raises(RefusedError, match="is of a kind that is not known"):
        await kinds.place_of(WIDGET)


def test_a_kind_that_was_installed_late_is_known_within_a_minute() -> None:
    async def scenario() -> list[int]:
        shelf = Shelf(NotFoundError("it does not exist"))
        kinds, seen = Kinds(shelf, (WIDGETS_NAME,)), []
        await kinds.known()
        shelf.answer = widgets()
        for _ in range(2):
            await asyncio.sleep(31)
            found, _ = await kinds.known()
            seen.append(len(found))
        return seen

    assert virtually(scenario()) == [0, 1]


async def test_every_workload_has_its_place() -> None:
    kinds = Kinds(Shelf(widgets()), (WIDGETS_NAME,))

    async def place(reference: WorkloadReference) -> str:
        return str(await kinds.place_of(reference))

    assert await place(WorkloadReference(kind="Deployment", name="web")) == "deployments.apps"
    assert await place(WorkloadReference(kind="CronJob", name="web")) == "cronjobs.batch"
    assert await place(AUTOSCALER) == "scaledobjects.keda.sh"
    assert await place(WIDGET) == "widgets.example.org"


def test_while_a_definition_must_not_be_read_what_was_known_is_believed() -> None:
    async def scenario() -> tuple[int, int, list[str]]:
        shelf = Shelf(widgets())
        kinds = Kinds(shelf, (WIDGETS_NAME,))
        await kinds.known()
        shelf.answer = RefusedError("forbidden")
        await asyncio.sleep(100)
        found, problems = await kinds.known()
        return len(found), len(problems), kinds.hidden([WIDGET.resource])

    assert virtually(scenario()) == (1, 0, [])


def test_a_definition_is_hidden_until_it_can_be_read() -> None:
    async def scenario() -> list[list[str]]:
        shelf = Shelf(RefusedError("forbidden"))
        kinds, seen = Kinds(shelf, (WIDGETS_NAME,)), []
        answers = (shelf.answer, UnavailableError("no answer"), widgets())
        for answer in answers:
            shelf.answer = answer
            await kinds.known()
            seen.append(kinds.hidden([WIDGET.resource, AUTOSCALER.resource, "deployment"]))
            await asyncio.sleep(100)
        return seen

    assert virtually(scenario()) == [["widget.example.org"], ["widget.example.org"], []]
