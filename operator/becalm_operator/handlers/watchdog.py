"""The watchdog: the sweep once more, in a process of its own that the chart starts every few minutes.

It needs no operator, no Lease and no watch, so it also works where the operator is scaled to zero, crashes again and
again, or cannot be scheduled. Where one is alive they do not get in each other's way: both decide the same, and of two
updates of a workload the API server takes one.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from becalm_operator.api.backup import Backup
from becalm_operator.api.base import time_text
from becalm_operator.api.names import RELEASED_ANNOTATION
from becalm_operator.api.record import Holder
from becalm_operator.api.restore import Restore
from becalm_operator.cluster.port import Cluster
from becalm_operator.errors import ClusterError
from becalm_operator.handlers.sweep import Sweep
from becalm_operator.plan.steps import Event
from becalm_operator.plan.sweep import Release

_TRIES = 5
_PAUSE_SECONDS = 3.0

_log = logging.getLogger(__name__)


async def watch_once(cluster: Cluster, clock: Callable[[], datetime]) -> bool:
    """Start what nobody else has started in time. Returns whether all of it could be."""

    async def mark(release: Release) -> None:
        await _mark(cluster, release, clock())

    sweep = Sweep(cluster, clock, released=mark)
    for attempt in range(_TRIES):
        if attempt:
            await asyncio.sleep(_PAUSE_SECONDS)
        if await sweep.once():
            return True
    return False


async def _mark(cluster: Cluster, release: Release, now: datetime) -> None:
    """Write on the run that its workload was started, for the operator and for people to read."""
    holder = release.run
    if holder is None:
        return
    try:
        run = await _load(cluster, release.namespace, holder)
        if run is None or run.metadata.uid != holder.uid:
            return
        await cluster.annotate(run, RELEASED_ANNOTATION, time_text(now))
        told = f"the watchdog has {release.event.message}; no operator had done it"
        await cluster.announce(run, Event("ReleasedByWatchdog", told, "Warning"))
    except ClusterError as error:  # the workload runs: that is what counts
        _log.warning("%s %s in %s was not marked: %s", holder.kind, holder.name, release.namespace, error)


async def _load(cluster: Cluster, namespace: str, holder: Holder) -> Backup | Restore | None:
    if holder.kind == Restore.kind:
        return await cluster.load(Restore, namespace, holder.name)
    return await cluster.load(Backup, namespace, holder.name)
