"""The record: the annotation on a stopped workload that says how to start it again.

It is the only truth about what must be started. It is written in the same update as `replicas: 0`.
"""

from becalm_operator.api.base import Model, Time
from becalm_operator.api.names import RECORD_ANNOTATION


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
    replicas: int
    """How many replicas it had."""
    deadline: Time
    """When it is started again, whatever happens."""
    undo: str
    """The command that starts it by hand."""

    def to_annotation(self) -> str:
        """Return the annotation's value."""
        return self.model_dump_json(by_alias=True)


def undo_command(kind: str, namespace: str, name: str, replicas: int) -> str:
    """Return the command that does by hand what becalm does: replicas back, record away, in one update."""
    patch = (
        f'{{"metadata":{{"annotations":{{"{RECORD_ANNOTATION}":null}}}},"spec":{{"replicas":{replicas}}}}}'
    )
    return f"kubectl -n {namespace} patch {kind.lower()} {name} --type merge -p '{patch}'"
