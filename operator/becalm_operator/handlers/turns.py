"""Runs that have not begun take turns.

Whether one may begin depends on the others. Two that look at each other at the same moment, both still waiting, would
both begin; so each is decided about, and its status written, before the next one looks. Those that have begun look at
nobody, and wait for nobody.

Nor does a worker wait here: where many runs wait for their turns, all workers would, and nobody would look after what
is down. Who comes too early stands in line, and is called.
"""

from collections import defaultdict
from collections.abc import Callable

from becalm_operator.cluster.port import Key
from becalm_operator.handlers.queue import Reconcile


class Turns:
    """A line in each namespace; one for all where limits hold `everywhere`. `call` has a key looked at."""

    def __init__(self, call: Callable[[Key], None], *, everywhere: bool = False) -> None:
        self._call = call
        self._everywhere = everywhere
        self._lines: defaultdict[str, dict[Key, None]] = defaultdict(dict)

    def has_come(self, key: Key) -> bool:
        """Say whether it is the turn of a key. If not it is called when it is, in the order in which they came."""
        line = self._lines[self._place(key)]
        line.setdefault(key)
        return next(iter(line)) == key

    def taken(self, reconcile: Reconcile) -> Reconcile:
        """Return a reconcile function with which a turn ends, however it ends."""

        async def taking(key: Key) -> float | None:
            try:
                return await reconcile(key)
            finally:
                self._next_one(key)

        return taking

    def _next_one(self, key: Key) -> None:
        place = self._place(key)
        line = self._lines.get(place, {})
        if next(iter(line), None) != key:
            return
        del line[key]
        if line:
            self._call(next(iter(line)))
        else:
            del self._lines[place]

    def _place(self, key: Key) -> str:
        return "" if self._everywhere else key.namespace
