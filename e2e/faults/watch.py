"""Sees every phase of every Backup as it comes, and whether the workloads of a namespace are up."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from kubernetes import client, config
from kubernetes import watch as kubernetes_watch

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.names import GROUP, RECORD_ANNOTATION, VERSION
from e2e.kubectl import NeverHappenedError
from e2e.objects import Document

_ORDER = list(Phase)
_LOOK_SECONDS = 0.5
_STREAM_SECONDS = 5
_LABEL = "app"
"""By which a workload's pods are found."""


@dataclass(slots=True)
class Seen:
    """What has been seen of one Backup."""

    uid: str
    name: str = ""
    """Namespace and name."""
    phases: list[Phase] = field(default_factory=list)
    """Each one that it was in, in order."""
    came: list[float] = field(default_factory=list)
    """When it came to each, in seconds of this machine's clock."""
    released: bool = False
    """Whether it has ended and carries no finalizer any more, or is gone."""

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return self.phases[-1]

    def seconds_to(self, phase: Phase) -> float:
        """Return how long it took to a phase or a later one; 0 if it never came there."""
        order = _ORDER.index(phase)
        later = (at for one, at in zip(self.phases, self.came, strict=True) if _ORDER.index(one) >= order)
        return next(later, self.came[0]) - self.came[0]

    def has_come_to(self, phase: Phase) -> bool:
        """Say whether it is in a phase, or was."""
        return any(_ORDER.index(one) >= _ORDER.index(phase) for one in self.phases)


