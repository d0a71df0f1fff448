"""A BackupSchedule on a real cluster: it makes Backups by the clock, and clears out."""

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.kubectl import Document
from e2e.shop import API, Workload

pytestmark = pytest.mark.cluster


def test_a_schedule_makes_backups_and_applies_its_retention(make_shop: MakeShop) -> None:
    shop = make_shop(Workload("Deployment", "web"))
    shop.open_repository()
    template = {"repositoryRef": {"name": "main"}, "workloads": [shop.workloads[0].reference]}
    spec: Document = {
        "schedule": "* * * * *",
        "timeZone": "Europe/Berlin",
        "retention": {"keepLast": 1},
        "successfulBackupsHistoryLimit": 1,
        "template": {"spec": template},
    }
    shop.kubectl.apply(
        {"apiVersion": API, "kind": "BackupSchedule", "metadata": {"name": "often"}, "spec": spec}
    )

    def succeeded() -> list[str]:
        found = shop.kubectl.list("backups.becalm.dev")
        return [b["metadata"]["name"] for b in found if b.get("status", {}).get("phase") == "Succeeded"]

    first = shop.kubectl.until("a first Backup succeeds", succeeded, bool, seconds=120)
    shop.kubectl.until(
        "a second Backup takes its place",
        succeeded,
        lambda seen: seen and not set(seen) & set(first),
        seconds=150,
    )
    shop.kubectl("patch", "backupschedule", "often", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    shop.kubectl.until(
        "the schedule is suspended and at rest",
        lambda: shop.kubectl.status("backupschedule", "often"),
        lambda seen: not seen.get("active") and seen["conditions"][0]["reason"] == "Suspended",
        seconds=90,
    )

    status = shop.kubectl.status("backupschedule", "often")
    assert "lastSuccessfulTime" in status
    assert len(checks.restic_snapshots(shop)) == 1
    checks.nothing_is_held(shop)
