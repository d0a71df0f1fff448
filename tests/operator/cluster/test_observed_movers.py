"""What a run sees of the movers of others, as the API server tells of them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.cluster.api_server import ApiServer
from becalm_operator.plan.world import Claim, World
from becalm_operator.settings import Settings
from tests.operator.handlers.api import FakeApiServer, fake_api_server
from tests.operator.handlers.examples import backup, restore
from tests.operator.handlers.recording import NOW

MINE = backup(Phase.PREFLIGHT)


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as made:
        yield made


def controlled(kind: str, name: str, version: str, uid: str) -> list[dict[str, Any]]:
    return [{"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}]


def put_mover(server: FakeApiServer, kind: str, owner: str, *, read_only: bool) -> None:
    """Make the Job of a run and its pod, which runs."""
    uid, name = f"uid-{owner}", f"{owner}-mover"
    labels = {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.OWNER_UID_LABEL: uid,
        names.ROLE_LABEL: "mover" if read_only else "restore",
    }
    common = {"namespace": "shop", "labels": labels, "creationTimestamp": NOW.isoformat()}
    of_run = controlled(kind, owner, names.API_VERSION, uid)
    job = {**common, "name": name, "uid": f"job-{owner}", "ownerReferences": of_run}
    spec = {"template": {"metadata": {}, "spec": {"containers": [{"name": "becalm"}]}}}
    server.put("jobs", {"metadata": job, "spec": spec, "status": {"active": 1}})
    of_job = controlled("Job", name, "batch/v1", f"job-{owner}")
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": read_only}}
    server.put(
        "pods",
        {
            "metadata": {**common, "name": f"{name}-x", "uid": f"pod-{owner}", "ownerReferences": of_job},
            "spec": {"containers": [{"name": "becalm"}], "volumes": [volume], "restartPolicy": "Never"},
            "status": {"phase": "Running"},
        },
    )


async def observed(server: FakeApiServer, monkeypatch: pytest.MonkeyPatch, run: Backup = MINE) -> World:
    async def privileged(_: str) -> str:
        return "privileged"

    async def none(_: str) -> dict[str, Claim]:
        return {}

    async with ApiClient(Configuration(host=server.url)) as client:
        cluster = ApiServer(client, Settings(namespace="becalm", image="becalm"), lambda: NOW)
        monkeypatch.setattr(cluster, "_pod_security", privileged)
        monkeypatch.setattr(cluster, "_claims", none)
        return await cluster.observe_run(run)


async def test_only_movers_of_others_that_may_write_are_in_the_way(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_mover(server, "Backup", "nightly", read_only=False)
    put_mover(server, "Backup", "weekly", read_only=True)
    put_mover(server, "Restore", "monday", read_only=False)

    world = await observed(server, monkeypatch)

    assert all(pod.ours for pod in world.pods)
    assert [pod.name for pod in world.consumers(frozenset({"data"}))] == ["monday-mover-x"]


@pytest.mark.parametrize(("seconds", "waited_for"), [(30, ["monday"]), (90, [])])
async def test_a_restore_that_has_just_ended_is_waited_for_while_its_mover_lives(
    server: FakeApiServer, monkeypatch: pytest.MonkeyPatch, seconds: int, waited_for: list[str]
) -> None:
    ended = restore(Phase.FAILED)
    status = {"phase": Phase.FAILED, "completion_time": NOW - timedelta(seconds=seconds)}
    ended = ended.model_copy(update={"status": ended.status.model_copy(update=status)})
    server.put("restores", ended.model_dump(mode="json", by_alias=True, exclude_none=True))
    put_mover(server, "Restore", "monday", read_only=False)

    world = await observed(server, monkeypatch)

    assert [other.name for other in world.others] == waited_for