class Watch:
    """Watches one cluster while it is entered."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = str(kubeconfig)
        self._seen: dict[tuple[str, str], Seen] = {}
        self._down: dict[str, float] = {}
        self._is_down: set[str] = set()
        self._looked = time.monotonic()
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._for_ever, args=(self._stream,)),
            threading.Thread(target=self._for_ever, args=(self._look,)),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def run(self, namespace: str, name: str) -> Seen | None:
        """Return what has been seen of a Backup."""
        with self._changed:
            return self._seen.get((namespace, name))

    def runs(self) -> list[Seen]:
        """Return what has been seen of all Backups."""
        with self._changed:
            return list(self._seen.values())

    def await_phase(self, namespace: str, name: str, phase: Phase, *, seconds: float) -> Seen:
        """Return as soon as a Backup has come to a phase or a later one.

        Raises:
            NeverHappenedError: It did not within so many seconds.
        """

        def has_come() -> bool:
            seen = self._seen.get((namespace, name))
            return seen is not None and seen.has_come_to(phase)

        with self._changed:
            if not self._changed.wait_for(has_come, timeout=seconds):
                seen = self._seen.get((namespace, name))
                raise NeverHappenedError(f"{namespace}/{name} has not come to {phase}: {seen}")
            return self._seen[namespace, name]

    def await_released(self, namespace: str, name: str, *, seconds: float) -> None:
        """Wait until a Backup has ended and is released, or is gone; so many seconds at most."""

        def is_released() -> bool:
            seen = self._seen.get((namespace, name))
            return seen is not None and seen.released

        with self._changed:
            self._changed.wait_for(is_released, timeout=seconds)

    def forget(self, namespace: str, name: str) -> None:
        """Forget what was seen of a Backup: another of its name is to come."""
        with self._changed:
            self._seen.pop((namespace, name), None)

    def down_seconds(self, namespace: str) -> float:
        """Return how long, in all, workloads of a namespace have not been as they should."""
        with self._changed:
            return self._down.get(namespace, 0.0)

    def is_down(self, namespace: str) -> bool:
        """Say whether a workload of a namespace is not as it should be."""
        with self._changed:
            return namespace in self._is_down

    def _for_ever(self, work: Callable[[client.ApiClient], None]) -> None:
        api = config.new_client_from_config(self._kubeconfig)  # type: ignore[no-untyped-call]  # nor here
        while not self._over.is_set():
            try:
                work(api)
            except Exception:  # noqa: BLE001  the API server may be away: that is one of the faults
                self._over.wait(_LOOK_SECONDS)

    def _stream(self, api: client.ApiClient) -> None:
        events = kubernetes_watch.Watch().stream(  # type: ignore[no-untyped-call]  # the client has no types here
            client.CustomObjectsApi(api).list_cluster_custom_object,
            GROUP,
            VERSION,
            Backup.plural,
            timeout_seconds=_STREAM_SECONDS,
            _request_timeout=_STREAM_SECONDS + 1,
        )
        for event in events:
            if event["type"] in ("ADDED", "MODIFIED"):
                self._take(event["object"])
            elif event["type"] == "DELETED":
                self._take_leave(event["object"])

    def _take(self, backup: Document) -> None:
        metadata = backup["metadata"]
        key = (metadata["namespace"], metadata["name"])
        phase = Phase(backup.get("status", {}).get("phase", Phase.PENDING))
        with self._changed:
            seen = self._seen.get(key)
            if seen is None or seen.uid != metadata["uid"]:
                seen = self._seen[key] = Seen(metadata["uid"], "/".join(key))
            if not seen.phases or seen.phase is not phase:
                seen.phases.append(phase)
                seen.came.append(time.monotonic())
            seen.released = phase.finished and not metadata.get("finalizers")
            self._changed.notify_all()

    def _take_leave(self, backup: Document) -> None:
        metadata = backup["metadata"]
        with self._changed:
            seen = self._seen.get((metadata["namespace"], metadata["name"]))
            if seen is not None and seen.uid == metadata["uid"]:
                seen.released = True
                self._changed.notify_all()

    def _look(self, api: client.ApiClient) -> None:
        apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
        while not self._over.is_set():
            lists = (apps.list_deployment_for_all_namespaces, apps.list_stateful_set_for_all_namespaces)
            found = [one for listed in lists for one in _items(listed)]
            self._note(down(found, _items(partial(core.list_pod_for_all_namespaces, label_selector=_LABEL))))
            self._over.wait(_LOOK_SECONDS)

    def _note(self, namespaces: set[str]) -> None:
        """Take what is down. While nobody answered it was so, too, if it was before or is now."""
        now = time.monotonic()
        with self._changed:
            for namespace in self._is_down | namespaces:
                self._down[namespace] = self._down.get(namespace, 0.0) + now - self._looked
            self._is_down, self._looked = namespaces, now


def _items(listed: Callable[..., Any]) -> list[Document]:
    answer = listed(_preload_content=False, _request_timeout=_STREAM_SECONDS)
    found: list[Document] = json.loads(answer.data)["items"]
    return found


def down(workloads: Sequence[Document], pods: Sequence[Document]) -> set[str]:
    """Return the namespaces in which a workload is not whole, or has fewer pods that serve than it should."""
    serving = Counter(
        (one["metadata"]["namespace"], one["metadata"]["labels"][_LABEL]) for one in pods if _serves(one)
    )
    return {
        one["metadata"]["namespace"]
        for one in workloads
        if not is_whole(one) or serving[_place(one)] < one["spec"].get("replicas", 1)
    }


def _place(workload: Document) -> tuple[str, str]:
    labels = workload["spec"]["selector"]["matchLabels"]
    return workload["metadata"]["namespace"], labels.get(_LABEL, "")


def _serves(pod: Document) -> bool:
    """Say whether a pod is Ready and stays: a StatefulSet counts one as ready that is about to end."""
    ready = {"type": "Ready", "status": "True"}
    conditions = pod.get("status", {}).get("conditions", [])
    return "deletionTimestamp" not in pod["metadata"] and any(
        ready.items() <= one.items() for one in conditions
    )


def is_whole(workload: Document) -> bool:
    """Say whether a workload is up, all of it, and carries no record."""
    metadata, spec, status = workload["metadata"], workload["spec"], workload.get("status", {})
    return (
        RECORD_ANNOTATION not in metadata.get("annotations", {})
        and spec.get("replicas", 1) > 0
        and status.get("readyReplicas", 0) == spec.get("replicas", 1)
        and status.get("observedGeneration") == metadata["generation"]
    )
