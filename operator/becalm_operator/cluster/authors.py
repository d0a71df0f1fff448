"""Who has set a field of an object last, by the account that the API server keeps in `managedFields`. Pure.

A record and the standstill that it tells of are written in one update. So where others have written both, and not the
same ones, the record tells of another standstill. `kubectl rollout undo` does that: a Deployment's controller copies
annotations to its ReplicaSets and leaves them there, and undoing takes those of an old one.
"""

from collections.abc import Mapping
from typing import Any

from becalm_operator.api import names
from becalm_operator.api.record import Record
from becalm_operator.api.switches import Switch, dig

_RECORD = ("metadata", "annotations", names.RECORD_ANNOTATION)
_PERHAPS_OURS = (names.FIELD_MANAGER, "ancient-changes")
"""The second is how the API server calls the oldest authors of an object that has many."""

Author = tuple[str | None, ...]


def is_put_back(metadata: Mapping[str, Any], record: Record, switch: Switch, generation: int) -> bool:
    """Say whether a record for certain is an old one that somebody has put back, on what becalm has not stopped.

    `generation` is 0 where it says nothing. Whatever is not known speaks for the record.
    """
    if record.generation is None or generation <= record.generation:
        return False
    wrote, stopped = _authors(metadata, _RECORD), _authors(metadata, switch.path)
    ours = any(manager in _PERHAPS_OURS for manager, *_ in wrote | stopped)
    return bool(wrote) and not ours and wrote.isdisjoint(stopped)


def _authors(metadata: Mapping[str, Any], path: tuple[str, ...]) -> frozenset[Author]:
    """Return who has set a field to what it is: nobody, of a count that `kubectl scale` has set to 0."""
    inside = tuple(f"f:{name}" for name in path)
    entries = metadata.get("managedFields") or ()
    return frozenset(
        tuple(entry.get(key) for key in ("manager", "operation", "subresource"))
        for entry in entries
        if dig(entry.get("fieldsV1") or {}, inside) is not None
    )
