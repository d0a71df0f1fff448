"""Runs of one namespace take turns.

Whether a run may begin depends on the others of its namespace. Two that look at each other at the same moment, both
still waiting, would both begin; so each is decided, and its status written, before the next one looks.
"""

import asyncio
from weakref import WeakValueDictionary

from becalm_operator.api.backup import Backup
from becalm_operator.api.restore import Restore
from becalm_operator.cluster.port import Key
from becalm_operator.handlers.queue import Reconcile

_RUNS = (Backup.kind, Restore.kind)


class Turns:
    """Wraps a reconcile function."""

    def __init__(self, reconcile: Reconcile) -> None:
        self._reconcile = reconcile
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def reconcile(self, key: Key) -> float | None:
        """Reconcile a key, a run when no other one of its namespace is being reconciled."""
        if key.kind not in _RUNS:
            return await self._reconcile(key)
        lock = self._locks.setdefault(key.namespace, asyncio.Lock())
        async with lock:
            return await self._reconcile(key)
