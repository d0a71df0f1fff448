"""The resync: looks at everything now and then, so that an event which never came delays a run and does not lose it."""

import asyncio
import logging
from typing import NoReturn

from becalm_operator.cluster.port import Cluster
from becalm_operator.errors import ClusterError
from becalm_operator.handlers.queue import Queue

INTERVAL_SECONDS = 300.0
_RETRY_SECONDS = 5.0
_SPREAD_SECONDS = 60.0

_log = logging.getLogger(__name__)


async def resync_forever(cluster: Cluster, queue: Queue) -> NoReturn:
    """Put all objects into the queue: at once when the operator starts, spread over a minute every few minutes."""
    spread_seconds = 0.0
    while True:
        if await resync(cluster, queue, spread_seconds):
            spread_seconds = _SPREAD_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
        else:
            await asyncio.sleep(_RETRY_SECONDS)


async def resync(cluster: Cluster, queue: Queue, spread_seconds: float) -> bool:
    """Put all objects into the queue, evenly over the time. Returns whether they could be listed."""
    try:
        keys = await cluster.list_keys()
    except ClusterError as error:
        _log.warning("objects could not be listed: %s: %s", type(error).__name__, error)
        return False
    for place, key in enumerate(keys):
        queue.add(key, spread_seconds * place / len(keys))
    return True
