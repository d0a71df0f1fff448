"""What becalm stops, starts again: the operator killed, the Backup deleted, the repository gone."""

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.kubectl import Document
from e2e.lab import Lab
from e2e.shop import Shop, Workload, backup, repository, s3_storage, secret

pytestmark = pytest.mark.cluster


@pytest.fixture
def fresh_operator(lab: Lab) -> None:
    """An operator whose container has never been killed, so that the kubelet starts it again without a delay."""
    lab.restart_operator()


def _await_phase(shop: Shop, name: str, phase: str) -> Document:
    status: Document = shop.kubectl.until(
        f"backup {name} is in {phase}",
        lambda: shop.kubectl.status("backup", name),
        lambda seen: seen.get("phase") == phase or seen.get("completionTime"),
        seconds=90,
    )
    assert status["phase"] == phase, f"the run has passed {phase}: {status}"
    return status


@pytest.mark.parametrize("phase", ["Quiescing", "Draining", "Capturing", "Resuming"])
@pytest.mark.usefixtures("fresh_operator")
def test_an_operator_killed_in_any_phase_leaves_nothing_down(
    lab: Lab, make_shop: MakeShop, phase: str
) -> None:
    # slow enough that each phase can be met
    web = Workload("Deployment", "web", 2, stop_seconds=2, ready_seconds=2)
    db = Workload("StatefulSet", "db", stop_seconds=2, ready_seconds=2)
    shop = make_shop(web, db)
    shop.open_repository()
    shop.kubectl.apply(backup("struck", shop.workloads))
    _await_phase(shop, "struck", phase)

    lab.kill_operator()
    status = shop.await_end("backup", "struck")

    assert status["phase"] in ("Succeeded", "Failed")
    checks.nothing_is_held(shop)
    snapshots = checks.restic_snapshots(shop)
    assert len(snapshots) == (2 if status["phase"] == "Succeeded" else 0)


def test_a_backup_deleted_while_its_workloads_are_down_starts_them(make_shop: MakeShop) -> None:
    shop = make_shop(
        Workload("Deployment", "web", stop_seconds=5), Workload("StatefulSet", "db", stop_seconds=5)
    )
    shop.open_repository()
    shop.kubectl.apply(backup("unwanted", shop.workloads))
    shop.kubectl.until("a workload is down", lambda: checks.is_down(shop), bool, seconds=60)

    shop.kubectl("delete", "backup", "unwanted", "--wait=true", seconds=90)

    checks.nothing_is_held(shop)
    assert checks.restic_snapshots(shop) == []


def test_a_wrong_password_is_told_within_seconds_and_stops_nothing(shop: Shop) -> None:
    shop.kubectl.apply(secret("password", {"password": "not this one"}))
    shop.kubectl.apply(backup("locked-out", shop.workloads))

    status = shop.await_end("backup", "locked-out", seconds=30)

    assert (status["phase"], status["reason"]) == ("Failed", "WrongPassword")
    assert not any(one.get("stoppedAt") for one in status.get("workloads", []))
    shop.await_repository("False", "WrongPassword", seconds=30)
    checks.nothing_is_held(shop)


@pytest.mark.parametrize("left", ["an empty bucket", "nothing"])
def test_a_repository_that_vanished_is_an_alarm_and_not_made_anew(shop: Shop, left: str) -> None:
    pinned = shop.kubectl.status("backuprepository", "main")["repositoryID"]
    shop.s3.remove_bucket(shop.bucket)
    if left == "an empty bucket":
        shop.s3.make_bucket(shop.bucket)

    shop.kubectl.apply(backup("late", shop.workloads))
    status = shop.await_end("backup", "late", seconds=30)

    assert (status["phase"], status["reason"]) == ("Failed", "RepositoryMissing")
    assert not any(one.get("stoppedAt") for one in status.get("workloads", []))
    condition = shop.await_repository("False", "RepositoryMissing", seconds=30)
    assert "not made anew" in condition["message"]
    assert shop.kubectl.status("backuprepository", "main")["repositoryID"] == pinned
    assert not (shop.s3.folder / shop.bucket / "shop").exists()
    checks.nothing_is_held(shop)


def test_a_missing_secret_is_told_within_seconds(make_shop: MakeShop) -> None:
    shop = make_shop(Workload("Deployment", "web"))
    shop.kubectl("delete", "secret", "password")
    shop.kubectl.apply(repository("main", s3_storage(shop.s3, shop.bucket)))

    shop.await_repository("False", "SecretNotFound", seconds=30)
