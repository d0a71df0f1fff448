"""What is watched, and whom an event concerns. Knows no kopf.

Pods other than our own are watched only where something is down, by the vigil: a watch on every pod of a cluster costs
memory and CPU at all times. Deployments and StatefulSets are few and quiet, so they are watched: `kubectl scale` is
noticed at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.record import Record
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.cluster.glimpses import Glimpses, is_ready
from becalm_operator.cluster.port import KINDS, Key

IsNews = Callable[[Key, Mapping[str, Any]], bool]
"""Says of an object of ours, and an event about it, whether anybody has to look at it."""

_RUNS = (Backup.kind, Restore.kind)
_OURS = tuple(kind.kind for kind in KINDS)
_MOVERS = ("Job", "Pod")
_WORKLOADS = ("Deployment", "StatefulSet")
_OF_MOVERS = f"{names.MANAGED_BY_LABEL}={names.MANAGED_BY},{names.OWNER_KIND_LABEL}"


@dataclass(frozen=True, slots=True)
class Watched:
    """One kind of object to watch; `selector` picks by labels, on the API server's side."""

    group: str
    version: str
    plural: str
    selector: str = ""

    def path(self, namespace: str = "") -> str:
        """Return the path of the watch's URL; an empty namespace means all."""
        root = f"/apis/{self.group}" if self.group else "/api"
        place = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}/{self.version}{place}/{self.plural}"


WATCHED = (
    *(Watched(names.GROUP, names.VERSION, kind.plural) for kind in KINDS),
    Watched("batch", "v1", "jobs", _OF_MOVERS),
    Watched("", "v1", "pods", _OF_MOVERS),
    Watched("apps", "v1", "deployments"),
    Watched("apps", "v1", "statefulsets"),
)


class Interests:
    """Knows whom an event concerns. What it remembers serves speed alone: without it the runs come by themselves.

    `is_news` says whether an event about an object of ours shows it as nobody has looked at it yet.
    """

    def __init__(self, is_news: IsNews = lambda *_: True) -> None:
        self._is_news = is_news
        self._unfinished: dict[str, set[Key]] = {}
        self._holders: dict[str, Key] = {}
        self._glimpses = Glimpses()

    def concerned(self, event: Mapping[str, Any]) -> set[Key]:
        """Return the objects of ours that should look at the world again."""
        document = event["object"]
        gone = event["type"] == "DELETED"
        kind = document.get("kind", "")
        if kind in _OURS:
            return self._by_ours(kind, event, gone=gone)
        if kind in _MOVERS:
            return _by_mover(document) if self._glimpses.is_news(event) else set()
        if kind in _WORKLOADS:
            return self._by_workload(event, gone=gone)
        return set()

    def _by_ours(self, kind: str, event: Mapping[str, Any], *, gone: bool) -> set[Key]:
        document = event["object"]
        metadata = document["metadata"]
        key = Key(kind, metadata["namespace"], metadata["name"])
        found = {key} if self._is_news(key, event) else set()
        if kind in _RUNS:
            found |= self._neighbours(key, over=gone or _is_finished(document))
        return found | self._dependants(kind, event)

    def _dependants(self, kind: str, event: Mapping[str, Any]) -> set[Key]:
        """Return those that decide by an object of ours, if it shows anything new to them."""
        metadata = event["object"]["metadata"]
        namespace = metadata["namespace"]
        schedule = metadata.get("labels", {}).get(names.SCHEDULE_LABEL)
        if kind == BackupRepository.kind:  # runs wait for it to be Ready
            found = set(self._unfinished.get(namespace, ()))
        elif kind == Backup.kind and schedule:
            found = {Key(BackupSchedule.kind, namespace, schedule)}
        else:
            return set()
        return found if self._glimpses.is_news(event) else set()

    def _neighbours(self, key: Key, *, over: bool) -> set[Key]:
        """Note a run; if it has just ended, return the others of its namespace: one of them may have waited for it."""
        others = self._unfinished.setdefault(key.namespace, set())
        if not over:
            others.add(key)
            return set()
        ended_just_now = key in others
        others.discard(key)
        if not others:
            del self._unfinished[key.namespace]
        return set(others) if ended_just_now else set()

    def _by_workload(self, event: Mapping[str, Any], *, gone: bool) -> set[Key]:
        """Return the run that holds a workload, or held it and may still wait until it is Ready."""
        document = event["object"]
        metadata = document["metadata"]
        uid = metadata["uid"]
        record = _record(metadata)
        if record is not None and not gone:
            self._holders[uid] = Key(record.by.kind, metadata["namespace"], record.by.name)
        holder = self._holders.get(uid)
        if holder is None:
            return set()
        if gone or (record is None and is_ready(document)):
            del self._holders[uid]
        return {holder} if self._glimpses.is_news(event) else set()


def _by_mover(document: Mapping[str, Any]) -> set[Key]:
    """Return the object that a Job or its pod works for."""
    metadata = document["metadata"]
    kind = metadata.get("labels", {}).get(names.OWNER_KIND_LABEL)
    name = metadata.get("annotations", {}).get(names.OWNER_NAME_ANNOTATION)
    return {Key(kind, metadata["namespace"], name)} if kind in _OURS and name else set()


def _record(metadata: Mapping[str, Any]) -> Record | None:
    text = metadata.get("annotations", {}).get(names.RECORD_ANNOTATION)
    try:
        record = Record.model_validate_json(text) if text else None
    except ValueError:  # the sweep tells of it
        return None
    return record if record is not None and record.by.kind in _RUNS else None


def _is_finished(document: Mapping[str, Any]) -> bool:
    phase = document.get("status", {}).get("phase")
    return phase in (Phase.SUCCEEDED, Phase.FAILED)
