"""What is said in words: a workload is scaled, another is suspended, a third is paused; and who stands where."""

from collections.abc import Iterable, Sequence

from becalm_operator.api.backup import WorkloadStatus
from becalm_operator.api.switches import Form
from becalm_operator.plan.world import Workload

_MOST_NAMED = 5


def ordinal(number: int) -> str:
    """Return a place, as `1st` or `12th`."""
    teens = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def stopped(workload: Workload) -> str:
    """Say how a workload was brought to a standstill."""
    match workload.switch.form:
        case Form.COUNT:
            return f"scaled {workload.reference} from {workload.replicas} to 0"
        case Form.SUSPEND:
            return f"suspended {workload.reference}"
        case Form.PAUSE:
            return f"paused {workload.reference}"


def started(workload: Workload, count: int) -> str:
    """Say how a workload was started again, or that somebody else had done it before."""
    if workload.replicas > 0:
        return f"found {workload.reference} {set_to(workload)} by somebody, and took its record off"
    if workload.switch.form is Form.COUNT:
        return f"scaled {workload.reference} back to {count}"
    return f"resumed {workload.reference}"


def set_to(workload: Workload) -> str:
    """Say what somebody else has done to a workload that was at a standstill, to follow `was`."""
    return f"scaled to {workload.replicas}" if workload.switch.form is Form.COUNT else "resumed"


def unstopped(workloads: Iterable[WorkloadStatus]) -> str:
    """Say which workloads could not be stopped and why, to follow a sentence; nothing if all could."""
    return _refusals((one for one in workloads if not one.stopped_at), "stopped")


def unstarted(workloads: Iterable[WorkloadStatus]) -> str:
    """Say which workloads could not be started and why, to follow a sentence; nothing if all could."""
    return _refusals((one for one in workloads if one.stopped_at and not one.started_at), "started")


def _refusals(workloads: Iterable[WorkloadStatus], deed: str) -> str:
    return "".join(f"; {one.reference} could not be {deed}: {one.error}" for one in workloads if one.error)


def listed(names: Sequence[str]) -> str:
    """Name some things, and count the rest."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def progress(doing: str, done: int, of: int, what: str) -> str:
    """Say how far something is, as `reading volumes: 1 of 2 done`."""
    return f"{doing}: {done} of {of} {what}"
