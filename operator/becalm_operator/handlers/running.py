"""The operator as a whole: from its start to its end."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

from kubernetes.aio.client import ApiClient

from becalm_operator.cluster.api_server import ApiServer
from becalm_operator.cluster.connection import connected
from becalm_operator.cluster.lease import ApiLeases, Lease
from becalm_operator.cluster.pod_watch import PodWatch
from becalm_operator.cluster.port import Cluster, Key, Resource
from becalm_operator.handlers.complaints import Complaints
from becalm_operator.handlers.liveness import Heartbeats, serving
from becalm_operator.handlers.metrics import Metrics, showing
from becalm_operator.handlers.news import News
from becalm_operator.handlers.observer import Observer
from becalm_operator.handlers.queue import Queue
from becalm_operator.handlers.reconcile import Witness, reconcile
from becalm_operator.handlers.resync import resync_forever
from becalm_operator.handlers.sweep import Sweep
from becalm_operator.handlers.turns import Turns
from becalm_operator.handlers.vigil import Vigil
from becalm_operator.settings import Settings

_LEASE, _SWEEP = "the Lease", "the sweep"
_PATIENCE_SECONDS = 10.0
"""How long a reconcile under way may take to end after SIGTERM."""
_LEASE_ALIVE_SECONDS = 60.0
_SWEEP_ALIVE_SECONDS = 300.0
_END_SECONDS = 5.0

_log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        SettingsError: There is no cluster to talk to.
        LeaseLostError: Another operator has taken over. This one does nothing any more.
    """
    stop = _stop_signal()
    heartbeats, metrics = Heartbeats(), Metrics()
    async with (
        connected(metrics.requested) as client,
        serving(settings.health_port, heartbeats),
        showing(settings.metrics_port, metrics),
    ):
        heartbeats.expect(_LEASE, _LEASE_ALIVE_SECONDS)
        leases = ApiLeases(client, settings.namespace)
        lease = Lease(leases, settings.identity, on_attempt=partial(heartbeats.beat, _LEASE))
        heartbeats.holds_lease = metrics.holds_lease = lease.is_held
        if not await _unless(stop, lease.acquire()):
            return
        _log.info("%s holds the Lease and begins", settings.identity)
        heartbeats.ready = True
        cluster = ApiServer(client, settings, _now, lease.require)
        await _lead(cluster, client, settings, lease, heartbeats=heartbeats, metrics=metrics, stop=stop)
        _log.info("%s has ended", settings.identity)


def _now() -> datetime:
    return datetime.now(UTC)


async def _lead(
    cluster: Cluster,
    client: ApiClient,
    settings: Settings,
    lease: Lease,
    *,
    heartbeats: Heartbeats,
    metrics: Metrics,
    stop: asyncio.Event,
) -> None:
    vigil, news = Vigil(PodWatch(client).changes), News()

    def saw(key: Key, resource: Resource | None) -> None:
        for one in (metrics, vigil, news):
            one.saw(key, resource)

    def call(key: Key) -> None:
        queue.add(key)

    turns = Turns(call, everywhere=bool(settings.most_down_per_cluster))
    reconciling = metrics.measured(
        partial(
            reconcile,
            cluster,
            turn=turns.has_come,
            witness=Witness(saw, Complaints().say, vigil.passed),
        )
    )
    queue = Queue(turns.taken(reconciling), vigil.looks_after)
    sweep = Sweep(cluster, _now, partial(heartbeats.beat, _SWEEP), seen=metrics.swept)
    observer = Observer(client, settings.watched_namespaces, heartbeats, queue.add, news.is_news)
    heartbeats.expect(_SWEEP, _SWEEP_ALIVE_SECONDS)
    await lead(
        lease,
        queue,
        [sweep.run(), resync_forever(cluster, queue), observer.run(), vigil.run(queue.add)],
        stop,
        _PATIENCE_SECONDS,
    )


async def lead(
    lease: Lease,
    queue: Queue,
    others: list[Coroutine[Any, Any, Any]],
    stop: asyncio.Event,
    patience_seconds: float,
) -> None:
    """Keep the Lease, reconcile, and do the other things until told to stop; then end in good order.

    The Lease is kept until the last reconcile is over, and given back then. Where anything fails, all ends at once.

    Raises:
        LeaseLostError: Another operator has taken over.
    """
    try:
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(lease.keep(), name="lease")
            group.create_task(queue.run(), name="queue")
            tasks = [group.create_task(other) for other in others]
            await stop.wait()
            _log.info("stopping")
            await queue.stop(patience_seconds)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_END_SECONDS)
            keeping.cancel()
    except BaseExceptionGroup as failures:
        raise _first(failures) from failures
    await lease.release()


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return one failure of a group: they come one by one, the others are its consequences."""
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work unless told to stop before it is done. Returns whether it is."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    done = working.done()
    for task in (working, stopping):
        task.cancel()
    await asyncio.wait([working, stopping])
    if done:
        working.result()
    return done


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
