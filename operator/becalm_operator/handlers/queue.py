"""The queue: keys wait here until a worker reconciles them, the pressing ones first.

One key is reconciled by one worker at a time, and waits at most once. Nothing is kept about a key but when to look at
it again, so a lost entry costs a resync and nothing else.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from becalm_operator.cluster.port import Key
from becalm_operator.errors import ClusterError, ConflictError, NotFoundError

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Looks at a key. Returns after how many seconds to look again, or None to wait for the next event."""

_MOST_DOUBLINGS = 20
_PASSES_BY_ITSELF = (ConflictError, NotFoundError)
"""The object was changed or deleted under our hands: so goes optimistic locking, and it is no news the first time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a key that fails waits: doubled each time, up to a bound. In seconds."""

    first: float = 0.2
    longest_retryable: float = 30.0
    longest: float = 300.0

    def delay(self, failures: int, error: Exception, *, presses: bool = False) -> float:
        """Return the wait after so many failures in a row. It is short where something is down, whatever fails."""
        retryable = isinstance(error, TimeoutError) or (isinstance(error, ClusterError) and error.retryable)
        bound = self.longest_retryable if retryable or presses else self.longest
        return doubled(self.first, failures, bound)


def doubled(first: float, failures: int, longest: float) -> float:
    """Return a wait that is doubled with each failure in a row after the first, up to a bound."""
    return min(first * (1 << min(failures - 1, _MOST_DOUBLINGS)), longest)


def _none_presses(_: Key) -> bool:
    """Let all keys go in the order in which they come."""
    return False


class Queue:
    """Reconciles keys with a fixed number of workers. All its methods belong to the loop that runs it.

    `presses` says of a key whether it goes before others: those for which something is down.
    """

    def __init__(
        self,
        reconcile: Reconcile,
        presses: Callable[[Key], bool] = _none_presses,
        *,
        workers: int = 8,
        backoff: Backoff | None = None,
        timeout_seconds: float = 300.0,
    ) -> None:
        self._reconcile = reconcile
        self._workers = workers
        self._backoff = backoff or Backoff()
        self._timeout_seconds = timeout_seconds
        self._presses = presses
        self._ready: asyncio.PriorityQueue[tuple[bool, int, Key]] = asyncio.PriorityQueue()
        self._count = itertools.count()
        self._waiting: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._wanted: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._told: dict[Key, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def add(self, key: Key, after_seconds: float = 0.0) -> None:
        """Have a key reconciled, now or later. Of several wishes the earliest counts.

        A key that is being reconciled is looked at again afterwards: what changed meanwhile may not have been seen.
        """
        if self._stopping or key in self._waiting:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(after_seconds, 0.0)
        if key in self._running:
            self._wanted[key] = min(when, self._wanted.get(key, when))
            return
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        if after_seconds > 0:
            self._timers[key] = loop.call_at(when, self._make_ready, key)
        else:
            self._make_ready(key)

    def _make_ready(self, key: Key) -> None:
        self._timers.pop(key, None)
        self._waiting.add(key)
        self._ready.put_nowait((not self._presses(key), next(self._count), key))

    async def run(self) -> None:
        """Reconcile until `stop`."""
        async with asyncio.TaskGroup() as group:
            self._tasks = [
                group.create_task(self._work(), name=f"worker {number}") for number in range(self._workers)
            ]

    async def stop(self, patience_seconds: float) -> None:
        """Take no more keys and let those under way be finished; what takes longer than that is cut off."""
        self._stopping = True
        for timer in self._timers.values():
            timer.cancel()
        busy = set(self._running.values())
        for task in self._tasks:
            if task not in busy:
                task.cancel()
        if not busy:
            return
        _, late = await asyncio.wait(busy, timeout=patience_seconds)
        for task in late:
            task.cancel()
        if late:
            _log.warning("cut off %d reconciles that did not end within %g s", len(late), patience_seconds)

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while not self._stopping:
            _, _, key = await self._ready.get()
            self._waiting.discard(key)
            self._running[key] = task
            try:
                again_seconds = await self._attempt(key, task)
            finally:
                del self._running[key]
            self._come_back(key, again_seconds)

    def _come_back(self, key: Key, again_seconds: float | None) -> None:
        wanted = self._wanted.pop(key, None)
        if again_seconds is not None:
            self.add(key, again_seconds)
        if wanted is not None:
            self.add(key, wanted - asyncio.get_running_loop().time())

    async def _attempt(self, key: Key, task: asyncio.Task[None]) -> float | None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                again_seconds = await self._reconcile(key)
        except asyncio.CancelledError as error:
            if task.cancelling():
                raise
            # something within was cancelled, not this worker: a worker that ends here would be missed by nobody
            return self._failed(key, RuntimeError(f"a part of it was cancelled: {error!r}"))
        except Exception as error:  # noqa: BLE001  a bug in one decision must not stop the others
            return self._failed(key, error)
        if key in self._told:
            _log.info("%s: works again after %d failures", key, self._failures[key])
        self._failures.pop(key, None)
        self._told.pop(key, None)
        return again_seconds

    def _failed(self, key: Key, error: Exception) -> float:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        delay = self._backoff.delay(failures, error, presses=self._presses(key))
        if isinstance(error, _PASSES_BY_ITSELF) and failures == 1:
            _log.debug("%s: %s: %s", key, type(error).__name__, error)
            return delay
        text = f"{type(error).__name__}: {error}"
        if self._told.get(key) != text:  # the same again is no news
            traceback = None if isinstance(error, ClusterError) else error
            _log.warning("%s: %s; trying again in %g s", key, text, delay, exc_info=traceback)
            self._told[key] = text
        return delay
