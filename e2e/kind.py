"""A cluster by kind: its node is a container of a Docker engine."""

import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e import snapshots
from e2e.containers import filter_of_pod
from e2e.paths import Places
from e2e.processes import Processes, until
from e2e.s3 import S3Server, is_s3
from e2e.shell import run, say, succeeds

_NAME = "becalm-e2e"
_NODE = f"{_NAME}-control-plane"


@dataclass(frozen=True, slots=True)
class _Host:
    """The container that is the node, as `snapshots` sees it: programs are copied into it and run there."""

    places: Places
    kubelet: str = "/var/lib/kubelet"
    kubeconfig: str = "/etc/kubernetes/admin.conf"
    data: str = "/var/lib/becalm-csi"
    node: str = _NODE

    def run(self, program: str, *flags: str) -> None:
        # the kernel knows a process by no more than 15 characters of its name
        if succeeds(["docker", "exec", _NODE, "pgrep", "-x", program[:15]]):
            return
        run(["docker", "cp", self.places.binary(program), f"{_NODE}:/usr/local/bin/{program}"])
        log = f"exec {program} {shlex.join(flags)} >>/var/log/{program}.log 2>&1"
        run(["docker", "exec", "--detach", _NODE, "sh", "-c", log])


@dataclass(frozen=True, slots=True)
class KindCluster:
    """One node in a container. Its storage is kind's own local-path provisioner."""

    places: Places

    @property
    def s3(self) -> S3Server:
        """The S3 server, on this machine's address in kind's network."""
        networks = json.loads(run(["docker", "network", "inspect", "kind"]))
        ranges = [
            entry["Gateway"] for entry in networks[0]["IPAM"]["Config"] if "." in entry.get("Gateway", "")
        ]
        return S3Server(self.places, self._processes, ranges[0])

    @property
    def _processes(self) -> Processes:
        return Processes(self.places.state / "processes", self.places.logs)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.places.kubeconfig

    def _kind(self, *arguments: str) -> list[str]:
        return [self.places.binary("kind"), *arguments, "--name", _NAME]

    def up(self) -> None:
        """Make the cluster, unless it is there and answers."""
        self.places.state.mkdir(parents=True, exist_ok=True)
        if not self._is_well():
            self.down()
            say("making a kind cluster (a minute)")
            config = Path(__file__).parent / "kind.yaml"
            create = ["create", "cluster", "--config", str(config), "--kubeconfig", str(self.kubeconfig)]
            run(self._kind(*create, "--wait", "120s"), seconds=600)
        snapshots.start(_Host(self.places), self.places)
        self.s3.start()

    def down(self) -> None:
        """Delete the cluster and what the S3 server holds."""
        if self._exists():
            for name in filter(is_s3, self._processes.names()):
                self._processes.end(name)
            shutil.rmtree(self.s3.folder, ignore_errors=True)
            run(self._kind("delete", "cluster"))

    def _exists(self) -> bool:
        return _NAME in run([self.places.binary("kind"), "get", "clusters"]).split()

    def _is_well(self) -> bool:
        """Say whether it answers; its kubeconfig is written again, as the state folder may be gone."""
        kubectl = [self.places.binary("kubectl"), f"--kubeconfig={self.kubeconfig}"]
        export = self._kind("export", "kubeconfig", "--kubeconfig", str(self.kubeconfig))
        return self._exists() and succeeds(export) and succeeds([*kubectl, "get", "--raw", "/readyz"])

    def status(self) -> str:
        """Return what kind says."""
        return run([self.places.binary("kind"), "get", "clusters"]).strip() or "no cluster runs"

    def load_image(self, archive: Path) -> None:
        """Load an image into the node."""
        run(self._kind("load", "image-archive", str(archive)), seconds=300)

    @property
    def restarts_at_once(self) -> bool:
        """Deny it: not every Kubernetes that kind may bring can be told to."""
        return False

    def containers_of(self, pod: str) -> list[str]:
        """Return the ids of the containers that were made for a pod."""
        listing = ["ctr", "-n", "k8s.io", "containers", "ls", "-q", filter_of_pod(pod)]
        return run(["docker", "exec", _NODE, *listing]).split()

    def kill_container(self, container: str) -> None:
        """Kill a container's first process."""
        run(["docker", "exec", _NODE, "ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container])

    def restart_api_server(self) -> None:
        """Kill the API server; the kubelet of the node starts it again."""
        run(["docker", "exec", _NODE, "pkill", "-9", "kube-apiserver"])
        ready = [
            "docker",
            "exec",
            _NODE,
            "kubectl",
            "--kubeconfig=/etc/kubernetes/admin.conf",
            "get",
            "--raw",
            "/readyz",
        ]
        until(lambda: succeeds(ready), seconds=120)
