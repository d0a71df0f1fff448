"""The models read whatever the API server lets in, mean by an absent field what it fills in, write what it keeps."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import Phase
from tests.operator.api.documents import KINDS, SCHEMAS, SPECS, STATUSES, Schema, defaulted

METADATA = {"name": "one", "namespace": "shop"}


def _part(kind: str, name: str) -> Schema:
    found: Schema = SCHEMAS[kind]["properties"][name]
    return found


def _model(kind: str, name: str) -> Any:
    return KINDS[kind].model_fields[name].annotation


def _dump(model: Any) -> dict[str, Any]:
    made: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return made


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_whatever_the_api_server_lets_in_can_be_read(kind: str, data: st.DataObject) -> None:
    spec, status = data.draw(SPECS[kind]), data.draw(STATUSES[kind])

    read = KINDS[kind].model_validate({"metadata": METADATA, "spec": spec, "status": status})

    assert _model(kind, "spec").model_validate(_dump(read.spec)) == read.spec
    assert _model(kind, "status").model_validate(_dump(read.status)) == read.status


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_the_api_servers_defaults_are_the_models(kind: str, data: st.DataObject) -> None:
    schema = _part(kind, "spec")
    written = data.draw(SPECS[kind])

    model = _model(kind, "spec")
    assert model.model_validate(written) == model.model_validate(defaulted(written, schema))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_an_empty_object_means_the_same_as_none(kind: str, data: st.DataObject) -> None:
    """So it does not matter that the API server fills in nothing where an object is absent."""
    schema = _part(kind, "spec")
    written = data.draw(SPECS[kind])
    model = _model(kind, "spec")
    optional = [
        name
        for name, field in schema["properties"].items()
        if field["type"] == "object" and name not in schema["required"] and not _needs_something(field)
    ]

    for name in optional:
        absent = {key: value for key, value in written.items() if key != name}
        empty = defaulted({**absent, name: {}}, schema)
        assert model.model_validate(absent) == model.model_validate(empty), name


def _needs_something(field: Schema) -> bool:
    rules = " ".join(rule["rule"] for rule in field.get("x-kubernetes-validations", ()))
    return bool(field.get("required")) or "has(self.keepLast)" in rules


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_no_field_that_is_written_would_be_dropped(kind: str, data: st.DataObject) -> None:
    schema = _part(kind, "status")
    status = _model(kind, "status").model_validate(data.draw(STATUSES[kind]))

    _known(_dump(status), schema, f"{kind}.status")


def _known(value: Any, schema: Schema, path: str) -> None:
    """The API server drops a field that the CRD does not know, in silence."""
    if isinstance(value, list):
        for item in value:
            _known(item, schema["items"], f"{path}[]")
    elif isinstance(value, dict) and "properties" in schema:
        for name, inner in value.items():
            assert name in schema["properties"], f"{path}.{name}"
            _known(inner, schema["properties"][name], f"{path}.{name}")


def test_a_newer_field_does_not_keep_an_object_from_being_read() -> None:
    spec = {"repositoryRef": {"name": "main"}, "workloads": [{"kind": "Deployment", "name": "web"}]}

    plain = KINDS["Backup"].model_validate({"metadata": METADATA, "spec": spec})
    newer = KINDS["Backup"].model_validate({"metadata": METADATA, "spec": {**spec, "hooks": {"before": []}}})

    assert newer == plain


def test_a_run_is_finished_in_two_phases_only() -> None:
    assert [phase for phase in Phase if phase.finished] == [Phase.SUCCEEDED, Phase.FAILED]
