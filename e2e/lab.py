"""becalm on a real cluster, installed as a user does: image, chart, and the tools to look at it."""

from dataclasses import dataclass

from e2e.cluster import Cluster, cluster
from e2e.image import IMAGE, Builder
from e2e.kubectl import Helm, Kubectl
from e2e.objects import Document, Objects
from e2e.paths import ROOT, Places, places
from e2e.s3 import S3Server

NAMESPACE = "becalm"
RELEASE = "becalm"
_SELECTOR = "app.kubernetes.io/name=becalm"


@dataclass(frozen=True, slots=True)
class Lab:
    """A cluster with becalm in it."""

    places: Places
    cluster: Cluster
    objects: Objects

    @property
    def kubectl(self) -> Kubectl:
        """What talks to the cluster, in the operator's namespace."""
        return Kubectl(self.places.binary("kubectl"), self.cluster.kubeconfig, self.objects, NAMESPACE)

    @property
    def helm(self) -> Helm:
        """What installs charts."""
        return Helm(self.places.binary("helm"), self.cluster.kubeconfig)

    @property
    def s3(self) -> S3Server:
        """The S3 server beside the cluster."""
        return self.cluster.s3

    def install(self) -> None:
        """Build the image, load it, and install the chart; the operator runs the newest image afterwards."""
        archive = Builder(self.places).archive()
        self.cluster.load_image(archive)
        repository, _, tag = IMAGE.rpartition(":")
        values = {
            "image.repository": repository,
            "image.tag": tag,
            "image.pullPolicy": "Never",
            "extraKinds": "{widgets.example.org}",
            "volumeSnapshots.enabled": "true",
            "hooks.enabled": "true",
            "dumps.enabled": "true",
            # the tag stays the same, so that this is what makes a changed image roll out
            "podAnnotations.becalm\\.dev/image": archive.stem,
        }
        self.helm.install(RELEASE, ROOT / "charts" / "becalm", NAMESPACE, values)

    def operator_pod(self) -> Document:
        """Return the operator's running pod."""
        found = self.kubectl.until(
            "the operator's pod is ready",
            lambda: self.kubectl.list("pods", labels=_SELECTOR),
            lambda pods: any(_is_ready(pod) for pod in pods),
        )
        ready: Document = next(pod for pod in found if _is_ready(pod))
        return ready

    def kill_operator(self) -> None:
        """Kill the operator outright: no signal handler runs, nothing is written any more."""
        pods = self.kubectl.list("pods", labels=_SELECTOR)
        for pod in pods:
            for status in pod["status"].get("containerStatuses", []):
                if "running" in status["state"]:
                    self.cluster.kill_container(status["containerID"].rpartition("/")[2])

    def restart_operator(self) -> None:
        """Replace the operator's pod by a fresh one: a restarted container would wait ever longer to come back."""
        self.kubectl("rollout", "restart", "deployment/becalm")
        self.kubectl("rollout", "status", "deployment/becalm", "--timeout=120s", seconds=130)


def _is_ready(pod: Document) -> bool:
    conditions = pod["status"].get("conditions", [])
    going = "deletionTimestamp" in pod["metadata"]
    return not going and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def lab() -> Lab:
    """Return the lab of this machine. It need not run yet."""
    found = cluster()
    return Lab(places(), found, Objects(found.kubeconfig))
