"""CSI snapshots on a cluster of tests: Kubernetes' own controllers for them, and a storage driver of ours.

A volume of the driver is a folder and a snapshot a copy of one, so a claim that is filled from a snapshot takes no
time. `STORAGE_CLASS` makes such claims. Snapshots of `SNAPSHOT_CLASS` work, those of `REFUSING_CLASS` never do.
"""

from pathlib import Path
from typing import Protocol

from e2e.kubectl import Kubectl
from e2e.objects import Document, Objects
from e2e.paths import Places

DRIVER = "e2e.csi.becalm.dev"
STORAGE_CLASS = "snapshots"
SNAPSHOT_CLASS = "snapshots"
REFUSING_CLASS = "refusing"
CONTROLLER, SIDECAR, PLUGIN = "snapshot-controller", "csi-snapshotter", "csi-driver"
_API = "snapshot.storage.k8s.io"


class Host(Protocol):
    """Where the node's programs run: as processes of this machine, or in the container that is the node."""

    @property
    def kubelet(self) -> str:
        """The kubelet's root folder."""

    @property
    def kubeconfig(self) -> str:
        """An administrator's, as the node sees it."""

    @property
    def data(self) -> str:
        """A folder for volumes."""

    @property
    def node(self) -> str:
        """The node's name."""

    def run(self, program: str, *flags: str) -> None:
        """Start a program of the toolchain, unless it runs."""


def start(host: Host, places: Places) -> None:
    """Start what makes snapshots; what runs already is left alone."""
    kubectl = Kubectl(places.binary("kubectl"), places.kubeconfig, Objects(places.kubeconfig))
    kubectl("apply", "-f", places.binary("snapshot-crds.yaml"))
    kubectl.definitions_are_served(f"volumesnapshots.{_API}")
    kubectl.apply(_driver(), _storage_class(), *_snapshot_classes())
    account = f"--kubeconfig={host.kubeconfig}"
    host.run(PLUGIN, account, f"--kubelet={host.kubelet}", f"--data={host.data}", f"--node={host.node}")
    # it would wait for the definitions of snapshots of groups, which nobody needs here
    host.run(CONTROLLER, account, "--retry-crd-interval-max=1s")
    socket = Path(host.kubelet) / "plugins" / DRIVER / "csi.sock"
    host.run(SIDECAR, account, f"--csi-address={socket}")


def _driver() -> Document:
    spec = {"attachRequired": False, "fsGroupPolicy": "None", "volumeLifecycleModes": ["Persistent"]}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": DRIVER},
        "spec": spec,
    }


def _storage_class() -> Document:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": DRIVER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


def _snapshot_classes() -> list[Document]:
    default = {f"{_API.replace('.k8s.io', '.kubernetes.io')}/is-default-class": "true"}
    return [
        _snapshot_class(SNAPSHOT_CLASS, annotations=default, parameters={}),
        _snapshot_class(REFUSING_CLASS, annotations={}, parameters={"refuse": "true"}),
    ]


def _snapshot_class(name: str, *, annotations: dict[str, str], parameters: dict[str, str]) -> Document:
    return {
        "apiVersion": f"{_API}/v1",
        "kind": "VolumeSnapshotClass",
        "metadata": {"name": name, "annotations": annotations},
        "driver": DRIVER,
        "deletionPolicy": "Delete",
        "parameters": parameters,
    }
