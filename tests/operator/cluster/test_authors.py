"""Whether a record is the one of the standstill that it lies on, by who has written what."""

from typing import Any

import pytest

from becalm_operator.api import names
from becalm_operator.api.switches import KEDA_PAUSE, REPLICAS, SUSPENSION, Form, Switch
from becalm_operator.cluster.authors import is_put_back
from tests.operator.plan.worlds import a_record

Author = tuple[str, str, str]

BECALM = ("becalm", "Update", "")
KUBECTL = ("kubectl", "Update", "")
SCALE = ("kubectl", "Update", "scale")
APPLY = ("kubectl-client-side-apply", "Update", "")
GITOPS = ("argocd-controller", "Apply", "")
ANCIENT = ("ancient-changes", "Update", "")


def metadata(
    record: tuple[Author, ...], count: tuple[Author, ...], switch: Switch = REPLICAS
) -> dict[str, Any]:
    entries = []
    for author in {*record, *count}:
        fields: dict[str, Any] = {"f:metadata": {"f:annotations": {}}, "f:spec": {"f:paused": {}}}
        if author in record:
            fields["f:metadata"]["f:annotations"][f"f:{names.RECORD_ANNOTATION}"] = {}
        if author in count:
            place = fields
            for name in switch.path:
                place = place.setdefault(f"f:{name}", {})
        manager, operation, subresource = author
        entry = {"manager": manager, "operation": operation, "fieldsV1": fields}
        entries.append({**entry, "subresource": subresource} if subresource else entry)
    return {"managedFields": entries}


def put_back(
    record: tuple[Author, ...],
    count: tuple[Author, ...],
    *,
    recorded: int | None = 2,
    generation: int = 7,
    switch: Switch = REPLICAS,
) -> bool:
    written = a_record().model_copy(update={"generation": recorded})
    return is_put_back(metadata(record, count, switch), written, switch, generation)


@pytest.mark.parametrize(
    ("record", "count"),
    [
        ((KUBECTL,), ()),
        ((KUBECTL,), (SCALE,)),
        ((KUBECTL,), (("keda", "Update", "scale"),)),
        ((KUBECTL,), (GITOPS,)),
    ],
    ids=["scaled to 0 by kubectl", "scaled by kubectl", "by another controller", "by GitOps"],
)
def test_a_record_and_a_standstill_of_two_others_do_not_belong_together(
    record: tuple[Author, ...], count: tuple[Author, ...]
) -> None:
    assert put_back(record, count)


@pytest.mark.parametrize(
    ("record", "count"),
    [
        ((BECALM,), (BECALM,)),
        ((BECALM,), ()),
        ((BECALM,), (SCALE,)),
        ((BECALM, GITOPS), (SCALE,)),
        ((KUBECTL,), (BECALM,)),
        ((APPLY,), (APPLY,)),
        ((ANCIENT,), (SCALE,)),
        ((KUBECTL,), (ANCIENT,)),
        ((), ()),
    ],
    ids=[
        "as it was stopped",
        "scaled up and down meanwhile",
        "scaled meanwhile",
        "two have the same record",
        "undone while it is held",
        "a manifest from while it was held",
        "too many authors",
        "too many authors of the count",
        "nothing is known",
    ],
)
def test_what_becalm_may_have_done_and_what_came_together_counts(
    record: tuple[Author, ...], count: tuple[Author, ...]
) -> None:
    assert not put_back(record, count)


@pytest.mark.parametrize(
    ("recorded", "generation"),
    [(None, 7), (7, 7), (7, 1), (7, 0)],
    ids=["an old record", "nothing has changed since", "another cluster's", "nothing is counted"],
)
def test_without_a_later_change_of_the_spec_the_record_counts(recorded: int | None, generation: int) -> None:
    assert not put_back((KUBECTL,), (SCALE,), recorded=recorded, generation=generation)


@pytest.mark.parametrize("switch", [SUSPENSION, KEDA_PAUSE, Switch(Form.COUNT, ("spec", "size", "members"))])
def test_the_standstill_is_looked_for_where_the_kind_has_it(switch: Switch) -> None:
    assert put_back((KUBECTL,), (SCALE,), switch=switch)
    assert not put_back((KUBECTL,), (BECALM,), switch=switch)


def test_an_object_without_an_account_of_authors_keeps_its_record() -> None:
    written = a_record().model_copy(update={"generation": 2})

    assert not is_put_back({}, written, REPLICAS, 7)
    assert not is_put_back({"managedFields": [{"manager": "kubectl"}]}, written, REPLICAS, 7)
