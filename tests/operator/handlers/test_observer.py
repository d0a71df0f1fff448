import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.api import names
from becalm_operator.cluster.port import Key
from becalm_operator.handlers import observer as observer_module
from becalm_operator.handlers import refusals, session
from becalm_operator.handlers.liveness import Heartbeats
from becalm_operator.handlers.observer import Observer
from becalm_operator.handlers.watches import WATCHED
from tests.operator.handlers.api import FakeApiServer, fake_api_server

ALL = {watched.plural for watched in WATCHED}


@pytest.fixture
async def api_server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:
        yield server


class Watching:
    def __init__(self, server: FakeApiServer, configuration: Configuration | None = None) -> None:
        self.server = server
        self.configuration = configuration or Configuration(host=server.url)
        self.woken: list[Key] = []
        self.time = 0.0
        self.heartbeats = Heartbeats(lambda: self.time)

    @asynccontextmanager
    async def going_on(self, namespaces: tuple[str, ...] = ()) -> AsyncIterator[None]:
        async with self.begun(namespaces):
            await until(lambda: self.server.watched() == ALL)
            yield

    @asynccontextmanager
    async def begun(self, namespaces: tuple[str, ...] = ()) -> AsyncIterator[None]:
        async with ApiClient(self.configuration) as client:
            watching = Observer(client, namespaces, self.heartbeats, self.woken.append)
            task = asyncio.create_task(watching.run())
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                await until(lambda: "kopf" not in {thread.name for thread in threading.enumerate()})


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  it may be true of another process
            await asyncio.sleep(0.005)


