"""Switches: what is set is what is read, whatever the kind, and nothing beside it changes."""

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from becalm_operator.api.backup import WorkloadReference
from becalm_operator.api.switches import KEDA_PAUSE, REPLICAS, SUSPENSION, Form, Switch, merged, resource_name

ELSEWHERE = Switch(Form.COUNT, ("spec", "size", "members"))
ALL = [REPLICAS, SUSPENSION, KEDA_PAUSE, ELSEWHERE]
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(
        st.sampled_from(["spec", "metadata", "size", "members", "a"]), inner, max_size=4
    ),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(["spec", "metadata", "status"]), _VALUES, max_size=3)


def patched(document: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """Return a document after a merge patch, as RFC 7386 has it."""
    made = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = patched(made.get(name), value) if isinstance(value, dict) else value
    return made


@given(documents, st.sampled_from(ALL), st.integers(0, 2**31 - 1))
def test_what_is_set_is_read(document: dict[str, Any], switch: Switch, count: int) -> None:
    expected = count if switch.form is Form.COUNT else min(count, 1)

    assert switch.read(patched(document, switch.change(count))) == expected


@given(documents, st.sampled_from(ALL))
def test_reading_changes_nothing_and_never_fails(document: dict[str, Any], switch: Switch) -> None:
    before = copy.deepcopy(document)

    assert switch.read(document) in (None, 0, 1) or switch.form is Form.COUNT
    assert document == before


@given(documents, documents, documents)
def test_one_patch_does_what_two_do(
    document: dict[str, Any], one: dict[str, Any], other: dict[str, Any]
) -> None:
    assume(not _mixed(one, other))

    assert patched(document, merged(one, other)) == patched(patched(document, one), other)


def _mixed(one: Any, other: Any) -> bool:
    """Say whether somewhere an object stands against something else: there the order of patches decides."""
    if isinstance(one, dict) and isinstance(other, dict):
        return any(_mixed(one[name], other[name]) for name in one.keys() & other.keys())
    return isinstance(one, dict) != isinstance(other, dict)


@pytest.mark.parametrize("value", [True, "3", None, 1.5, {"members": 3}])
def test_a_count_that_is_no_number_is_none(value: Any) -> None:
    assert REPLICAS.read({"spec": {"replicas": value}}) is None


@pytest.mark.parametrize(
    ("value", "up"), [("true", 0), ("", 0), ("yes", 0), ("false", 1), ("0", 1), ("F", 1), ("FALSE", 1)]
)
def test_a_pause_is_read_as_keda_reads_it(value: str, up: int) -> None:
    annotations = {"autoscaling.keda.sh/paused": value}

    assert KEDA_PAUSE.read({"metadata": {"annotations": annotations}}) == up


@pytest.mark.parametrize(
    ("kind", "version", "name"),
    [
        ("Deployment", None, "deployment"),
        ("Deployment", "apps/v1", "deployment"),
        ("CronJob", "batch/v1", "cronjob"),
        ("Deployment", "example.org/v1", "deployment.example.org"),
        ("Widget", "example.org/v1", "widget.example.org"),
        ("ConfigMap", None, "configmap"),
    ],
)
def test_a_kind_is_named_as_kubectl_takes_it(kind: str, version: str | None, name: str) -> None:
    assert resource_name(kind, version) == name


def test_who_writes_the_obvious_version_means_the_same_workload() -> None:
    short = WorkloadReference(kind="Deployment", name="web")
    long = WorkloadReference.model_validate({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})

    assert long == short
    assert str(long) == "deployment/web"
    assert long.is_native


def test_a_kind_of_the_same_name_in_another_group_is_another() -> None:
    other = WorkloadReference(api_version="example.org/v1", kind="Deployment", name="web")

    assert str(other) == "deployment.example.org/web"
    assert not other.is_native
