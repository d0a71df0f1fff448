"""When Kubernetes ends a Job that volumes hang on, should no operator be there to do it.

Each bound lies beyond the one that the operator keeps itself, so that it ends nothing that would have ended well. Where
the operator keeps none, there is none: a first upload may take days.
"""

import math
from collections.abc import Iterable
from datetime import timedelta

from becalm_operator.api.backup import Backup, WorkloadStatus
from becalm_operator.api.base import parse_duration
from becalm_operator.plan.quiesce import Run

PREPARING_TIMEOUT = timedelta(hours=24)
"""How long movers may take until they stand at their gates: a first pass over terabytes, and not for ever."""
_MARGIN = timedelta(hours=1)


def of_mover(backup: Backup, *, gated: bool, clone: bool, wished: int | None) -> int | None:
    """Return how many seconds the mover of a Backup may take, in all; `wished` is what people allow it at most.

    `gated`: it waits for the stop. `clone`: it reads a copy, while nothing is down.
    """
    most = parse_duration(backup.spec.quiesce.max_downtime)
    kept = None
    if gated and any(state.replicas for state in backup.status.workloads):
        # to stop may take a whole maxDowntime before the first workload is down, and its own begins only then
        kept = PREPARING_TIMEOUT + 2 * most + _MARGIN
    elif not gated and not clone and _is_anything_down(backup.status.workloads):
        kept = most
    bounds = [bound for bound in (_seconds(kept), wished) if bound is not None]
    return min(bounds, default=None)


def of_restore(run: Run, workloads: Iterable[WorkloadStatus]) -> int | None:
    """Return how many seconds a Job that writes a volume may take: from the first stop on, no more than maxDowntime."""
    down = _is_anything_down(workloads)
    return _seconds(parse_duration(run.quiesce.max_downtime)) if down else None


def _is_anything_down(workloads: Iterable[WorkloadStatus]) -> bool:
    return any(state.stopped_at for state in workloads)


def _seconds(bound: timedelta | None) -> int | None:
    return None if bound is None else math.ceil(bound.total_seconds())
