"""The vigil: where something is down, pods are watched, so that their end is seen at once and nobody comes unseen.

A watch on every pod of a cluster would cost memory and CPU at all times. This one lasts as long as a run of the
namespace stops workloads, reads what stands still, or starts them again. Where it fails, the runs look again by
themselves after some seconds.

A look shows the pods that are there. One that came to a claim and is gone again before anybody looks has perhaps
written to it, so the vigil remembers it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.restore import Restore
from becalm_operator.cluster.pod_watch import Sight
from becalm_operator.cluster.port import Key, Resource
from becalm_operator.errors import ClusterError, ExpiredError
from becalm_operator.handlers.queue import doubled
from becalm_operator.plan.world import Pod

Changes = Callable[[str, str], AsyncIterator[Sight]]
"""Watches a namespace from a version on: yields each pod of others that comes, changes or goes."""

_MOVING = (Phase.QUIESCING, Phase.RESUMING)
_STILL = (Phase.DRAINING, Phase.CAPTURING, Phase.RESTORING)
_PAUSE_SECONDS = (0.5, 15.0)
"""Before a watch goes on, and at most, if it keeps failing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Interest:
    """What a run waits for: pods that mount its claims, or `all` while workloads go and come."""

    claims: frozenset[str]
    all: bool


class Vigil:
    """Watches where it has to. All its methods belong to the loop that `run` runs in."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._wake: Callable[[Key], None] = lambda _: None
        self._runs: dict[str, dict[Key, _Interest]] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._passed: dict[str, dict[tuple[str, datetime | None], Pod]] = {}

    def saw(self, key: Key, resource: Resource | None) -> None:
        """Note how an object of ours stands; None if it is gone."""
        interest = _interest(resource)
        runs = self._runs.get(key.namespace, {})
        if interest:
            self._runs.setdefault(key.namespace, runs)[key] = interest
            if key.namespace not in self._watches:
                self._watches[key.namespace] = asyncio.create_task(self._watch(key.namespace))
        elif runs.pop(key, None) and not runs:
            del self._runs[key.namespace]
            self._passed.pop(key.namespace, None)
            self._watches.pop(key.namespace).cancel()

    def looks_after(self, key: Key) -> bool:
        """Say whether something is down for a run, or goes or comes, as far as it was seen."""
        return key in self._runs.get(key.namespace, {})

    def passed(self, namespace: str) -> Sequence[Pod]:
        """Return the pods that have come to a claim while it was to be still. They may be gone."""
        return [*self._passed.get(namespace, {}).values()]

    async def run(self, wake: Callable[[Key], None]) -> NoReturn:
        """Have runs looked at by `wake` until cancelled, and end all watches then."""
        self._wake = wake
        try:
            while True:
                await asyncio.Event().wait()
        finally:
            watches = [*self._watches.values()]
            self._watches.clear()
            self._runs.clear()
            self._passed.clear()
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def _watch(self, namespace: str) -> NoReturn:
        """Watch without a gap: a watch goes on where the one before it has ended."""
        shortest, longest = _PAUSE_SECONDS
        failed, since = 0, ""
        while True:
            failed += 1
            try:
                async for sight in self._changes(namespace, since):
                    failed, since = 0, sight.version or since
                    if sight.pod is not None:
                        self._tell(namespace, sight.pod, came=sight.came)
                failed = 0
            except ClusterError as error:
                since = "" if isinstance(error, ExpiredError) or not error.retryable else since
                _log.info("runs in %s look for pods every few seconds: %s", namespace, error)
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                _log.warning("a watch of pods of %s was cancelled from within; it goes on", namespace)
            except Exception:  # noqa: BLE001  runs go on without it
                since = ""
                _log.exception("pods of %s are not watched for the moment", namespace)
            await asyncio.sleep(doubled(shortest, max(failed, 1), longest))

    def _tell(self, namespace: str, pod: Pod, *, came: bool) -> None:
        claims = frozenset(pod.claims)
        for key, interest in self._runs.get(namespace, {}).items():
            mounts = bool(interest.claims & claims)
            # those that are there when the stopping begins end by it, whatever two clocks say of when
            if mounts and came and not interest.all:
                self._passed.setdefault(namespace, {})[pod.name, pod.created] = pod
            if mounts or interest.all:
                self._wake(key)


def _is_cancelled() -> bool:
    """Say whether it is this task that is to end, and not something within it that was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _interest(resource: Resource | None) -> _Interest | None:
    """Return what a run waits for; None if pods do not matter now."""
    if not isinstance(resource, Backup | Restore) or resource.status.phase not in (*_MOVING, *_STILL):
        return None
    if isinstance(resource, Restore):
        claims = frozenset(target.into for target in resource.spec.targets)
    else:
        claims = frozenset(volume.claim for volume in resource.status.volumes)
    return _Interest(claims, all=resource.status.phase in _MOVING)
