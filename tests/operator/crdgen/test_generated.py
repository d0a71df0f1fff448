"""What is generated: fresh, structural, and agreeing with the models on every example that we give."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field

from becalm_operator.api import names
from becalm_operator.api.backup import Backup
from becalm_operator.api.base import Model
from becalm_operator.api.conditions import EXPLANATIONS, Reason
from becalm_operator.api.names import SCHEDULE_LABEL
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.crdgen.__main__ import files, main
from becalm_operator.crdgen.definitions import Definition, definitions
from becalm_operator.crdgen.reference import reference
from becalm_operator.crdgen.schema import structural

ROOT = Path(__file__).resolve().parents[3]
KINDS: dict[str, type[BaseModel]] = {
    kind.kind: kind for kind in (Backup, BackupRepository, BackupSchedule, Restore)
}
SCHEMAS = {
    definition.kind.kind: definition.document()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for definition in definitions()
}


@pytest.mark.parametrize("path", files(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_generated_is_fresh(path: Path) -> None:
    assert path.read_text() == files(ROOT)[path], "run `make generate`"


def _nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _nodes(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _nodes(schema[key], f"{path}.{key}")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schemas_are_structural(kind: str) -> None:
    for path, node in _nodes(SCHEMAS[kind], kind):
        assert "type" in node, path
        assert not {"$ref", "anyOf", "allOf", "title", "const"} & set(node), path
        if node["type"] == "object" and path != f"{kind}.metadata":
            shapes = {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"}
            assert len(shapes & set(node)) == 1, path


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_field_is_described(kind: str) -> None:
    for part in ("spec", "status"):
        for path, node in _nodes(SCHEMAS[kind]["properties"][part], f"{kind}.{part}"):
            if not path.endswith((".items", ".additionalProperties")):
                assert node.get("description"), path


@pytest.mark.parametrize("kind", SCHEMAS)
def test_everything_that_a_user_may_write_is_bounded(kind: str) -> None:
    """Otherwise the API server finds the rules too costly, and an object can fill its store."""
    for path, node in _nodes(SCHEMAS[kind]["properties"]["spec"], kind):
        if node["type"] == "array":
            assert "maxItems" in node, path
        if node["type"] == "string" and "enum" not in node and not path.endswith(".additionalProperties"):
            assert "maxLength" in node or "pattern" in node, path


def test_a_run_cannot_be_changed_but_a_schedules_template_can() -> None:
    def rules(schema: dict[str, Any]) -> list[str]:
        return [rule["rule"] for rule in schema.get("x-kubernetes-validations", ())]

    template = SCHEMAS["BackupSchedule"]["properties"]["spec"]["properties"]["template"]["properties"]["spec"]

    assert "self == oldSelf" in rules(SCHEMAS["Backup"]["properties"]["spec"])
    assert "self == oldSelf" in rules(SCHEMAS["Restore"]["properties"]["spec"])
    assert "self == oldSelf" not in rules(template)
    assert len(rules(template)) == len(rules(SCHEMAS["Backup"]["properties"]["spec"])) - 1


def test_every_reason_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Reason)


_PRIVATE = {
    names.CLAIM_ANNOTATION,
    names.COMMIT_ANNOTATION,
    names.GATE_ANNOTATION,
    names.GATE_CALLS_ANNOTATION,
    names.HOOK_ANNOTATION,
    names.OWNER_NAME_ANNOTATION,
}
"""What becalm tells itself by, and may change."""


def test_every_label_and_annotation_is_in_the_reference_but_for_the_private_ones() -> None:
    every = {
        value
        for name, value in vars(names).items()
        if name.endswith(("_LABEL", "_ANNOTATION")) or name == "FINALIZER"
    }
    (shown,) = re.findall(r"## Labels, annotations.*", reference(definitions()), re.DOTALL)

    assert set(re.findall(r"^\| `([^`]+)` \|", shown, re.MULTILINE)) == every - _PRIVATE


def _examples() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document
    for page in ("README.md",):
        for block in re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
            for document in yaml.safe_load_all(block):
                yield page, document


EXAMPLES = [(f"{name}:{one['kind']}", one) for name, one in _examples() if one["kind"] in KINDS]


@pytest.mark.parametrize(("name", "document"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_examples_are_valid(name: str, document: dict[str, Any]) -> None:
    assert document["apiVersion"] == "becalm.dev/v1alpha1"
    KINDS[document["kind"]].model_validate(document)
    _fits(document["spec"], SCHEMAS[document["kind"]]["properties"]["spec"], f"{name}.spec")


def _fits(value: Any, schema: dict[str, Any], path: str) -> None:
    """See that every field exists and is of its type: the API server would drop an unknown one in silence."""
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    assert isinstance(value, kinds[schema["type"]]), path
    if isinstance(value, dict):
        assert set(schema.get("required", ())) <= set(value), path
        for key, inner in value.items():
            if "properties" in schema:
                assert key in schema["properties"], f"{path}.{key} is no field"
                _fits(inner, schema["properties"][key], f"{path}.{key}")
    if isinstance(value, list):
        for at, inner in enumerate(value):
            _fits(inner, schema["items"], f"{path}[{at}]")


def test_a_limit_that_a_crd_cannot_say_is_not_lost_in_silence() -> None:
    class Half(Model):
        """Half of something."""

        share: Annotated[int, Field(multiple_of=2)]
        """How much."""

    with pytest.raises(ValueError, match="multipleOf"):
        structural(Half, defaults=True)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_an_optional_field_is_no_null(kind: str) -> None:
    for path, node in _nodes(SCHEMAS[kind], kind):
        assert "nullable" not in node, path
        assert node.get("default", "") is not None, path


def test_the_check_tells_what_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--root", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("is stale") == len(files(tmp_path))

    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0

    (tmp_path / "docs" / "reference.md").write_text("changed by hand")
    assert main(["--check", "--root", str(tmp_path)]) == 1


def _field(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the schema of what a column shows; a condition is of the conditions' schema."""
    for name in re.findall(r"\.([A-Za-z]+)", re.sub(r"\[.*?\]", ".items", path)):
        schema = schema["items"] if name == "items" else schema["properties"][name]
    return schema


@pytest.mark.parametrize("definition", definitions(), ids=lambda definition: definition.kind.kind)
def test_every_column_shows_a_field_that_exists(definition: Definition) -> None:
    for column in definition.columns:
        if column.path.startswith(".metadata"):
            continue
        field = _field(SCHEMAS[definition.kind.kind], column.path)
        assert field["type"] == ("boolean" if column.type == "boolean" else "string"), column.path
        assert (column.type == "date") <= (field.get("format") == "date-time"), column.path


def test_the_schedule_of_a_backup_is_shown_by_its_label() -> None:
    (backup,) = (definition for definition in definitions() if definition.kind is Backup)
    paths = {column.name: column.path for column in backup.columns}

    assert paths["Schedule"].replace("\\.", ".") == f".metadata.labels.{SCHEDULE_LABEL}"


def test_messages_show_only_where_there_is_room_and_come_last() -> None:
    for definition in definitions():
        narrow = [column.wide for column in definition.columns]
        assert narrow == sorted(narrow), definition.kind.kind
        assert "Message" not in {column.name for column in definition.columns if not column.wide}
