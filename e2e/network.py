"""The bridge that a cluster of plain processes lives on. Nothing leaves it."""

from dataclasses import dataclass

from e2e.shell import run, succeeds

BRIDGE = "becalm0"
CONTAINER_NETWORK = "becalm"
ADDRESS = "10.244.0.1"
POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
_HARDWARE_ADDRESS = "0a:58:0a:f4:00:01"
"""A bridge that is given none takes one of its ports', and another one when that pod goes. Then the others speak to
nobody for half a minute, until they ask anew whose address the bridge's is."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of iptables. The `chain` is a chain of the kernel's own."""

    chain: str
    rest: tuple[str, ...]

    def add(self) -> None:
        """Put the rule first, unless it is there."""
        if not succeeds(["iptables", "-w", "-C", self.chain, *self.rest]):
            run(["iptables", "-w", "-I", self.chain, *self.rest])

    def remove(self) -> None:
        """Take the rule away, if it is there."""
        if succeeds(["iptables", "-w", "-C", self.chain, *self.rest]):
            run(["iptables", "-w", "-D", self.chain, *self.rest])


_KEPT_IN = Rule("FORWARD", ("-i", BRIDGE, "!", "-o", BRIDGE, "-j", "REJECT"))


def up() -> None:
    """Make the bridge. The API server may not advertise a loopback address."""
    if not succeeds(["ip", "link", "show", BRIDGE]):
        run(["ip", "link", "add", BRIDGE, "address", _HARDWARE_ADDRESS, "type", "bridge"])
        run(["ip", "addr", "add", f"{ADDRESS}/24", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])
    run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    _KEPT_IN.add()


def down() -> None:
    """Take the bridge away, and the rule that kept its traffic in."""
    _KEPT_IN.remove()
    if succeeds(["ip", "link", "show", BRIDGE]):
        run(["ip", "link", "del", BRIDGE])
