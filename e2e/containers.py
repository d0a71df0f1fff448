"""containerd for a cluster of plain processes: its configuration, images, and what is left when it goes."""

import json
from dataclasses import dataclass
from pathlib import Path

from e2e import network, overlay
from e2e.paths import SetUpError
from e2e.processes import Processes, until
from e2e.shell import run, succeeds

PAUSE_IMAGE = "localhost/pause:1"
_NAMESPACE = "k8s.io"
_PLUGINS = Path("/usr/lib/cni")
_ENDING_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Containers:
    """One containerd below a folder."""

    folder: Path
    processes: Processes

    @property
    def socket(self) -> Path:
        """Where the kubelet finds it."""
        return self.folder / "containerd.sock"

    def start(self) -> None:
        """Start it and wait for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_network()
        config = self.folder / "config.toml"
        config.write_text(self._configuration())
        self.processes.start("containerd", ["containerd", "-c", str(config)])
        self.processes.wait("containerd", lambda: succeeds(self._ctr("version")), seconds=30)

    def _ctr(self, *arguments: str) -> list[str]:
        return ["ctr", "-a", str(self.socket), "-n", _NAMESPACE, *arguments]

    def load(self, archive: Path) -> None:
        """Load an image from an archive as docker or buildah writes it, unless it was the last of its name."""
        record = self.folder / f"loaded-{archive.stem.partition('-')[0]}"
        if record.exists() and record.read_text() == archive.name:
            return
        run(self._ctr("images", "import", str(archive)), seconds=300)
        record.write_text(archive.name)

    def kill(self, container: str) -> None:
        """Kill a running container's first process outright, as a node that runs out of memory would."""
        run(self._ctr("tasks", "kill", "-s", "SIGKILL", container))

    def of_pod(self, uid: str) -> list[str]:
        """Return the containers that were made for a pod, whether or not they run; without its sandbox."""
        return run(self._ctr("containers", "ls", "-q", filter_of_pod(uid))).split()

    def end_all(self) -> None:
        """End what still runs, so that its mounts can go.

        Raises:
            SetUpError: Something does not end.
        """
        if not succeeds(self._ctr("version")):
            # containers outlive it, and nothing else knows them
            self.processes.end("containerd")
            self.start()
        if not until(self._nothing_runs, seconds=_ENDING_SECONDS):
            left = run(self._ctr("tasks", "ls"))
            raise SetUpError(f"these containers do not end:\n{left}")

    def _nothing_runs(self) -> bool:
        """Kill what runs; say whether nothing did."""
        tasks = run(self._ctr("tasks", "ls", "-q")).split()
        for task in tasks:
            succeeds(self._ctr("tasks", "kill", "-s", "SIGKILL", "-a", task))
        if tasks:
            succeeds(self._ctr("tasks", "rm", "-f", *tasks))
        return not tasks

    def _write_network(self) -> None:
        folder = self.folder / "net.d"
        folder.mkdir(exist_ok=True)
        bridge = {
            "type": "bridge",
            "bridge": network.BRIDGE,
            "isGateway": True,
            "ipMasq": False,  # traffic stays on the bridge
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": network.POD_RANGE}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(self.folder / "addresses"),
            },
        }
        plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
        document = {"cniVersion": "1.0.0", "name": network.CONTAINER_NETWORK, "plugins": plugins}
        (folder / "10-becalm.conflist").write_text(json.dumps(document))

    def _configuration(self) -> str:
        # restrict_oom_score_adj: where CAP_SYS_RESOURCE is missing, runc cannot lower a score
        return f"""version = 2
root = "{self.folder}/root"
state = "{self.folder}/state"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_PLUGINS}"
    conf_dir = "{self.folder}/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{"overlayfs" if overlay.works(self.folder) else "native"}"
"""


def filter_of_pod(uid: str) -> str:
    """Return what `ctr containers ls` finds the containers of a pod by: the labels that the kubelet gives them."""
    return f'labels."io.kubernetes.pod.uid"=={uid},labels."io.cri-containerd.kind"==container'


def unmount_below(folder: Path) -> None:
    """Unmount everything below a folder, the deepest first.

    Raises:
        SetUpError: Something stays mounted.
    """
    for mount in sorted(_mounted_below(folder), key=len, reverse=True):
        succeeds(["umount", "-l", mount])
    if left := _mounted_below(folder):
        raise SetUpError(f"these cannot be unmounted: {' '.join(left)}")


def _mounted_below(folder: Path) -> list[str]:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [mount for mount in mounts if mount.startswith(f"{folder}/")]
