"""A namespace of which nothing may be known, as one that was deleted: its role has gone with it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.api.backup import Backup, BackupStatus, Phase, RunStatus
from becalm_operator.api.limits import Needs
from becalm_operator.cluster.api_server import ApiServer
from becalm_operator.cluster.port import Key
from becalm_operator.errors import RefusedError, UnavailableError
from becalm_operator.handlers.sweep import Sweep
from becalm_operator.plan.world import Claim
from becalm_operator.settings import Settings
from tests.operator.handlers.api import FakeApiServer, fake_api_server
from tests.operator.handlers.examples import backup, held_document

NOW = datetime(2025, 6, 1, 4, 0, tzinfo=UTC)
"""The deadlines of the examples have passed."""
WEB = "deployments/shop/web"


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as made:
        yield made


@pytest.fixture
async def cluster(server: FakeApiServer) -> AsyncIterator[ApiServer]:
    watched = ("gone", "shop")
    settings = Settings(
        namespace="becalm", image="becalm", watched_namespaces=watched, most_down_per_cluster=3
    )
    async with ApiClient(Configuration(host=server.url)) as client:
        yield ApiServer(client, settings, lambda: NOW)


def refuse(server: FakeApiServer, what: str, status: int = 403) -> None:
    server.status_of = lambda path: status if what in path else 200


def put_backup(server: FakeApiServer, made: Backup) -> None:
    server.put("backups", made.model_dump(mode="json", by_alias=True, exclude_none=True))


async def test_objects_of_other_namespaces_are_listed(server: FakeApiServer, cluster: ApiServer) -> None:
    put_backup(server, backup(Phase.PENDING))
    refuse(server, "/namespaces/gone/")

    keys = await cluster.list_keys()

    assert keys.found == (Key("Backup", "shop", "nightly"),)
    assert {type(problem) for problem in keys.unseen} == {RefusedError}
    assert [str(problem) for problem in keys.unseen] == [
        f"listing {plural} of gone: not now"
        for plural in ("backuprepositories", "backupschedules", "backups", "restores")
    ]


@pytest.mark.parametrize(("status", "kind"), [(403, RefusedError), (503, UnavailableError)])
async def test_objects_of_other_kinds_are_listed(
    server: FakeApiServer, cluster: ApiServer, status: int, kind: type[Exception]
) -> None:
    put_backup(server, backup(Phase.PENDING))
    refuse(server, "/restores", status)

    keys = await cluster.list_keys()

    assert keys.found == (Key("Backup", "shop", "nightly"),)
    assert [type(problem) for problem in keys.unseen] == [kind, kind]


@pytest.mark.parametrize("refused", ["/namespaces/gone/", "/statefulsets", "/backups/"])
async def test_what_is_down_elsewhere_is_started(
    server: FakeApiServer, cluster: ApiServer, refused: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.put("deployments", held_document())
    refuse(server, refused)

    await Sweep(cluster, lambda: NOW).once()

    assert server.object(WEB)["spec"]["replicas"] == 3


async def test_a_run_that_does_not_answer_keeps_no_workload_down(
    server: FakeApiServer, cluster: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.put("deployments", held_document())
    server.put("deployments", held_document("api", by="gone"))
    refuse(server, "/backups/nightly", 503)

    seen = await cluster.observe_held()

    assert {one.workload.reference.name: one.run for one in seen.held} == {"web": RunStatus(), "api": None}
    assert [type(problem) for problem in seen.unseen] == [UnavailableError]
    assert not await Sweep(cluster, lambda: NOW).once()
    assert server.object(WEB)["spec"]["replicas"] == 3
    assert server.object("deployments/shop/api")["spec"]["replicas"] == 3


async def test_runs_that_may_not_be_listed_keep_nothing_down_whose_own_run_is_gone(
    server: FakeApiServer, cluster: ApiServer
) -> None:
    server.put("deployments", held_document(by="gone"))
    server.status_of = lambda path: 403 if path.endswith("/backups") else 200

    seen = await cluster.observe_held()

    assert [one.run for one in seen.held] == [None]
    assert seen.unseen == ()


async def test_a_run_that_may_begin_is_told_where_nobody_knows_what_is_down(
    server: FakeApiServer, cluster: ApiServer
) -> None:
    begun = BackupStatus(phase=Phase.CAPTURING, needs=Needs(movers=1, workloads=2))
    put_backup(server, backup(Phase.PENDING).model_copy(update={"status": begun}))
    far = backup(Phase.PENDING)
    far = far.model_copy(update={"metadata": far.metadata.model_copy(update={"namespace": "office"})})

    seen = await cluster._shares_elsewhere(far)
    refuse(server, "/namespaces/gone/")
    refused = await cluster._shares_elsewhere(far)

    assert seen[1] == ()
    assert [share.workloads for share in seen[0]] == [2]
    assert refused == (seen[0], ("gone",))


async def test_the_world_of_a_run_says_where_nobody_knows_what_is_down(
    server: FakeApiServer, cluster: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def privileged(_: str) -> str:
        return "privileged"

    async def none(_: str) -> dict[str, Claim]:
        return {}

    monkeypatch.setattr(cluster, "_pod_security", privileged)
    monkeypatch.setattr(cluster, "_claims", none)
    refuse(server, "/namespaces/gone/")

    assert (await cluster.observe_run(backup(Phase.PENDING))).unseen == ("gone",)


async def test_a_run_that_may_begin_waits_until_the_api_server_answers(
    server: FakeApiServer, cluster: ApiServer
) -> None:
    refuse(server, "/namespaces/gone/", 503)

    with pytest.raises(UnavailableError):
        await cluster._shares_elsewhere(backup(Phase.PENDING))


async def test_a_run_that_has_begun_does_not_ask(server: FakeApiServer, cluster: ApiServer) -> None:
    refuse(server, "/namespaces/gone/")

    assert await cluster._shares_elsewhere(backup(Phase.CAPTURING)) == ((), ())
    assert server.requests == []
