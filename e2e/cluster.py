"""The cluster that tests and the demo run on: kind where a Docker engine is, plain processes elsewhere."""

from pathlib import Path
from typing import Protocol

from e2e import packages
from e2e.kind import KindCluster
from e2e.paths import places
from e2e.plain import PlainCluster
from e2e.s3 import S3Server


class Cluster(Protocol):
    """A one-node cluster with storage for claims, and an S3 server beside it."""

    @property
    def s3(self) -> S3Server:
        """The S3 server that its pods reach."""

    @property
    def kubeconfig(self) -> Path:
        """How to reach it as its administrator."""

    @property
    def restarts_at_once(self) -> bool:
        """Whether a container that has ended again and again is started without delay."""

    def up(self) -> None:
        """Make it, or keep the one that runs well."""

    def down(self) -> None:
        """End it and remove what it left."""

    def status(self) -> str:
        """Return what runs, for people."""

    def load_image(self, archive: Path) -> None:
        """Make an image known to its node."""

    def containers_of(self, pod: str) -> list[str]:
        """Return the ids of the containers that were made for a pod, by its UID. The kubelet tells later of them."""
        ...

    def kill_container(self, container: str) -> None:
        """Kill the first process of a container, by the container's id, without a word."""

    def restart_api_server(self) -> None:
        """End the API server and start it again."""


def cluster() -> Cluster:
    """Return the cluster that this machine can have. It need not run yet."""
    where = places()
    return KindCluster(where) if packages.has_docker() else PlainCluster(where)
