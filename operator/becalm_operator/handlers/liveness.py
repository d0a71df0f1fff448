"""Liveness: what has to give a sign of life, and the endpoint that tells the kubelet when it does not.

kopf's own endpoint answers as long as its loop turns, also when a watch has silently ended. Here each watch is expected
by itself: kopf opens it anew every minute, and one that is not opened any more is dead. Signs of life are attempts, not
successes: when the API server is down, a restart of the operator would help nobody and delay what comes after.

Nor does a restart give permissions back. So an operator of which every watch is refused is alive, for its sweep goes
on, but it is not ready. Nor is one that cannot renew its Lease beyond its term: it tries on, and does nothing else.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from becalm_operator.handlers.endpoint import answering

_log = logging.getLogger(__name__)


class Heartbeats:
    """When each expected thing has last given a sign of life. May be used from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._within: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self.ready = False
        self.blind = False
        """Every watch is refused."""
        self.holds_lease: Callable[[], bool] = lambda: True
        """Says of one that is ready whether it still has the Lease."""

    def expect(self, name: str, within_seconds: float) -> None:
        """Expect a sign of life at least so often, from now on."""
        self._last[name] = self._clock()
        self._within[name] = within_seconds

    def beat(self, name: str) -> None:
        """Note a sign of life; one of something that nobody expects is none."""
        if name in self._within:
            self._last[name] = self._clock()

    def overdue(self) -> list[str]:
        """Return what is not alive, for people."""
        now = self._clock()
        silences = {name: now - self._last[name] for name in list(self._within)}
        return [
            f"{name}: no sign of life for {silence:.0f} s"
            for name, silence in silences.items()
            if silence > self._within[name]
        ]


@asynccontextmanager
async def serving(port: int, heartbeats: Heartbeats) -> AsyncIterator[None]:
    """Serve /healthz and /readyz meanwhile, on all addresses."""

    async def healthz(_: web.Request) -> web.Response:
        overdue = heartbeats.overdue()
        if overdue:
            _log.error("not alive: %s", "; ".join(overdue))
            return web.Response(status=500, text="\n".join(overdue) + "\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if not heartbeats.ready:
            return web.Response(status=503, text="another operator holds the Lease\n")
        if not heartbeats.holds_lease():
            return web.Response(status=503, text="the Lease cannot be renewed: the log says why\n")
        if heartbeats.blind:
            return web.Response(status=503, text="every watch is refused: the log says what to do\n")
        return web.Response(text="ok\n")

    async with answering(port, {"/healthz": healthz, "/readyz": readyz}):
        yield
