"""Switches: the one field of a workload's document that brings it to a standstill and gets it under way again.

A count (`spec.replicas`, or where the CustomResourceDefinition of another kind says), `spec.suspend` of a CronJob, or
the annotation that pauses a ScaledObject of KEDA. Everywhere else a workload has a count, and 0 is a standstill; of
what is only on or off the count is 1 or 0.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NATIVE = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "ReplicaSet": "apps/v1", "CronJob": "batch/v1"}
"""The kinds that need no apiVersion, and theirs."""

KEDA_KIND, KEDA_API_VERSION = "ScaledObject", "keda.sh/v1alpha1"
KEDA_PAUSED = "autoscaling.keda.sh/paused"
KEDA_PAUSED_AT = "autoscaling.keda.sh/paused-replicas"
"""A count at which KEDA holds the target, whatever else says that it is paused."""

_FALSE = ("0", "f", "F", "FALSE", "False", "false")
"""What Go reads as false; KEDA takes all other values of its annotation for true."""


class Form(enum.Enum):
    """What stands in the field, and what means a standstill."""

    COUNT = "a number; 0"
    SUSPEND = "whether it is suspended; true"
    PAUSE = 'an annotation; "true"'


@dataclass(frozen=True, slots=True)
class Switch:
    """The field, by its path in the document."""

    form: Form
    path: tuple[str, ...]

    def read(self, document: Mapping[str, Any]) -> int | None:
        """Return the count of a document; None where the field holds no number."""
        value = dig(document, self.path)
        match self.form:
            case Form.COUNT:
                return value if isinstance(value, int) and not isinstance(value, bool) else None
            case Form.SUSPEND:
                return 0 if value is True else 1
            case Form.PAUSE:
                return 1 if value is None or value in _FALSE else 0

    def change(self, count: int) -> dict[str, Any]:
        """Return the merge patch that sets the count."""
        value: Any = count
        if self.form is Form.SUSPEND:
            value = count == 0
        if self.form is Form.PAUSE:
            value = None if count else "true"
        for name in reversed(self.path):
            value = {name: value}
        patch: dict[str, Any] = value
        return patch

    @property
    def counts_as_change(self) -> bool:
        """Whether setting it raises `metadata.generation`: annotations do not."""
        return self.form is not Form.PAUSE


REPLICAS = Switch(Form.COUNT, ("spec", "replicas"))
SUSPENSION = Switch(Form.SUSPEND, ("spec", "suspend"))
KEDA_PAUSE = Switch(Form.PAUSE, ("metadata", "annotations", KEDA_PAUSED))


def dig(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return what stands at a path, or None."""
    found: Any = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return one merge patch that does what two do."""
    both = dict(one)
    for name, value in other.items():
        before = both.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = merged(before, value)  # noqa: PLW2901  what both change is merged further down
        both[name] = value
    return both


def resource_name(kind: str, api_version: str | None) -> str:
    """Return a kind as kubectl takes it: alone, or with its group if becalm does not know it by itself."""
    group = (api_version or "").rpartition("/")[0]
    native = kind in NATIVE and api_version in (None, NATIVE[kind])
    return kind.lower() if native or not group else f"{kind.lower()}.{group}"