def object_of(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", **metadata}}


async def test_objects_that_exist_and_objects_that_come_are_told(api_server: FakeApiServer) -> None:
    api_server.put("backups", object_of("old"))
    watching = Watching(api_server)
    async with watching.going_on():
        await until(lambda: Key("Backup", "shop", "old") in watching.woken)
        api_server.put("restores", object_of("new"), type_="ADDED")
        await until(lambda: Key("Restore", "shop", "new") in watching.woken)


async def test_nothing_is_ever_written_to_an_object(api_server: FakeApiServer) -> None:
    finalizers = ["kopf.zalando.org/KopfFinalizerMarker", names.FINALIZER]
    watching = Watching(api_server)
    async with watching.going_on():
        for number in range(3):
            api_server.put("backups", object_of("one", finalizers=finalizers, generation=number))
            api_server.put("deployments", object_of("web", finalizers=finalizers, generation=number))
        api_server.put("backups", object_of("last"))
        await until(lambda: Key("Backup", "shop", "last") in watching.woken)
    assert api_server.writes() == []


async def test_only_pods_and_jobs_of_movers_are_asked_for(api_server: FakeApiServer) -> None:
    watching = Watching(api_server)
    async with watching.going_on():
        pass
    selected = {plural for plural, selector in api_server.selectors.items() if selector}
    assert selected == {"jobs", "pods"}


async def test_watches_may_be_limited_to_namespaces(api_server: FakeApiServer) -> None:
    watching = Watching(api_server)
    async with watching.going_on(("shop",)):
        pass
    asked = {path for _, path in api_server.requests if path.rsplit("/", 1)[-1] in ALL}
    assert asked == {watched.path("shop") for watched in WATCHED}


async def test_every_watch_gives_a_sign_of_life_of_its_own(api_server: FakeApiServer) -> None:
    watching = Watching(api_server)
    async with watching.going_on():
        watching.time = 1000.0
        assert len(watching.heartbeats.overdue()) == len(WATCHED)
        api_server.break_watches()
        await until(lambda: not watching.heartbeats.overdue())


async def test_a_broken_watch_is_opened_again_and_misses_nothing(api_server: FakeApiServer) -> None:
    watching = Watching(api_server)
    async with watching.going_on():
        api_server.break_watches()
        await until(lambda: api_server.watched() == ALL)
        api_server.put("backups", object_of("after"))
        await until(lambda: Key("Backup", "shop", "after") in watching.woken)


async def test_a_token_that_was_replaced_is_used_with_the_next_request(api_server: FakeApiServer) -> None:
    configuration = Configuration(host=api_server.url, api_key={"BearerToken": "bearer first"})
    watching = Watching(api_server, configuration)
    async with watching.going_on():
        assert set(api_server.tokens) == {"bearer first"}
        configuration.api_key["BearerToken"] = "bearer second"  # what the client's refresh hook does
        api_server.tokens.clear()
        api_server.break_watches()
        await until(lambda: api_server.watched() == ALL)
        assert set(api_server.tokens) == {"bearer second"}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer_module, "_RETRY_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(refusals, "_REST_SECONDS", (0.01, 0.05))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("status", [401, 403, 404, 503])
async def test_an_api_server_that_refuses_everybody_for_a_while_ends_no_watch(
    api_server: FakeApiServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    watching = Watching(api_server)
    async with watching.going_on():
        api_server.status = status
        api_server.break_watches()
        before = len(api_server.requests)
        await until(lambda: len(api_server.requests) > before + 50)
        watching.time = 1000.0
        await until(lambda: not watching.heartbeats.overdue())
        api_server.status = 200
        await until(lambda: api_server.watched() == ALL)
    assert "the watches have ended" not in caplog.text


async def test_one_that_is_to_stop_before_its_thread_has_begun_stops(api_server: FakeApiServer) -> None:
    async with ApiClient(Configuration(host=api_server.url)) as client:
        watching = Observer(client, (), Heartbeats(lambda: 0.0), lambda _: None)
        watching._ask_to_stop()

        assert await watching._watch() is None

    assert api_server.requests == []


@pytest.mark.slow  # kopf waits five seconds for stragglers
async def test_watches_that_ended_are_started_again(
    api_server: FakeApiServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer_module, "_RESTART_SECONDS", (0.01, 0.05))
    watching = Watching(api_server)
    async with watching.going_on():
        api_server.status = 400  # nobody expects this of a watch
        api_server.break_watches()
        await until(lambda: "the watches have ended" in caplog.text)
        api_server.status = 200
        await until(lambda: api_server.watched() == ALL)


class Divided:
    """An API server that answers with a status where it is asked about the namespace gone, and those who watch it."""

    def __init__(self, server: FakeApiServer, status: int, what: str = "/namespaces/gone/") -> None:
        self.server = server
        self.watching = Watching(server)
        server.status_of = lambda path: status if what in path and "/namespaces/gone/" in path else 200

    def tries(self, namespace: str) -> int:
        """Return how often the watch that was tried least was."""
        paths = [path for _, path in self.server.requests]
        return min(paths.count(watched.path(namespace)) for watched in WATCHED)

    async def pass_some_time(self) -> None:
        """Have all watches of the namespace gone tried again and again, and those of the namespace shop opened anew."""
        before = self.tries("gone")
        await until(lambda: self.tries("gone") >= before + 8)
        before = self.tries("shop")
        self.server.break_watches()
        await until(lambda: self.tries("shop") > before)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        async with self.watching.going_on(("shop", "gone")):
            yield


def told_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return each kind that was told to be refused in the namespace gone, as often as it was told."""
    told = [line.partition(" of namespace gone are not watched: ") for line in caplog.messages]
    return sorted(kind for kinds, found, _ in told if found for kind in kinds.split(", "))


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("status", [403, 404])
async def test_a_namespace_that_is_refused_ends_no_watch_of_another(
    api_server: FakeApiServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    divided = Divided(api_server, status)
    async with divided.going_on():
        for _ in range(3):
            await divided.pass_some_time()
        api_server.put("backups", object_of("after"))
        await until(lambda: Key("Backup", "shop", "after") in divided.watching.woken)
        divided.watching.time = 1000.0
        await divided.pass_some_time()
        assert not divided.watching.heartbeats.overdue()
        assert not divided.watching.heartbeats.blind
    assert told_of(caplog) == sorted(ALL)


@pytest.mark.slow
async def test_a_watch_that_is_refused_rests_before_it_is_tried_again(
    api_server: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    woken = threading.Event()

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        await until(woken.is_set)

    monkeypatch.setattr(session, "asyncio", SimpleNamespace(sleep=rest))
    divided = Divided(api_server, 403)
    async with divided.going_on():
        await until(lambda: len(rests) == len(WATCHED))
        assert rests == [refusals._REST_SECONDS[0]] * len(WATCHED)
        paths = [path for _, path in api_server.requests if "/namespaces/gone/" in path]
        assert sorted(paths) == sorted(watched.path("gone") for watched in WATCHED)

        woken.set()
        await until(lambda: divided.tries("gone") > 1)


@pytest.mark.usefixtures("hasty")
async def test_a_kind_that_may_be_listed_and_not_watched_ends_no_other_watch(
    api_server: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    divided = Divided(api_server, 403, what="watch=true")
    async with divided.going_on():
        await divided.pass_some_time()
        await divided.pass_some_time()
    assert told_of(caplog) == sorted(ALL)


@pytest.mark.usefixtures("hasty")
async def test_a_permission_that_comes_back_is_noticed_and_nothing_is_missed(
    api_server: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger=refusals.__name__)
    divided = Divided(api_server, 403)
    async with divided.going_on():
        await divided.pass_some_time()
        meanwhile = {"metadata": {"namespace": "gone", "name": "meanwhile", "uid": "1"}}
        api_server.put("backups", meanwhile)
        api_server.status_of = lambda _: 200
        await until(lambda: Key("Backup", "gone", "meanwhile") in divided.watching.woken)
    assert "backups of namespace gone are watched again" in caplog.messages


@pytest.mark.usefixtures("hasty")
async def test_an_operator_of_which_every_watch_is_refused_is_blind_and_alive(
    api_server: FakeApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    watching = Watching(api_server)
    async with watching.going_on():
        assert not watching.heartbeats.blind
        api_server.status_of = lambda path: 403 if path.split("?")[0].rsplit("/", 1)[-1] in ALL else 200
        api_server.break_watches()
        await until(lambda: watching.heartbeats.blind)
        watching.time = 1000.0
        await until(lambda: not watching.heartbeats.overdue())
        api_server.status_of = lambda _: 200
        await until(lambda: not watching.heartbeats.blind)


@pytest.mark.slow  # kopf waits five seconds for stragglers
async def test_watches_that_kopf_has_lost_hold_of_are_started_again_with_the_one_that_failed(
    api_server: FakeApiServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer_module, "_RESTART_SECONDS", (0.01, 0.05))
    monkeypatch.setattr(observer_module, "_END_SECONDS", 6.0)
    divided = Divided(api_server, 400)
    async with divided.watching.begun(("shop", "gone")):  # they may never be open all at once
        await until(lambda: "the watches have ended" in caplog.text)
        api_server.status_of = lambda _: 200
        await until(lambda: api_server.watched() == ALL and divided.tries("gone") > 0)


async def test_what_runs_in_the_operators_loop_is_left_alone_when_watching_ends(
    api_server: FakeApiServer,
) -> None:
    watching = Watching(api_server)
    async with watching.going_on():
        bystander: asyncio.Task[None] = asyncio.create_task(_forever())
    assert not bystander.done()
    bystander.cancel()


async def _forever() -> None:
    await asyncio.Event().wait()
