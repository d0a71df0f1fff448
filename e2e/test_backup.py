"""Backup and restore of the shop, as a user has it."""

import re

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.shop import Shop, Workload, backup, claim, repository, restore

pytestmark = pytest.mark.cluster


def test_a_group_is_backed_up_under_one_tag_and_restored(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.open_repository(anew=True)
    web, db = shop.workloads
    before = {workload: shop.checksums(workload) for workload in shop.workloads}

    shop.kubectl.apply(backup("first", shop.workloads, tags=["complete-backup"]))
    status = shop.await_end("backup", "first")

    assert status["phase"] == "Succeeded", status
    assert 0 < status["downtimeSeconds"] < 90
    stops = {one["name"]: one["stoppedAt"] for one in status["workloads"]}
    starts = {one["name"]: one["startedAt"] for one in status["workloads"]}
    assert stops["web"] <= stops["db"]
    assert starts["db"] <= starts["web"]
    snapshots = checks.restic_snapshots(shop)
    assert {one["id"] for one in snapshots} == {one["snapshotID"] for one in status["volumes"]}
    assert {tuple(one["tags"]) for one in snapshots} == {("complete-backup",)}
    assert len({one["time"] for one in snapshots}) == 1
    assert {"Quiesced", "Released"} <= set(checks.events(shop, "web"))
    checks.nothing_is_held(shop)

    for workload in shop.workloads:
        shop.destroy(workload)
        assert shop.checksums(workload) != before[workload]
    shop.kubectl.apply(restore("back", "first", [web.claim, db.claim]))
    status = shop.await_end("restore", "back")

    assert status["phase"] == "Succeeded", status
    assert {one["name"] for one in status["workloads"]} == {"web", "db"}
    checks.nothing_is_held(shop)
    for workload in shop.workloads:
        assert shop.checksums(workload) == before[workload]
        assert "junk" not in shop.kubectl.exec(shop.pod(workload), "ls", "/data")


def test_what_was_stopped_before_stays_stopped(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.open_repository()
    idle = Workload("StatefulSet", "db", 0)
    shop.kubectl("scale", "statefulset/db", "--replicas=0")
    shop.kubectl.until("db is gone", lambda: shop.kubectl.list("pods", labels="app=db"), lambda p: not p)

    shop.kubectl.apply(backup("half", shop.workloads))
    status = shop.await_end("backup", "half")

    assert status["phase"] == "Succeeded", status
    assert len(status["volumes"]) == 2
    shop.await_ready(idle)


def test_a_file_that_the_mover_cannot_read_fails_the_backup(make_shop: MakeShop) -> None:
    shop = make_shop(Workload("Deployment", "web"))
    user = {"runAsUser": 4711, "runAsNonRoot": True}
    shop.open_repository(mover={"securityContext": user})
    hide = "echo secret > /data/catalogue/hidden; chmod 0600 /data/catalogue/hidden"
    shop.kubectl.exec(shop.pod(shop.workloads[0]), "sh", "-c", hide)

    shop.kubectl.apply(backup("partial", shop.workloads))
    status = shop.await_end("backup", "partial")

    assert (status["phase"], status["reason"]) == ("Failed", "FilesUnreadable")
    assert "hidden" in status["message"]
    checks.nothing_is_held(shop)
    assert checks.restic_snapshots(shop) == []


def test_a_mover_that_fails_leaves_the_workloads_up(shop: Shop) -> None:
    shop.kubectl.apply(backup("doomed", shop.workloads))
    shop.kubectl.until(
        "the run captures",
        lambda: shop.kubectl.status("backup", "doomed"),
        lambda seen: seen.get("phase") in ("Draining", "Capturing"),
    )
    shop.s3.remove_bucket(shop.bucket)
    status = shop.await_end("backup", "doomed")

    assert status["phase"] == "Failed", status
    assert not any(one.get("snapshotID") for one in status["volumes"])
    checks.nothing_is_held(shop)


def test_a_repository_on_a_claim_needs_no_s3(make_shop: MakeShop) -> None:
    shop = make_shop(Workload("StatefulSet", "db"))
    before = shop.checksums(shop.workloads[0])
    storage = {"persistentVolumeClaim": {"claimName": "backups", "path": "shop"}}
    shop.kubectl.apply(claim("backups"), repository("main", storage))
    shop.await_repository("True")

    shop.kubectl.apply(backup("local", shop.workloads))
    assert shop.await_end("backup", "local")["phase"] == "Succeeded"
    shop.destroy(shop.workloads[0])
    shop.kubectl.apply(restore("back", "local", [shop.workloads[0].claim]))

    assert shop.await_end("restore", "back")["phase"] == "Succeeded"
    assert shop.checksums(shop.workloads[0]) == before
    checks.nothing_is_held(shop)


def test_kubectl_get_reads_well(shop: Shop) -> None:
    shop.kubectl.apply(backup("first", shop.workloads))
    shop.await_end("backup", "first")

    table = shop.kubectl("get", "backups,restores,backupschedules,backuprepositories")

    rows = [re.split(r"\s{2,}", line) for line in table.splitlines() if line]
    assert "PHASE" in rows[0]
    assert any(row[0] == "backup.becalm.dev/first" and "Succeeded" in row for row in rows)
    assert any(row[0] == "backuprepository.becalm.dev/main" and "True" in row for row in rows)
    assert "<none>" not in table
