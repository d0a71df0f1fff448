"""A cluster of plain processes: the components of Kubernetes on a bridge of their own, as root."""

import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from e2e import containers, network, packages, snapshots, traces
from e2e.containers import Containers
from e2e.control_plane import NODE, ControlPlane
from e2e.image import Builder
from e2e.paths import Places, SetUpError
from e2e.processes import Processes, until
from e2e.s3 import S3Server, is_s3
from e2e.shell import say, succeeds

_NODE_SECONDS = 90
_RECORDS = "processes"


@dataclass(frozen=True, slots=True)
class _Host:
    """This machine, as `snapshots` sees it."""

    places: Places
    processes: Processes
    node: str = NODE

    @property
    def kubelet(self) -> str:
        return str(self.places.state / "kubelet")

    @property
    def kubeconfig(self) -> str:
        return str(self.places.kubeconfig)

    @property
    def data(self) -> str:
        return str(self.places.state / "csi")

    def run(self, program: str, *flags: str) -> None:
        if not self.processes.runs(program):
            self.processes.start(program, [self.places.binary(program), *flags])


@dataclass(frozen=True, slots=True)
class PlainCluster:
    """One node that is the control plane, too."""

    places: Places

    @property
    def _processes(self) -> Processes:
        return Processes(self.places.state / _RECORDS, self.places.logs)

    @property
    def _containers(self) -> Containers:
        return Containers(self.places.state / "containerd", self._processes)

    @property
    def _control_plane(self) -> ControlPlane:
        return ControlPlane(self.places, self._processes, self._containers)

    @property
    def s3(self) -> S3Server:
        """The S3 server on the bridge."""
        return S3Server(self.places, self._processes, network.ADDRESS)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.places.kubeconfig

    def up(self) -> None:
        """Start everything, in the order in which each needs the one before."""
        if self._is_well():
            self._start_snapshots()
            self.s3.start()
            return
        packages.require()
        self.down()
        say("starting a cluster of plain processes (about 15 s)")
        began = time.monotonic()
        plane = self._control_plane
        (self.places.state / _RECORDS).mkdir(parents=True)  # first: by this the folder is known as ours
        network.up()
        plane.write_files()
        plane.start_etcd()
        self._containers.start()
        self._containers.load(Builder(self.places).pause_archive())
        plane.start_api_server()
        plane.start_controllers()
        plane.start_node()
        self._start_provisioner()
        self.s3.start()
        self._processes.wait("kubelet", plane.node_is_ready, seconds=_NODE_SECONDS)
        self._start_snapshots()
        say(f"the node is ready after {time.monotonic() - began:.1f} s; KUBECONFIG={self.kubeconfig}")

    def _start_provisioner(self) -> None:
        folder = self.places.state / "volumes"
        command = [sys.executable, "-m", "e2e.provisioner", str(self.kubeconfig), str(folder)]
        self._processes.start("provisioner", command)

    def _start_snapshots(self) -> None:
        snapshots.start(_Host(self.places, self._processes), self.places)

    def _is_well(self) -> bool:
        started = self._processes.names()
        well = bool(started) and all(self._processes.runs(name) for name in started if not is_s3(name))
        return well and self._control_plane.answers() and self._control_plane.node_is_ready()

    def down(self) -> None:
        """End what was started, the newest first, and remove every trace.

        Raises:
            SetUpError: The state folder holds something else, or something does not end.
        """
        self._require_own_state()
        names = self._processes.names()
        for name in names:
            if name != "containerd":
                self._processes.end(name)
        if "containerd" in names:
            self._containers.end_all()
            self._processes.end("containerd")
        if names:
            succeeds([self.places.binary("kube"), "kube-proxy", "--cleanup"])
            traces.remove(self.places.state)
        containers.unmount_below(self.places.state)
        self._remove_state()
        network.down()

    def _require_own_state(self) -> None:
        state = self.places.state
        found = {path.name for path in state.iterdir()} if state.exists() else set()
        if found and not found & {_RECORDS, "s3.json"}:
            raise SetUpError(
                f"{state} is no cluster's state: let BECALM_STATE name a folder that may be removed"
            )

    def _remove_state(self) -> None:
        """Remove the state folder; the records, by which it is known, last."""
        for path in self.places.state.glob("*"):
            if path.is_dir() and path.name != _RECORDS:
                shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(self.places.state, ignore_errors=True)

    def status(self) -> str:
        """Return a line for each process."""
        lines = [
            f"{name:24} {'runs' if self._processes.runs(name) else 'has ended'}"
            for name in sorted(self._processes.names())
        ]
        return "\n".join([*lines, f"KUBECONFIG={self.kubeconfig}"]) if lines else "no cluster runs"

    def load_image(self, archive: Path) -> None:
        """Hand an image to containerd."""
        self._containers.load(archive)

    @property
    def restarts_at_once(self) -> bool:
        """Say so: the kubelet is told to."""
        return True

    def containers_of(self, pod: str) -> list[str]:
        """Return the ids of the containers that were made for a pod."""
        return self._containers.of_pod(pod)

    def kill_container(self, container: str) -> None:
        """Kill a container's first process."""
        self._containers.kill(container)

    def restart_api_server(self) -> None:
        """Kill the API server and start it again. The longer it is away, the later do its clients try again."""
        self._processes.end("kube-apiserver", signal.SIGKILL)
        until(lambda: not self._control_plane.answers(), seconds=10)
        self._control_plane.start_api_server()
