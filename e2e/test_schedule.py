"""A BackupSchedule on a real cluster: it makes Backups by the clock, and clears out."""

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.objects import Document
from e2e.shop import API, Shop, Workload, backup

pytestmark = pytest.mark.cluster

_LABEL = {"becalm.dev/schedule": "often"}


def _schedule(shop: Shop) -> Document:
    template = {"repositoryRef": {"name": "main"}, "workloads": [shop.workloads[0].reference]}
    spec: Document = {
        "schedule": "* * * * *",
        "timeZone": "Europe/Berlin",
        "retention": {"keepLast": 1},
        "suspend": True,
        "template": {"spec": template},
    }
    return {"apiVersion": API, "kind": "BackupSchedule", "metadata": {"name": "often"}, "spec": spec}


def _suspend(shop: Shop, value: str) -> None:
    patch = f'{{"spec":{{"suspend":{value}}}}}'
    shop.kubectl("patch", "backupschedule", "often", "--type=merge", "-p", patch)


def test_a_schedule_makes_backups_and_applies_its_retention(make_shop: MakeShop) -> None:
    shop = make_shop(Workload("Deployment", "web"))
    shop.open_repository()
    shop.kubectl.apply(_schedule(shop))
    # as if the schedule had made it: retention knows its snapshots by the label
    by_hand = backup("earlier", shop.workloads)
    by_hand["metadata"]["labels"] = _LABEL
    shop.kubectl.apply(by_hand)
    earlier = shop.await_end("backup", "earlier")["volumes"][0]["snapshotID"]
    assert [one["id"] for one in checks.restic_snapshots(shop)] == [earlier]

    _suspend(shop, "false")
    status = shop.kubectl.until(
        "the schedule has made a Backup that succeeded",
        lambda: shop.kubectl.status("backupschedule", "often"),
        lambda seen: "lastSuccessfulTime" in seen,
    )
    _suspend(shop, "true")

    assert status["nextScheduleTime"] > status["lastScheduleTime"]
    shop.kubectl.until(
        "the schedule is suspended and at rest",
        lambda: shop.kubectl.status("backupschedule", "often"),
        lambda seen: not seen.get("active") and seen["conditions"][0]["reason"] == "Suspended",
    )
    (kept,) = checks.restic_snapshots(shop)
    assert kept["id"] != earlier
    assert "schedule=often" in kept["tags"]
    checks.nothing_is_held(shop)
