import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.api import names
from becalm_operator.cluster.port import Key
from becalm_operator.handlers import observer as observer_module
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
        async with ApiClient(self.configuration) as client:
            watching = Observer(client, namespaces, self.heartbeats, self.woken.append)
            task = asyncio.create_task(watching.run())
            try:
                await until(lambda: self.server.watched() == ALL)
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
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


@pytest.mark.parametrize("status", [401, 503])
async def test_an_api_server_that_refuses_everybody_for_a_while_ends_no_watch(
    api_server: FakeApiServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(observer_module, "_RETRY_SECONDS", (0.01, 0.02))
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


@pytest.mark.slow  # kopf waits five seconds for stragglers
async def test_watches_that_ended_are_started_again(
    api_server: FakeApiServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer_module, "_RESTART_SECONDS", (0.01, 0.05))
    watching = Watching(api_server)
    async with watching.going_on():
        api_server.status = 404  # as if the custom resources were deleted
        api_server.break_watches()
        await until(lambda: "the watches have ended" in caplog.text)
        api_server.status = 200
        await until(lambda: api_server.watched() == ALL)


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
