"""The reference for users: every field of every kind, and every reason that a condition gives."""

from collections.abc import Iterator
from typing import Any

from becalm_operator.api import names
from becalm_operator.api.base import DURATION_PATTERN
from becalm_operator.api.conditions import EXPLANATIONS
from becalm_operator.crdgen.definitions import Definition
from becalm_operator.crdgen.schema import Schema

_HEAD = f"""# Reference

All kinds are `{names.API_VERSION}` and live in a namespace. A Secret or claim is only ever taken from the object's own
namespace. This page is generated from the models in `operator/becalm_operator/api`.

A duration is a text of hours, minutes and seconds, like `90s`, `5m` or `1h30m`. Below each kind stands what the API
server refuses, in its words.
"""
_MARKS = {
    names.RECORD_ANNOTATION: "On a stopped workload: who stopped it, when, its replicas, the deadline, and the command "
    "that undoes it by hand. It goes when the workload is started.",
    names.PROBE_ANNOTATION: "On a BackupRepository: whenever you change its value, the repository is opened at once.",
    names.SCHEDULE_LABEL: "On a Backup: the schedule that made it, and whose retention it is under.",
    names.RELEASED_ANNOTATION: "On a Backup or Restore: when the watchdog has started a workload of it, because no "
    "operator did in time.",
    names.SCHEDULED_ANNOTATION: "On a Backup of a schedule: the time of the cron expression that it is for.",
    names.MANAGED_BY_LABEL: f"`{names.MANAGED_BY}` on the Jobs, pods, VolumeSnapshots and temporary claims of "
    "runs and probes.",
    names.ROLE_LABEL: "On Jobs, pods and VolumeSnapshots: what they are for. `access` and `init` open or make a "
    "repository, `mover` reads a claim, `dump` takes a dump, `commit` writes snapshots, `forget` applies retention, "
    "`preview` looks whether a Restore finds its snapshot, `restore` writes a claim, `hook` is a hook, "
    "`snapshot` a VolumeSnapshot.",
    names.OWNER_KIND_LABEL: "On the same: the kind of what they belong to, a Backup, Restore or BackupRepository.",
    names.OWNER_UID_LABEL: "On the same: its UID.",
    names.FINALIZER: "The finalizer of a Backup or Restore that may hold workloads: deleting it starts them first.",
}
"""What people meet on objects, and may rely on."""


def reference(definitions: tuple[Definition, ...]) -> str:
    """Return the page as Markdown."""
    parts = [_HEAD]
    for definition in definitions:
        parts += _kind(definition)
    return "\n".join([*parts, *_reasons(), "", *_marks()]) + "\n"


def _kind(definition: Definition) -> list[str]:
    schema = definition.document()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = [f"## {definition.kind.kind}", "", schema["description"], ""]
    parts += [f"Short name `{definition.short_name}`.", ""]
    for part in ("spec", "status"):
        rows = list(_rows(part, schema["properties"][part]))
        parts += ["| field | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    rules = [f"- {rule}" for rule in dict.fromkeys(_rules(schema))]
    return [*parts, *(["Refused:", "", *rules, ""] if rules else [])]


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
        return f"list of {_type(field['items'])}{_limits(field, 'Items')}"
    if "additionalProperties" in field:
        return f"map of strings{_limits(field, 'Properties')}"
    if field.get("pattern") == DURATION_PATTERN:
        return "duration"
    if field.get("format") == "date-time":
        return "date-time"
    return f"{field['type']}{_limits(field, 'imum')}"


def _limits(field: Schema, what: str) -> str:
    """Return how many there may be, or how large a number."""
    least, most = field.get(f"min{what}"), field.get(f"max{what}")
    if least is not None and most is not None:
        return f" ({least} to {most})"
    if least is not None:
        return f" (≥ {least})"
    return f" (≤ {most})" if most is not None else ""


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


def _marks() -> list[str]:
    rows = [f"| `{name}` | {text} |" for name, text in _MARKS.items()]
    return ["## Labels, annotations and the finalizer", "", "| name | meaning |", "|---|---|", *rows]
