"""Releasing everything by hand: `becalm-operator release`, for people and for the chart before it is uninstalled.

What is started here stays up also while an operator runs: a run that finds its workload started by somebody fails, and
does not stop it again. But an operator may begin another run at any time. So uninstalling takes the Lease first; then
there is no operator for a while, and nothing is stopped behind its back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

from becalm_operator.api.backup import Backup
from becalm_operator.api.names import FINALIZER
from becalm_operator.api.restore import Restore
from becalm_operator.cluster.lease import Lease, Timing
from becalm_operator.cluster.port import Cluster, Key
from becalm_operator.errors import ClusterError, ConflictError, NotFoundError, OwnPodError
from becalm_operator.plan.steps import DeleteJob
from becalm_operator.plan.sweep import Release, release_all
from becalm_operator.plan.world import Holdings

UNINSTALL_TIMING = Timing(duration=60)
"""Long enough for Helm to delete the operator after its hook, short enough to wait for when it is installed anew."""
NOTICE_SECONDS = Timing().renew + 2.0
"""When an operator has certainly seen that the Lease is gone."""

T = TypeVar("T")
D = TypeVar("D")

_TRIES = 5
_AT_ONCE = 8
_PAUSE_SECONDS = 1.0
_MOVERS_SECONDS = 30.0

_log = logging.getLogger(__name__)

Tell = Callable[[str], None]


async def stop_the_operator(lease: Lease, tell: Tell, here: str = "") -> None:
    """Take the Lease and wait until its holder has noticed. `here`: the name of an operator that runs in this pod.

    Raises:
        OwnPodError: It is that one. Its container ends when the Lease is taken, and we would end in it, too early.
    """
    if here and await lease.holder() == here:
        raise OwnPodError(
            f"{here} is the operator's own pod, which ends when its Lease is taken; run this elsewhere"
        )
    holder = await lease.seize()
    if holder:
        tell(f"waiting {NOTICE_SECONDS:.0f} s for {holder} to stop")
        await asyncio.sleep(NOTICE_SECONDS)


async def release_for_good(cluster: Cluster, lease: Lease, tell: Tell) -> bool:
    """Release everything, and keep the Lease meanwhile: there may be more to do than its term is long.

    Returns whether all of it was done, and no operator could begin anything behind it.
    """
    keeping = asyncio.create_task(lease.keep())
    try:
        done = await release_everything(cluster, tell)
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
    if keeping.cancelled():
        return done
    tell(f"NOT kept: {keeping.exception()}; an operator may stop workloads again")
    return False


async def release_everything(cluster: Cluster, tell: Tell) -> bool:
    """Start every workload that becalm holds down and take our finalizer off all runs.

    Returns whether all of it was done; what was not is told. Movers are ended first, for a restore that went on would
    write under the workload; but one that does not end holds nothing up.
    """
    keys, listed = await _runs(cluster, tell)
    await _end_movers(cluster, keys)
    started = await _start_workloads(cluster, tell)
    freed = await _several(partial(_free, cluster, tell), keys)
    return listed and started and all(freed)


async def _several(work: Callable[[T], Awaitable[D]], items: Iterable[T]) -> list[D]:
    """Do the same with all of them, a few at a time: with thousands it would take long one by one."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> D:
        async with room:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in items))


async def _runs(cluster: Cluster, tell: Tell) -> tuple[list[Key], bool]:
    """Return the runs that can be listed and are not over, and whether those are all.

    Workloads are held whatever can be listed.
    """
    keys = await cluster.list_keys()
    # a kind that is gone has no objects left
    problems = [problem for problem in keys.unseen if not isinstance(problem, NotFoundError)]
    for problem in problems:
        tell(f"NOT looked at: {problem}")
    runs = [key for key in keys.found if key.kind in (Backup.kind, Restore.kind)]
    return [key for key in runs if key not in keys.over], not problems


async def _load(cluster: Cluster, key: Key) -> Backup | Restore | None:
    if key.kind == Restore.kind:
        return await cluster.load(Restore, key.namespace, key.name)
    return await cluster.load(Backup, key.namespace, key.name)


async def _end_movers(cluster: Cluster, keys: list[Key]) -> None:
    """Delete the Jobs of runs that go on, and wait for their pods as long as it is worth it."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _MOVERS_SECONDS
    left = keys
    while left:
        having = await _several(partial(_has_movers, cluster), left)
        left = [key for key, has in zip(left, having, strict=True) if has]
        if not left or loop.time() >= until:
            return
        await asyncio.sleep(_PAUSE_SECONDS)


async def _has_movers(cluster: Cluster, key: Key) -> bool:
    try:
        run = await _load(cluster, key)
        if run is None or run.status.phase.finished:
            return False
        world = await cluster.observe_run(run)
        going_on = [job for job in world.jobs.values() if job.active or not job.finished]
        for job in going_on:
            await cluster.apply(run, DeleteJob(job.name))
    except ClusterError as error:
        _log.warning("the Jobs of %s were not ended: %s", key, error)
        return False
    return bool(going_on)


async def _start_workloads(cluster: Cluster, tell: Tell) -> bool:
    """Start what is held down. What changed meanwhile is looked at again a few times."""
    for attempt in range(_TRIES):
        seen = await _held(cluster)
        last = attempt == _TRIES - 1
        outcomes = await _several(partial(_start, cluster, tell, last=last), release_all(seen.held))
        if None not in outcomes and (last or not seen.unseen):
            for problem in seen.unseen:
                tell(f"NOT looked at: {problem}")
            return all(outcomes) and not seen.unseen
        await asyncio.sleep(_PAUSE_SECONDS)
    return False


async def _held(cluster: Cluster) -> Holdings:
    try:
        return await cluster.observe_held()
    except ClusterError as error:
        return Holdings((), (error,))


async def _start(cluster: Cluster, tell: Tell, release: Release, *, last: bool) -> bool | None:
    """Start one workload. Returns None if it should be tried again."""
    what = f"{release.namespace} {release.event.workload}"
    if release.action is None:
        tell(f"{what}: NOT started: {release.event.message}")
        return False
    try:
        await cluster.release(release.namespace, release.action)
    except ConflictError as error:
        if not last:
            return None
        tell(f"{what}: NOT started: {error}")
        return False
    except ClusterError as error:
        tell(f"{what}: NOT started: {error}")
        return False
    tell(f"{what}: {release.event.message}")
    try:
        await cluster.announce_workload(release.namespace, release.uid, release.event)
    except ClusterError as error:
        _log.warning("event %s was not made: %s", release.event.reason, error)
    return True


async def _free(cluster: Cluster, tell: Tell, key: Key) -> bool:
    """Take our finalizer off a run, so that it can be deleted when no operator is left."""
    for _ in range(_TRIES):
        try:
            run = await _load(cluster, key)
            if run is None or FINALIZER not in run.metadata.finalizers:
                return True
            if isinstance(run, Restore):
                await cluster.set_finalizer(run, present=False)
            else:
                await cluster.set_finalizer(run, present=False)
        except ConflictError:
            continue
        except NotFoundError:
            return True
        except ClusterError as error:
            tell(f"{key}: finalizer NOT taken off: {error}")
            return False
        tell(f"{key}: finalizer taken off")
        return True
    tell(f"{key}: finalizer NOT taken off: the object changes all the time")
    return False
