"""The record: the annotation on a stopped workload that says how to start it again.

It is the only truth about what must be started. It is written in the same update as `replicas: 0`.
"""

import json
from typing import Annotated, Any

from pydantic import Field

from becalm_operator.api.backup import WorkloadReference
from becalm_operator.api.base import Model, Time
from becalm_operator.api.names import RECORD_ANNOTATION
from becalm_operator.api.switches import Switch, merged

_MOST_REPLICAS = 2**31 - 1
"""More the API server takes for no workload."""


class Holder(Model):
    """Who stopped the workload."""

    kind: str
    """Backup or Restore."""
    name: str
    """Its name; the namespace is the workload's."""
    uid: str
    """Its UID: one of the same name made later is not it."""


class Record(Model):
    """What a stopped workload was."""

    by: Holder
    """Who stopped it."""
    at: Time
    """When."""
    replicas: Annotated[int, Field(ge=1, le=_MOST_REPLICAS)]
    """How many replicas it had; 1 for what is only on or off. What was at a standstill already gets no record."""
    deadline: Time
    """When it is started again, whatever happens."""
    undo: str
    """The command that starts it by hand."""
    generation: int | None = None
    """Its `metadata.generation` once it was stopped: with another one somebody has changed it since."""

    def to_annotation(self) -> str:
        """Return the annotation's value."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def release_patch(switch: Switch, replicas: int) -> dict[str, Any]:
    """Return the merge patch that starts a workload: its count back, and the record away, in one update."""
    return merged({"metadata": {"annotations": {RECORD_ANNOTATION: None}}}, switch.change(replicas))


def undo_command(namespace: str, workload: WorkloadReference, switch: Switch, replicas: int) -> str:
    """Return the command that does by hand what becalm does."""
    patch = json.dumps(release_patch(switch, replicas), separators=(",", ":"))
    return f"kubectl -n {namespace} patch {workload.resource} {workload.name} --type merge -p '{patch}'"
