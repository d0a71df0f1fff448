"""kopf: its watches, and nothing else of it.

It runs in a thread and an event loop of its own, for it takes over the process's signals, and cancels every task of its
loop when it ends, whoever has started them. When it ends, it is started again; the queue and the sweep go on meanwhile.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, cast

import kopf
from kubernetes.aio.client import ApiClient

from becalm_operator.cluster.port import Key
from becalm_operator.handlers.liveness import Heartbeats
from becalm_operator.handlers.refusals import Refusals
from becalm_operator.handlers.session import watching_session
from becalm_operator.handlers.watches import WATCHED, Interests, IsNews

_WATCH_SECONDS = 45
"""How long one watch lasts before it is opened anew: the sign of life that is waited for."""
_SILENCE_SECONDS = 60.0
"""When a watch that brings nothing at all is given up."""
_ALIVE_SECONDS = 150.0
"""A watch's length, then the silence, then the longest pause between two tries of a request."""
_RETRY_SECONDS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)
_RESTART_SECONDS = (1.0, 30.0)
_STOP_SECONDS = 3.0
_END_SECONDS = 8.0
"""How long kopf may take to end by itself. It waits five seconds for stragglers, and then for ever if one hangs."""
_PAGE = 500

_log = logging.getLogger(__name__)


class Observer:
    """Watches, and tells of every object that should be looked at."""

    def __init__(
        self,
        client: ApiClient,
        namespaces: tuple[str, ...],
        heartbeats: Heartbeats,
        wake: Callable[[Key], None],
        is_news: IsNews = lambda *_: True,
    ) -> None:
        self._client = client
        self._namespaces = namespaces
        self._heartbeats = heartbeats
        self._refusals = Refusals(namespaces, heartbeats)
        self._wake = wake
        self._is_news = is_news
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    async def run(self) -> NoReturn:
        """Watch until cancelled."""
        pause, longest = _RESTART_SECONDS
        for watched in WATCHED:
            for namespace in self._namespaces or ("",):
                self._heartbeats.expect(watched.path(namespace), _ALIVE_SECONDS)
        while True:
            started = asyncio.get_running_loop().time()
            error = await self._watch()
            if asyncio.get_running_loop().time() - started > longest:
                pause = _RESTART_SECONDS[0]
            _log.warning("the watches have ended, starting them again in %g s: %r", pause, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)

    async def _watch(self) -> Exception | None:
        """Run kopf once, and return why it has ended."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Exception | None] = loop.create_future()
        # a daemon: a thread that does not end must not keep the process from ending
        threading.Thread(target=self._in_thread, args=(loop, ended), name="kopf", daemon=True).start()
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            self._ask_to_stop()
            await asyncio.wait([ended], timeout=_STOP_SECONDS)
            raise

    def _ask_to_stop(self) -> None:
        self._stopping.set()  # a thread that has just been started has no loop yet
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(stop.set)

    def _in_thread(self, owner: asyncio.AbstractEventLoop, ended: asyncio.Future[Exception | None]) -> None:
        error: Exception | None = None
        try:
            asyncio.run(self._kopf(owner))
        except Exception as caught:  # noqa: BLE001  whatever it is, it is told where the watches are started again
            error = caught
        finally:
            with contextlib.suppress(RuntimeError):  # the owner has ended without us
                owner.call_soon_threadsafe(_settle, ended, error)

    async def _kopf(self, owner: asyncio.AbstractEventLoop) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if self._stopping.is_set():
            return
        # when one watch fails, kopf raises its error, and lets those of the others fall where only the loop sees them
        self._loop.set_exception_handler(lambda _, context: _log.debug("kopf: %s", context["message"]))
        interests = Interests(self._is_news)

        def seen(event: Mapping[str, Any]) -> None:
            for key in interests.concerned(event):
                with contextlib.suppress(RuntimeError):
                    owner.call_soon_threadsafe(self._wake, key)

        async with (
            watching_session(self._client, self._heartbeats.beat, self._refusals) as session,
            asyncio.timeout(None) as patience,
        ):
            await kopf.operator(
                registry=_registry(
                    seen,
                    kopf.AiohttpSession(server=self._client.configuration.host, aiohttp_session=session),
                    ending=lambda: patience.reschedule(asyncio.get_running_loop().time() + _END_SECONDS),
                ),
                settings=_settings(),
                standalone=True,
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                # without a name kopf asks who the user is, and a container's user may be in no list
                identity=cast("Any", "becalm-operator"),
                stop_flag=self._stop,
            )


def _settle(ended: asyncio.Future[Exception | None], error: Exception | None) -> None:
    if not ended.done():
        ended.set_result(error)


def _registry(
    seen: Callable[[Mapping[str, Any]], None], session: kopf.AiohttpSession, ending: Callable[[], None]
) -> kopf.OperatorRegistry:
    """Return kopf's handlers: one for all events, the login, and its end. With no others kopf writes to no object."""
    registry = kopf.OperatorRegistry()

    async def on_event(event: kopf.RawEvent, **_: Any) -> None:
        try:
            seen(event)
        except Exception:  # noqa: BLE001  kopf would log the object with it
            _log.exception("an event was not understood; the resync makes up for it")

    async def login(**_: Any) -> kopf.AiohttpSession:
        return session

    async def on_cleanup(**_: Any) -> None:
        ending()

    for watched in WATCHED:
        selected = kopf.on.event(
            group=watched.group,
            version=watched.version,
            plural=watched.plural,
            id=watched.plural,
            registry=registry,
        )
        selected(on_event)
    kopf.on.login(id="session", registry=registry)(login)
    kopf.on.cleanup(id="ending", registry=registry)(on_cleanup)
    return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    # kopf takes the finalizer that it is told is its own off everything it watches, also when another operator
    # built with kopf has put it there; so this one must be nobody's
    settings.persistence.finalizer = "becalm.dev/kopf-sets-no-finalizer"
    settings.process.ultimate_exiting_timeout = None
    settings.networking.request_timeout = 60.0
    settings.networking.connect_timeout = 10.0
    settings.networking.error_backoffs = _RETRY_SECONDS
    settings.watching.server_timeout = _WATCH_SECONDS
    settings.watching.client_timeout = _WATCH_SECONDS + 30.0
    settings.watching.connect_timeout = 10.0
    settings.watching.inactivity_timeout = _SILENCE_SECONDS
    settings.watching.chunk_size = _PAGE
    for watched in WATCHED:
        if watched.selector:
            place = (watched.group, watched.version, watched.plural)
            settings.watching.label_selectors[place] = watched.selector
    return settings
