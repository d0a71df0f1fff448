"""What becalm stops, starts again: the Backup deleted, the repository gone. What is killed is in test_faults.py."""

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.shop import Shop, Workload, backup, repository, s3_storage, secret

pytestmark = pytest.mark.cluster


def test_a_backup_deleted_while_its_workloads_are_down_starts_them(make_shop: MakeShop) -> None:
    shop = make_shop(
        Workload("Deployment", "web", stop_seconds=5), Workload("StatefulSet", "db", stop_seconds=5)
    )
    shop.open_repository()
    shop.kubectl.apply(backup("unwanted", shop.workloads))
    shop.kubectl.until("a workload is down", lambda: checks.is_down(shop), bool)

    shop.kubectl("delete", "backup", "unwanted", "--wait=true", seconds=90)

    checks.nothing_is_held(shop)
    assert checks.restic_snapshots(shop) == []


def test_a_wrong_password_is_told_within_seconds_and_stops_nothing(shop: Shop) -> None:
    shop.kubectl.apply(secret("password", {"password": "not this one"}))
    shop.kubectl.apply(backup("locked-out", shop.workloads))

    status = shop.await_end("backup", "locked-out")

    assert (status["phase"], status["reason"]) == ("Failed", "WrongPassword")
    assert not any(one.get("stoppedAt") for one in status.get("workloads", []))
    shop.await_repository("False", "WrongPassword")
    checks.nothing_is_held(shop)


@pytest.mark.parametrize("left", ["an empty bucket", "nothing"])
def test_a_repository_that_vanished_is_an_alarm_and_not_made_anew(shop: Shop, left: str) -> None:
    pinned = shop.kubectl.status("backuprepository", "main")["repositoryID"]
    shop.s3.remove_bucket(shop.bucket)
    if left == "an empty bucket":
        shop.s3.make_bucket(shop.bucket)

    shop.kubectl.apply(backup("late", shop.workloads))
    status = shop.await_end("backup", "late")

    assert (status["phase"], status["reason"]) == ("Failed", "RepositoryMissing")
    assert not any(one.get("stoppedAt") for one in status.get("workloads", []))
    condition = shop.await_repository("False", "RepositoryMissing")
    assert "not made anew" in condition["message"]
    assert shop.kubectl.status("backuprepository", "main")["repositoryID"] == pinned
    assert not (shop.s3.folder / shop.bucket / "shop").exists()
    checks.nothing_is_held(shop)


def test_a_missing_secret_is_told_within_seconds(make_shop: MakeShop) -> None:
    shop = make_shop(Workload("Deployment", "web"))
    shop.kubectl("delete", "secret", "password")
    shop.kubectl.apply(repository("main", s3_storage(shop.s3, shop.bucket)))

    shop.await_repository("False", "SecretNotFound")
