"""One reconcile: read afresh, observe, decide, do.

A plan is followed in an order in which dying between any two steps does no harm, because the next reconcile sees what
was done and decides the rest:

1. The finalizer is set before the first action. Once a workload may be down, a deletion has to pass by us.
2. The actions, in order. Each may be repeated; what they did is read from the cluster, never from the status.
3. The events. They tell of what has been done, so they come after it. One that fails is lost, and nothing else.
4. The status, after what it tells of. A status that was never written is made up for from the records on workloads
   and from the Jobs; the other way round it would claim what has not been done.
5. The finalizer is taken off last: when the status says that nothing is held any more, the object may go.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from becalm_operator.api.backup import Backup
from becalm_operator.api.names import FINALIZER
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.cluster.port import Cluster, Key, R, Resource
from becalm_operator.errors import ClusterError
from becalm_operator.plan import backup, repository, restore, schedule
from becalm_operator.plan.steps import Event, Plan

Beginning = AbstractAsyncContextManager[None]
Saw = Callable[[Key, Resource | None], None]

_log = logging.getLogger(__name__)


def _nobody_looks(key: Key, resource: Resource | None) -> None:
    """Do nothing."""


async def reconcile(
    cluster: Cluster, key: Key, beginning: Beginning | None = None, saw: Saw = _nobody_looks
) -> float | None:
    """Take one object a step further. Returns after how many seconds to come back, None to wait for events.

    `beginning` is held while a run that has not begun is decided about: by one at a time, where limits hold for all.
    `saw` is told of the object as it was and as it is left.

    Raises:
        ClusterError: A step could not be done. Everything before it stands, and the next try goes on from there.
    """
    match key.kind:
        case Backup.kind:
            return await _backup(cluster, key, beginning or nullcontext(), saw)
        case Restore.kind:
            return await _restore(cluster, key, beginning or nullcontext(), saw)
        case BackupRepository.kind:
            return await _repository(cluster, key, saw)
        case BackupSchedule.kind:
            return await _schedule(cluster, key, saw)
    raise ValueError(f"{key} is nothing of ours")


async def _backup(cluster: Cluster, key: Key, beginning: Beginning, saw: Saw) -> float | None:
    found = await cluster.load(Backup, key.namespace, key.name)
    saw(key, found)
    if found is None or _is_over(found):
        return None
    async with beginning if found.status.phase.waiting else nullcontext():
        return await _follow(cluster, found, saw, backup.decide(found, await cluster.observe_run(found)))


async def _restore(cluster: Cluster, key: Key, beginning: Beginning, saw: Saw) -> float | None:
    found = await cluster.load(Restore, key.namespace, key.name)
    saw(key, found)
    if found is None or _is_over(found):
        return None
    async with beginning if found.status.phase.waiting else nullcontext():
        return await _follow(cluster, found, saw, restore.decide(found, await cluster.observe_run(found)))


async def _repository(cluster: Cluster, key: Key, saw: Saw) -> float | None:
    found = await cluster.load(BackupRepository, key.namespace, key.name)
    saw(key, found)
    if found is None:
        return None
    return await _follow(
        cluster, found, saw, repository.decide(found, await cluster.observe_repository(found))
    )


async def _schedule(cluster: Cluster, key: Key, saw: Saw) -> float | None:
    found = await cluster.load(BackupSchedule, key.namespace, key.name)
    saw(key, found)
    if found is None:
        return None
    return await _follow(cluster, found, saw, schedule.decide(found, await cluster.observe_schedule(found)))


def _is_over(run: Backup | Restore) -> bool:
    """Say whether nothing is left to decide. A cluster is full of ended runs; observing for each would be a flood."""
    return run.status.phase.finished and FINALIZER not in run.metadata.finalizers


async def _follow(cluster: Cluster, resource: R, saw: Saw, plan: Plan[Any]) -> float | None:
    bound = FINALIZER in resource.metadata.finalizers
    key = Key(resource.kind, resource.metadata.namespace, resource.metadata.name)
    # the API server takes no new finalizer on an object that is being deleted
    if plan.finalizer is True and not bound and resource.metadata.deletion_timestamp is None:
        resource = await cluster.set_finalizer(resource, present=True)
        saw(key, resource)
    for action in plan.actions:
        await cluster.apply(resource, action)
    for event in plan.events:
        await _announce(cluster, resource, event)
    if plan.status != resource.status:
        resource = await cluster.write_status(resource, plan.status)
        saw(key, resource)
    if plan.finalizer is False and bound:
        await cluster.set_finalizer(resource, present=False)
    return plan.again_seconds


async def _announce(cluster: Cluster, resource: R, event: Event) -> None:
    try:
        await cluster.announce(resource, event)
    except ClusterError as error:
        _log.warning("event %s was not made: %s", event.reason, error)
