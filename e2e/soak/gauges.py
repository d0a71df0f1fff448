"""What the operator costs: its memory, and its calls to the API server."""

import re
from dataclasses import dataclass

from e2e.lab import Lab

_CALLS = re.compile(
    r'^apiserver_flowcontrol_dispatched_requests_total\{flow_schema="service-accounts",.*\} (\S+)$',
    re.MULTILINE,
)
_MEMORY = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """How things stood at one moment."""

    seconds: float
    """Since the soak began."""
    ended: int
    """How many Backups had ended."""
    kills: int
    memory_mib: float
    """The operator's resident memory."""
    calls: int
    """Requests of all service accounts outside kube-system: of the operator, and now and then of its watchdog."""


def memory_mib(process_status: str) -> float:
    """Return the resident memory that /proc/PID/status tells, in MiB."""
    found = _MEMORY.search(process_status)
    return int(found[1]) / 1024 if found else 0.0


def calls(metrics: str) -> int:
    """Return the requests of service accounts that the API server's metrics tell."""
    return int(sum(float(number) for number in _CALLS.findall(metrics)))


def read_memory(lab: Lab) -> float:
    """Ask the operator's pod."""
    return memory_mib(lab.kubectl("exec", "deployment/becalm", "--", "cat", "/proc/1/status"))


def read_calls(lab: Lab) -> int:
    """Ask the API server."""
    return calls(lab.kubectl("get", "--raw", "/metrics"))


def calls_per_backup(first: Reading, last: Reading) -> float:
    """Return the calls for each Backup that ended between two readings."""
    return (last.calls - first.calls) / max(last.ended - first.ended, 1)
