"""What a node leaves on its machine outside its state folder. All of it is known by our names or lies empty."""

import json
from contextlib import suppress
from pathlib import Path

from e2e.network import CONTAINER_NETWORK
from e2e.shell import succeeds

_ATTACHMENTS = Path("/var/lib/cni/results")
_LOG_LINKS = Path("/var/log/containers")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_KUBELET_CHAINS = (
    ("filter", "KUBE-FIREWALL"),
    ("filter", "KUBE-KUBELET-CANARY"),
    ("nat", "KUBE-KUBELET-CANARY"),
    ("mangle", "KUBE-KUBELET-CANARY"),
    ("mangle", "KUBE-IPTABLES-HINT"),
)


def remove(state: Path) -> None:
    """Remove what the node with this state folder has left. Nothing of it may run any more."""
    _remove_pod_networks()
    _remove_kubelet_chains()
    _remove_control_groups()
    _remove_log_links(state)


def _remove_pod_networks() -> None:
    """Remove the network namespaces of pods that were killed, and with them their ends on the bridge."""
    for record in _ATTACHMENTS.glob(f"{CONTAINER_NETWORK}-*-eth0"):
        attached = json.loads(record.read_text())
        ends = attached.get("result", {}).get("interfaces", [])
        for namespace in {Path(end["sandbox"]).name for end in ends if end.get("sandbox")}:
            succeeds(["ip", "netns", "del", namespace])
        for other in _ATTACHMENTS.glob(f"*-{attached['containerId']}-*"):
            other.unlink()


def _remove_kubelet_chains() -> None:
    """Remove the kubelet's chains; a kubelet of somebody else's notices at once and makes its own anew."""
    for program in ("iptables", "ip6tables"):
        for hook in ("INPUT", "OUTPUT"):
            succeeds([program, "-w", "-D", hook, "-j", "KUBE-FIREWALL"])
        for table, chain in _KUBELET_CHAINS:
            for step in ("-F", "-X"):
                succeeds([program, "-w", "-t", table, step, chain])


def _remove_control_groups() -> None:
    for root in [_CONTROL_GROUPS / "kubepods", *_CONTROL_GROUPS.glob("*/kubepods")]:
        folders = [path for path in root.rglob("*") if path.is_dir()] if root.is_dir() else []
        for folder in [*sorted(folders, reverse=True), root]:
            with suppress(OSError):  # the kernel keeps each in which something runs
                folder.rmdir()


def _remove_log_links(state: Path) -> None:
    for link in _LOG_LINKS.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(state):
            link.unlink()
