"""The sweep: starts the workloads that nobody else will start. The last line of the first promise.

It depends on nothing but the API server: neither on watches nor on the queue.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NoReturn

from becalm_operator.cluster.port import Cluster
from becalm_operator.errors import ClusterError, ConflictError
from becalm_operator.plan.steps import Event
from becalm_operator.plan.sweep import Release, releases
from becalm_operator.plan.world import Held

INTERVAL_SECONDS = 60.0
_RETRY_SECONDS = 5.0
_LONGEST_SECONDS = 120.0
_TELL_AGAIN_SECONDS = 3600.0
_AT_ONCE = 8

_log = logging.getLogger(__name__)


async def _nothing_more(release: Release) -> None:
    """Do nothing: the run itself tells what became of it."""


def _nobody_counts(held: Sequence[Held], now: datetime) -> None:
    """Do nothing."""


class Sweep:
    """Looks through all workloads that carry a record.

    `beat` is called whenever it has, `released` for each workload that it has started, `seen` with all that is held.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Callable[[], datetime],
        beat: Callable[[], None] = lambda: None,
        released: Callable[[Release], Awaitable[None]] = _nothing_more,
        seen: Callable[[Sequence[Held], datetime], None] = _nobody_counts,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._beat = beat
        self._released = released
        self._seen = seen
        self._hurry = False
        self._told: dict[str, float] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> NoReturn:
        """Sweep at once, and every minute; sooner if something could not be started."""
        while True:
            await self.once()
            self._beat()
            await asyncio.sleep(_RETRY_SECONDS if self._hurry else INTERVAL_SECONDS)

    async def once(self) -> bool:
        """Start what must be started. Returns whether all of it could be, and whether all could be looked at."""
        self._hurry = True
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                seen = await self._cluster.observe_held()
                self._seen(seen.held, self._clock())
                found = releases(seen.held, self._clock())
                # side by side: one that hangs keeps no other one down
                done = await asyncio.gather(*(self._release(release) for release in found))
                for problem in seen.unseen:
                    _log.warning("the sweep could not look everywhere: %s", problem)
                # a permission that is missing now will be missing in five seconds, too
                self._hurry = not all(done) or any(problem.retryable for problem in seen.unseen)
                return all(done) and not seen.unseen
        except (ClusterError, TimeoutError) as error:
            _log.warning("the sweep failed: %s: %s", type(error).__name__, error)
        except Exception:  # noqa: BLE001  a bug in one corner must not end the sweep
            _log.exception("the sweep failed")
        return False

    async def _release(self, release: Release) -> bool:
        async with self._room:
            if release.action is None:
                await self._complain(release)
                return True
            try:
                await self._cluster.release(release.namespace, release.action)
            except ConflictError as error:  # seen too early or too late; the next look decides
                _log.info("%s is looked at again: %s", release.event.workload, error)
                return False
            except Exception as error:  # noqa: BLE001  nor keep the other workloads down
                traceback = None if isinstance(error, ClusterError) else error
                what = (release.event.workload, release.namespace)
                _log.error("%s in %s was not started: %s", *what, error, exc_info=traceback)
                return False
            _log.info("%s: %s", release.namespace, release.event.message)
            await self._announce(release.namespace, release.uid, release.event)
            await self._released(release)
            return True

    async def _complain(self, release: Release) -> None:
        """Tell of a record that cannot be read, once an hour: it stays until a person does something."""
        now = asyncio.get_running_loop().time()
        if now - self._told.get(release.uid, -_TELL_AGAIN_SECONDS) < _TELL_AGAIN_SECONDS:
            return
        self._told[release.uid] = now
        _log.warning("%s: %s", release.namespace, release.event.message)
        await self._announce(release.namespace, release.uid, release.event)

    async def _announce(self, namespace: str, uid: str, event: Event) -> None:
        try:
            await self._cluster.announce_workload(namespace, uid, event)
        except ClusterError as error:
            _log.warning("event %s was not made: %s", event.reason, error)
