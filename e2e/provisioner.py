"""Gives claims their volumes: a folder each, on the node's own disk.

A cluster of plain processes has no storage driver that can be had without a container registry. This one does what
the simplest of them do: a claim of its class gets an empty folder, and a released volume goes with its folder.
"""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch

from e2e.control_plane import NODE

CLASS = "standard"
_NAME = "becalm.dev/e2e-local"
_AGAIN_SECONDS = 0.25
_WATCH_SECONDS = 30
"""A watch may go deaf without a word; a new one begins with all there is."""


class Provisioner:
    """Looks at each claim and volume that is there or changes; holds no state but the folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._api = client.CoreV1Api()

    def _make_class(self) -> None:
        """Make the storage class, as the default one."""
        marks = {"storageclass.kubernetes.io/is-default-class": "true"}
        body = client.V1StorageClass(
            metadata=client.V1ObjectMeta(name=CLASS, annotations=marks),
            provisioner=_NAME,
            reclaim_policy="Delete",
            volume_binding_mode="Immediate",
        )
        try:
            client.StorageV1Api().create_storage_class(body)
        except client.ApiException as error:
            if error.status != 409:
                raise

    def give(self) -> None:
        """Give what is asked for, as long as a watch lasts."""
        self._make_class()
        for claim in _seen(self._api.list_persistent_volume_claim_for_all_namespaces):
            if claim.spec.storage_class_name == CLASS and claim.status.phase == "Pending":
                self._give(claim)

    def take_back(self) -> None:
        """Take away what is given back, as long as a watch lasts."""
        for volume in _seen(self._api.list_persistent_volume):
            if volume.spec.storage_class_name == CLASS and volume.status.phase == "Released":
                self._take(volume.metadata.name)

    def _give(self, claim: Any) -> None:
        name = f"pvc-{claim.metadata.uid}"
        (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / name).chmod(0o777)
        here = client.V1NodeSelectorRequirement(key="kubernetes.io/hostname", operator="In", values=[NODE])
        terms = [client.V1NodeSelectorTerm(match_expressions=[here])]
        spec = client.V1PersistentVolumeSpec(
            capacity={"storage": claim.spec.resources.requests["storage"]},
            access_modes=claim.spec.access_modes,
            persistent_volume_reclaim_policy="Delete",
            storage_class_name=CLASS,
            local=client.V1LocalVolumeSource(path=str(self._folder / name)),
            node_affinity=client.V1VolumeNodeAffinity(
                required=client.V1NodeSelector(node_selector_terms=terms)
            ),
            claim_ref=client.V1ObjectReference(
                kind="PersistentVolumeClaim",
                api_version="v1",
                namespace=claim.metadata.namespace,
                name=claim.metadata.name,
                uid=claim.metadata.uid,
            ),
        )
        body = client.V1PersistentVolume(
            metadata=client.V1ObjectMeta(name=name, annotations={"pv.kubernetes.io/provisioned-by": _NAME}),
            spec=spec,
        )
        try:
            self._api.create_persistent_volume(body)
        except client.ApiException as error:
            if error.status != 409:
                raise

    def _take(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)
        try:
            self._api.delete_persistent_volume(name)
        except client.ApiException as error:
            if error.status != 404:
                raise


def _seen(listing: Callable[..., Any]) -> Iterator[Any]:
    """Yield objects as they are and as they change."""
    events = watch.Watch().stream(  # type: ignore[no-untyped-call]  # nor here
        listing, timeout_seconds=_WATCH_SECONDS, _request_timeout=_WATCH_SECONDS + 1
    )
    for event in events:
        if event["type"] in ("ADDED", "MODIFIED"):
            yield event["object"]


def _for_ever(work: Callable[[], None]) -> None:
    while True:
        try:
            work()
        except Exception as error:  # noqa: BLE001  the API server may be away for a while; it is a test's right
            print(f"{type(error).__name__}: {str(error)[:300]}", flush=True)
            time.sleep(_AGAIN_SECONDS)


def main() -> None:
    """Run until ended. Arguments: a kubeconfig and the folder for volumes."""
    kubeconfig, folder = sys.argv[1:]
    config.load_kube_config(kubeconfig)  # type: ignore[no-untyped-call]  # the client has no types here
    provisioner = Provisioner(Path(folder))
    threading.Thread(target=_for_ever, args=(provisioner.take_back,), daemon=True).start()
    _for_ever(provisioner.give)


if __name__ == "__main__":
    main()
