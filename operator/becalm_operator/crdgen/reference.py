"""The reference for users: every field of every kind, and every reason that a condition gives."""

from collections.abc import Iterator
from typing import Any

from becalm_operator.api.conditions import EXPLANATIONS
from becalm_operator.api.names import API_VERSION
from becalm_operator.crdgen.definitions import Definition
from becalm_operator.crdgen.schema import Schema

_HEAD = f"""# Reference

All kinds are `{API_VERSION}` and live in a namespace. A Secret or claim is only ever taken from the object's own
namespace. This page is generated from the models in `operator/becalm_operator/api`.
"""


def reference(definitions: tuple[Definition, ...]) -> str:
    """Return the page as Markdown."""
    parts = [_HEAD]
    for definition in definitions:
        parts += _kind(definition)
    return "\n".join([*parts, *_reasons()]) + "\n"


def _kind(definition: Definition) -> list[str]:
    schema = definition.document()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = [f"## {definition.kind.kind}", "", schema["description"], ""]
    parts += [f"Short name `{definition.short_name}`.", ""]
    for part in ("spec", "status"):
        rows = list(_rows(part, schema["properties"][part]))
        parts += ["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    parts += [f"- {rule}" for rule in _rules(schema)]
    return [*parts, ""]


def _rows(path: str, schema: Schema) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        default = f"`{_plain(field['default'])}`" if "default" in field else ""
        needed = " **required**" if name in required else ""
        meaning = " ".join(field.get("description", "").split()).replace("|", "\\|")
        yield f"| `{path}.{name}` | {_type(field)}{needed} | {default} | {meaning} |"
        inner = field.get("items", field)
        yield from _rows(f"{path}.{name}" + ("[]" if "items" in field else ""), inner)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type(field: Schema) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field:
        return "map of strings"
    return str(field.get("format") if field.get("format") == "date-time" else field.get("type", "object"))


def _rules(schema: Schema) -> Iterator[str]:
    """Yield what the API server refuses, in the words that it uses."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield str(rule["message"])
    for inner in (*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])):
        yield from _rules(inner)


def _reasons() -> list[str]:
    rows = [f"| `{reason.value}` | {text} |" for reason, text in EXPLANATIONS.items()]
    head = ["## Reasons", "", "Every condition, and a failed run's `status.reason`, gives one of these.", ""]
    return [*head, "| reason | meaning |", "|---|---|", *rows]
