"""The vigil: over a real connection, whom a pod concerns; in virtual time, for how long anybody watches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.restore import Restore
from becalm_operator.cluster.pod_watch import PodWatch, Sight
from becalm_operator.cluster.port import Key
from becalm_operator.errors import ClusterError, ExpiredError, RefusedError, UnavailableError
from becalm_operator.handlers import vigil as vigil_module
from becalm_operator.handlers.vigil import Vigil
from becalm_operator.plan.world import Pod
from tests.operator.handlers.api import FakeApiServer, fake_api_server
from tests.operator.handlers.test_observer import until
from tests.operator.handlers.virtual_time import virtually

RUN = Key("Backup", "shop", "nightly")
OTHER = Key("Backup", "shop", "other")
RESTORE = Key("Restore", "shop", "monday")
HELD = [Phase.QUIESCING, Phase.DRAINING, Phase.CAPTURING, Phase.RESUMING]
FREE = [phase for phase in Phase if phase not in (*HELD, Phase.RESTORING)]


def backup(phase: Phase, *claims: str) -> Backup:
    """Return a Backup that reads these claims."""
    spec = {"repositoryRef": {"name": "main"}, "workloads": [{"kind": "Deployment", "name": "web"}]}
    volumes = [{"claim": claim} for claim in claims]
    metadata = {"name": "nightly", "namespace": "shop", "uid": "uid"}
    return Backup.model_validate(
        {"metadata": metadata, "spec": spec, "status": {"phase": phase, "volumes": volumes}}
    )


def restore(phase: Phase, claim: str, into: str) -> Restore:
    """Return a Restore of one claim into another."""
    spec = {
        "repositoryRef": {"name": "main"},
        "source": {"backupName": "b"},
        "targets": [{"claim": claim, "to": into}],
    }
    metadata = {"name": "monday", "namespace": "shop", "uid": "uid"}
    return Restore.model_validate({"metadata": metadata, "spec": spec, "status": {"phase": phase}})


def pod(name: str, *claims: str, ephemeral: str = "", **labels: str) -> dict[str, Any]:
    """Return a pod that mounts these claims."""
    volumes: list[dict[str, Any]] = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    volumes += [{"name": ephemeral, "ephemeral": {}}] if ephemeral else []
    made = "2026-11-30T12:00:00Z"
    metadata = {"namespace": "shop", "name": name, "uid": name, "labels": labels, "creationTimestamp": made}
    return {"metadata": metadata, "spec": {"volumes": [{"name": "tmp", "emptyDir": {}}, *volumes]}}


class Scene:
    def __init__(self, server: FakeApiServer, vigil: Vigil, woken: list[Key]) -> None:
        self.server = server
        self.vigil = vigil
        self.woken = woken

    async def is_watching(self) -> None:
        await until(lambda: "pods" in self.server.watched())

    async def sees(self, key: Key) -> None:
        await until(lambda: key in self.woken)
        self.woken.clear()


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(vigil_module, "_PAUSE_SECONDS", (0.01, 0.05))
    async with fake_api_server() as server, keeping(server) as scene:
        yield scene


@asynccontextmanager
async def keeping(server: FakeApiServer) -> AsyncIterator[Scene]:
    async with ApiClient(Configuration(host=server.url)) as client:
        woken = list[Key]()
        async with running(Vigil(PodWatch(client).changes), woken) as vigil:
            yield Scene(server, vigil, woken)


@asynccontextmanager
async def running(vigil: Vigil, woken: list[Key]) -> AsyncIterator[Vigil]:
    task = asyncio.create_task(vigil.run(woken.append))
    await asyncio.sleep(0)  # it begins
    try:
        yield vigil
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Watches:
    """Watches of pods that tell of one pod each, and last until they are broken."""

    def __init__(self, *claims: str) -> None:
        self.claims = claims
        self.begun, self.going_on = 0, 0
        self._broken = asyncio.Event()

    async def changes(self, namespace: str, since: str) -> AsyncIterator[Sight]:
        self.begun += 1
        self.going_on += 1
        try:
            yield Sight("1", Pod("web-1", "", self.claims, ended=True))
            await self._broken.wait()
        finally:
            self.going_on -= 1

    async def break_all(self) -> None:
        """Break what goes on; who wants to watch on opens a new one meanwhile."""
        self._broken.set()
        await asyncio.sleep(0)
        self._broken.clear()
        await asyncio.sleep(60)


@pytest.mark.parametrize("change", ["ADDED", "MODIFIED", "DELETED"])
async def test_a_pod_that_comes_to_a_claim_or_leaves_it_wakes_its_run(scene: Scene, change: str) -> None:
    scene.vigil.saw(RUN, backup(Phase.DRAINING, "data"))
    scene.vigil.saw(OTHER, backup(Phase.DRAINING, "cache"))
    await scene.is_watching()

    scene.server.put("pods", pod("web-1", "uploads", "data"), type_=change)

    await scene.sees(RUN)
    scene.server.put("pods", pod("redis-1", "cache"), type_=change)
    await until(lambda: scene.woken == [OTHER])


@pytest.mark.parametrize("phase", [Phase.QUIESCING, Phase.RESUMING])
async def test_while_workloads_go_and_come_every_pod_matters(scene: Scene, phase: Phase) -> None:
    scene.vigil.saw(RUN, backup(phase, "data"))
    await scene.is_watching()
    scene.server.put("pods", pod("without-claims"))
    await scene.sees(RUN)


async def test_a_claim_that_is_made_for_a_pod_is_known_by_the_pods_name(scene: Scene) -> None:
    scene.vigil.saw(RUN, backup(Phase.CAPTURING, "web-1-scratch"))
    await scene.is_watching()
    scene.server.put("pods", pod("web-1", ephemeral="scratch"))
    await scene.sees(RUN)


async def test_a_restore_is_woken_by_the_claim_that_it_writes_to(scene: Scene) -> None:
    scene.vigil.saw(RESTORE, restore(Phase.RESTORING, "data", into="copy"))
    await scene.is_watching()
    scene.server.put("pods", pod("one", "data"))
    scene.server.put("pods", pod("two", "copy"))
    await until(lambda: scene.woken == [RESTORE])


async def test_it_knows_for_whom_something_is_down(scene: Scene) -> None:
    for phase in Phase:
        scene.vigil.saw(RUN, backup(phase, "data"))
        assert scene.vigil.looks_after(RUN) == (phase in (*HELD, Phase.RESTORING))
    assert not scene.vigil.looks_after(OTHER)


async def test_movers_are_watched_elsewhere(scene: Scene) -> None:
    scene.vigil.saw(RUN, backup(Phase.CAPTURING, "data"))
    await scene.is_watching()
    mover = pod("mover", "data")
    mover["metadata"]["labels"] = {
        names.OWNER_KIND_LABEL: "Backup",
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
    }
    scene.server.put("pods", mover, type_="ADDED")
    scene.server.put("pods", pod("web-1", "data"), type_="ADDED")
    await until(lambda: scene.woken == [RUN])
    assert [one.name for one in scene.vigil.passed("shop")] == ["web-1"]


async def test_a_pod_that_only_looks_like_a_mover_is_watched_here(scene: Scene) -> None:
    scene.vigil.saw(RUN, backup(Phase.CAPTURING, "data"))
    await scene.is_watching()
    alike = pod("alike", "data")
    alike["metadata"]["labels"] = {names.OWNER_KIND_LABEL: "Backup"}
    scene.server.put("pods", alike)
    await scene.sees(RUN)


async def test_a_pod_that_came_and_went_is_remembered_until_nothing_is_down(scene: Scene) -> None:
    scene.vigil.saw(RUN, backup(Phase.CAPTURING, "data"))
    await scene.is_watching()
    for change in ("ADDED", "DELETED"):
        scene.server.put("pods", pod("visitor", "data", "tmp"), type_=change)
        scene.server.put("pods", pod("elsewhere", "cache"), type_=change)
    await scene.sees(RUN)

    created = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert scene.vigil.passed("shop") == [Pod("visitor", "", ("data", "tmp"), created=created, ended=True)]
    assert scene.vigil.passed("office") == []
    scene.vigil.saw(RUN, backup(Phase.UPLOADING, "data"))
    assert scene.vigil.passed("shop") == []


async def test_pods_that_are_there_when_the_stopping_begins_are_no_visitors(scene: Scene) -> None:
    scene.vigil.saw(RUN, backup(Phase.QUIESCING, "data"))
    await scene.is_watching()
    scene.server.put("pods", pod("web-1", "data"), type_="ADDED")
    await scene.sees(RUN)
    scene.vigil.saw(RUN, backup(Phase.DRAINING, "data"))
    scene.server.put("pods", pod("web-1", "data"), type_="DELETED")
    await scene.sees(RUN)

    assert scene.vigil.passed("shop") == []


async def test_what_comes_and_goes_between_two_watches_is_told(scene: Scene) -> None:
    scene.vigil.saw(RUN, backup(Phase.CAPTURING, "data"))
    await scene.is_watching()

    scene.server.break_watches()
    for change in ("ADDED", "DELETED"):
        scene.server.put("pods", pod("visitor", "data"), type_=change)

    await scene.sees(RUN)
    assert [one.name for one in scene.vigil.passed("shop")] == ["visitor"]


class Ends:
    """Watches that show one sight each, and end as they are told to. Notes where each was to begin, and when."""

    def __init__(self, *ends: BaseException | None) -> None:
        self.begun: list[tuple[str, float]] = []
        self._ends = iter(ends)

    async def changes(self, namespace: str, since: str) -> AsyncIterator[Sight]:
        loop = asyncio.get_running_loop()
        self.begun.append((since, loop.time()))
        end = next(self._ends, None)
        if end is not None:
            raise end
        await asyncio.sleep(45)
        for number in () if since else (len(self.begun),):
            yield Sight(str(number))


def begun(*ends: BaseException | None, seconds: float = 300) -> list[tuple[str, float]]:
    """Return where watches were to begin, and how long after the one before it each did."""

    async def scenario() -> None:
        async with running(Vigil(watches.changes), []) as vigil:
            vigil.saw(RUN, backup(Phase.CAPTURING, "data"))
            await asyncio.sleep(seconds)
            assert vigil.looks_after(RUN)

    watches = Ends(*ends)
    virtually(scenario())
    times = [when for _, when in watches.begun]
    pauses = [0.0, *(later - before for before, later in pairwise(times))]
    return [(since, pause) for (since, _), pause in zip(watches.begun, pauses, strict=True)]


def test_a_watch_that_ends_in_good_order_goes_on_at_once_though_it_has_shown_nothing() -> None:
    found = begun()

    assert len(found) == 7
    assert {since for since, _ in found[1:]} == {"1"}
    assert all(pause == pytest.approx(45.5) for _, pause in found[1:])


@pytest.mark.parametrize(
    ("error", "since"),
    [
        (UnavailableError("away"), "1"),
        (ExpiredError("too long ago"), ""),
        (RefusedError("forbidden"), ""),
        (RuntimeError("a bug"), ""),
        (asyncio.CancelledError(), "1"),
    ],
    ids=str,
)
def test_after_an_error_it_goes_on_where_it_was_if_that_can_be(error: BaseException, since: str) -> None:
    found = begun(None, error, error, error, None, None)

    assert [place for place, _ in found[:2]] == ["", "1"]
    assert [place for place, _ in found[2:5]] == [since] * 3
    assert [pause for _, pause in found[2:5]] == pytest.approx([0.5, 1, 2])


@pytest.mark.parametrize(
    ("status", "why", "kind"),
    [
        (410, "too old resource version", ExpiredError),
        (504, "Timeout: Too large resource version: 9, current: 1", ExpiredError),
        (503, "not now", UnavailableError),
    ],
)
async def test_a_version_that_is_not_known_any_more_is_told_from_an_outage(
    scene: Scene, status: int, why: str, kind: type[ClusterError]
) -> None:
    scene.server.status, scene.server.refusal = status, why
    async with ApiClient(Configuration(host=scene.server.url)) as client:
        with pytest.raises(kind) as caught:
            async for _ in PodWatch(client).changes("shop", "9"):
                pass
    assert type(caught.value) is kind


@pytest.mark.parametrize("phase", HELD)
def test_nobody_is_watched_for_a_run_that_is_over(phase: Phase) -> None:
    async def scenario() -> None:
        watches, woken = Watches("data"), list[Key]()
        async with running(Vigil(watches.changes), woken) as vigil:
            vigil.saw(RUN, backup(phase, "data"))
            vigil.saw(OTHER, backup(phase, "data"))
            await asyncio.sleep(0)
            vigil.saw(OTHER, None)
            woken.clear()
            await watches.break_all()
            assert (watches.begun, watches.going_on, woken) == (2, 1, [RUN])

            vigil.saw(RUN, backup(Phase.SUCCEEDED, "data"))
            vigil.saw(RUN, None)  # it may be told twice
            await watches.break_all()
            assert (watches.begun, watches.going_on) == (2, 0)

    virtually(scenario())


@pytest.mark.parametrize("phase", FREE)
def test_while_nothing_is_down_no_pod_is_watched(phase: Phase) -> None:
    async def scenario() -> None:
        watches = Watches()
        async with running(Vigil(watches.changes), []) as vigil:
            vigil.saw(RUN, backup(phase, "data"))
            await asyncio.sleep(3600)
        assert watches.begun == 0

    virtually(scenario())


async def test_a_watch_that_is_refused_or_broken_is_opened_again_and_tells_of_what_was_missed(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    scene.server.status = 403
    scene.vigil.saw(RUN, backup(Phase.DRAINING, "data"))
    await until(lambda: "watching pods of shop: not now" in caplog.text)
    scene.server.put("pods", pod("web-1", "data"))
    scene.server.status = 200
    await scene.sees(RUN)

    scene.server.break_watches()
    scene.server.put("pods", pod("web-2", "data"))

    await scene.sees(RUN)


@pytest.mark.parametrize(
    "told",
    [
        b'{"type": "ERROR", "object": {"message": "too old", "code": 410}}\n',
        b'{"type": "ERROR", "object": {"message": "ill", "code": 500}}\n',
        b'{"type": "ADDED", "obj',
    ],
    ids=str,
)
async def test_what_makes_no_sense_ends_a_watch_and_not_the_vigil(
    scene: Scene, caplog: pytest.LogCaptureFixture, told: bytes
) -> None:
    caplog.set_level("INFO")
    scene.vigil.saw(RUN, backup(Phase.DRAINING, "data"))
    await scene.is_watching()

    scene.server.garble(told)

    await until(lambda: "look for pods every few seconds" in caplog.text)
    await scene.is_watching()
    scene.server.put("pods", pod("web-1", "data"))
    await scene.sees(RUN)


def test_no_watch_outlives_the_vigil() -> None:
    async def scenario() -> None:
        watches = Watches()
        async with running(Vigil(watches.changes), []) as vigil:
            vigil.saw(RUN, backup(Phase.DRAINING, "data"))
            await asyncio.sleep(60)
            assert (watches.begun, watches.going_on) == (1, 1)
        assert watches.going_on == 0
        await watches.break_all()
        assert watches.begun == 1

    virtually(scenario())
