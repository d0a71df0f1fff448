"""The resync: looks at everything now and then, so that an event which never came delays a run and does not lose it."""

import asyncio
import logging
from typing import NoReturn

from becalm_operator.cluster.port import Cluster, Key
from becalm_operator.handlers.queue import Queue

INTERVAL_SECONDS = 300.0
_RETRY_SECONDS = 5.0
_SPREAD_SECONDS = 60.0

_log = logging.getLogger(__name__)


async def resync_forever(cluster: Cluster, queue: Queue) -> NoReturn:
    """Put all objects into the queue: at once when the operator starts, spread over a minute every few minutes."""
    spread_seconds = 0.0
    while True:
        if await _round(cluster, queue, spread_seconds):
            spread_seconds = _SPREAD_SECONDS


async def _round(cluster: Cluster, queue: Queue, spread_seconds: float) -> bool:
    """Look at everything once in an interval, and soon again for what did not answer. Returns whether anything did."""
    clock = asyncio.get_running_loop().time
    end = clock() + INTERVAL_SECONDS
    queued: set[Key] = set()
    answered = False
    while clock() < end:
        complete = await resync(cluster, queue, spread_seconds, queued)
        answered = answered or complete or bool(queued)
        # what must not be listed now must not be in five seconds either: it waits for the next round
        await asyncio.sleep(max(end - clock(), 0.0) if complete else _RETRY_SECONDS)
    return answered


async def resync(cluster: Cluster, queue: Queue, spread_seconds: float, queued: set[Key]) -> bool:
    """Put all objects that are not `queued` yet into the queue, evenly over the time.

    Returns whether nothing is left that may soon be listed.
    """
    keys = await cluster.list_keys()
    fresh = [key for key in keys.found if key not in queued]
    for place, key in enumerate(fresh):
        queue.add(key, spread_seconds * place / len(fresh))
    queued.update(fresh)
    if keys.unseen:
        first, more = keys.unseen[0], len(keys.unseen) - 1
        others = f" (and {more} more)" if more else ""
        _log.warning("objects could not be listed: %s: %s%s", type(first).__name__, first, others)
    return not any(problem.retryable for problem in keys.unseen)
