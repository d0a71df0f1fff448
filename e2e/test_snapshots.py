"""Backups by CSI snapshots: the workload is up again before its data is read."""

import pytest

from e2e import checks, snapshots
from e2e.conftest import MakeShop
from e2e.objects import Document
from e2e.shop import Shop, Workload, backup, restore

pytestmark = pytest.mark.cluster


@pytest.fixture
def web() -> Workload:
    return Workload("Deployment", "web", storage_class=snapshots.STORAGE_CLASS)


@pytest.fixture
def shop(make_shop: MakeShop, web: Workload) -> Shop:
    opened = make_shop(web)
    opened.open_repository()
    return opened


def _belongings(shop: Shop) -> list[str]:
    """Return what the run has made beside the repository, in the namespace and in the cluster."""
    namespace = shop.kubectl.namespace
    found: list[Document] = [*shop.kubectl.list("volumesnapshots"), *shop.kubectl.list("jobs")]
    left = [one for one in found if one["metadata"]["name"].split("-")[1] in ("snapshot", "mover")]
    left += [
        one
        for one in shop.kubectl.list("persistentvolumeclaims")
        if one["metadata"]["name"] != shop.workloads[0].claim
    ]
    contents = shop.kubectl.list("volumesnapshotcontents")
    left += [one for one in contents if one["spec"]["volumeSnapshotRef"]["namespace"] == namespace]
    volumes = [one for one in shop.kubectl.list("persistentvolumes") if one["spec"].get("claimRef")]
    mine = [one for one in volumes if one["spec"]["claimRef"]["namespace"] == namespace]
    left += [one for one in mine if one["spec"]["claimRef"]["name"] != shop.workloads[0].claim]
    return [f"{one['kind']} {one['metadata']['name']}" for one in left]


def _nothing_is_left(shop: Shop) -> None:
    checks.nothing_is_held(shop)
    shop.kubectl.until("all is cleared away", lambda: _belongings(shop), lambda left: not left)


def test_the_data_is_that_of_the_standstill_though_it_is_read_after_the_start(
    shop: Shop, web: Workload
) -> None:
    before = shop.checksums(web)

    shop.kubectl.apply(backup("first", shop.workloads, capture="Snapshot"))
    shop.kubectl.until(
        "copies are read",
        lambda: shop.kubectl.status("backup", "first"),
        lambda seen: seen.get("phase") in ("Uploading", "Failed"),
    )
    shop.await_ready(web, seconds=1)
    shop.kubectl.exec(shop.pod(web), "touch", "/data/later")
    status = shop.await_end("backup", "first")

    assert status["phase"] == "Succeeded", status
    (workload,), (volume,) = status["workloads"], status["volumes"]
    assert workload["stoppedAt"] <= volume["snapshot"]["readyTime"] <= workload["startedAt"]
    (snapshot,) = checks.restic_snapshots(shop)
    assert (snapshot["id"], snapshot["paths"]) == (volume["snapshotID"], [f"/data/{web.claim}"])
    _nothing_is_left(shop)

    shop.destroy(web)
    shop.kubectl.apply(restore("back", "first", [web.claim], deleteExtra=True))
    assert shop.await_end("restore", "back")["phase"] == "Succeeded"
    assert shop.checksums(web) == before
    assert "later" not in shop.kubectl.exec(shop.pod(web), "ls", "/data").split()


def test_a_driver_that_refuses_leaves_the_workload_up_and_nothing_behind(shop: Shop) -> None:
    refusing = {"capture": "Snapshot", "volumeSnapshotClassName": snapshots.REFUSING_CLASS}

    shop.kubectl.apply(backup("refused", shop.workloads, **refusing))
    status = shop.await_end("backup", "refused")

    assert (status["phase"], status["reason"]) == ("Failed", "SnapshotFailed")
    assert "this class makes no snapshots" in status["message"]
    assert status["downtimeSeconds"] < 90
    _nothing_is_left(shop)
