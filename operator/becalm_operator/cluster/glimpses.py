"""What of an object others decide by: of two events that show the same, the second is no news. Pure.

Kubernetes changes a pod some seven times from its making to its end, a Deployment as often when it is stopped and
started, and a look at the world costs a dozen requests.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

_MOST = 100_000
"""Of so many objects is known what was seen of them. It saves looks, so to forget costs no more than some."""
_FINAL = ("Succeeded", "Failed")
"""As phases: of pods as of runs."""
_GETTING_READY = ("ContainerCreating", "PodInitializing")
_SUCCESS = ("Complete", "SuccessCriteriaMet")
_FAILURE = ("Failed", "FailureTarget")


class Glimpses:
    """What was seen of objects last: a hash of it, since labels and annotations may be long."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def is_news(self, event: Mapping[str, Any]) -> bool:
        """Say whether an event of a watch shows anything that the one before did not."""
        document = event["object"]
        uid = document["metadata"]["uid"]
        if event["type"] == "DELETED":
            self._seen.pop(uid, None)
            return True
        glimpse = hash(glimpse_of(document))
        if self._seen.get(uid) == glimpse:
            return False
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen[uid] = glimpse
        return True


def glimpse_of(document: Mapping[str, Any]) -> Hashable:
    """Return what others decide by, of an object as the API server sends it."""
    metadata = document["metadata"]
    return (
        "deletionTimestamp" in metadata,
        tuple(sorted((metadata.get("labels") or {}).items())),
        tuple(sorted((metadata.get("annotations") or {}).items())),
        _shown(document, metadata, document.get("status", {})),
    )


def _shown(document: Mapping[str, Any], metadata: Mapping[str, Any], status: Mapping[str, Any]) -> Hashable:
    match document.get("kind"):
        case "Job":
            return _of_job(status)
        case "Deployment" | "StatefulSet":
            return metadata.get("generation"), is_ready(document)
        case "Backup":  # to its schedule
            phase = status.get("phase")
            return metadata.get("resourceVersion") if phase in _FINAL else phase
        case "BackupRepository":  # to the runs that wait for it
            return metadata.get("generation"), _of_repository(status)
        case _:
            return document["spec"].get("nodeName"), *_of_pod(status)


def is_ready(workload: Mapping[str, Any]) -> bool:
    """Say whether a Deployment or a StatefulSet is as it is wished for, and all of it Ready."""
    status = workload.get("status", {})
    seen = status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 0)
    wished = workload.get("spec", {}).get("replicas", 1)
    return bool(seen and status.get("readyReplicas", 0) >= wished)


def _of_repository(status: Mapping[str, Any]) -> Hashable:
    conditions = [
        (one["type"], one["status"], one.get("reason"), one.get("message"), one.get("observedGeneration"))
        for one in status.get("conditions") or ()
    ]
    told = (status.get(name) for name in ("repositoryID", "probing", "handledRequest"))
    return *told, *conditions


def _of_job(status: Mapping[str, Any]) -> Hashable:
    """A Job says twice that it has ended: when its pod has, and when it has taken note of that."""
    true = [one for one in status.get("conditions") or () if one["status"] == "True"]
    reasons = tuple(sorted(one.get("reason") or "" for one in true if one["type"] in _FAILURE))
    return any(one["type"] in _SUCCESS for one in true), reasons


def _of_pod(status: Mapping[str, Any]) -> tuple[Hashable, ...]:
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled", {})
    told = (scheduled.get("reason"), scheduled.get("message")) if scheduled.get("status") == "False" else ()
    phase = status.get("phase")
    containers = (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
        *(status.get("ephemeralContainerStatuses") or ()),
    )
    ready = conditions.get("Ready", {}).get("status") == "True"
    return phase if phase in _FINAL else "", ready, told, tuple(_of_containers(containers))


def _of_containers(statuses: Iterable[Mapping[str, Any]]) -> Iterable[Hashable]:
    """Yield of each container that has ended how, and of each that cannot start why."""
    for one in statuses:
        state = one.get("state") or {}
        reason = (state.get("waiting") or {}).get("reason")
        if "terminated" in state:
            yield one["name"], state["terminated"].get("exitCode")
        elif reason and reason not in _GETTING_READY:
            yield one["name"], reason
