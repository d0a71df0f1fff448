"""Movers in a namespace whose API server lets no root in."""

import json

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.shop import Shop, Workload, backup, restore

pytestmark = pytest.mark.cluster
_ENFORCE = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """A shop whose workload runs as a user of its own, in a namespace that enforces the restricted standard."""
    opened = make_shop(Workload("StatefulSet", "db", user=1000))
    opened.kubectl("label", "namespace", opened.kubectl.namespace, _ENFORCE)
    opened.open_repository()
    return opened


def test_where_root_is_forbidden_movers_run_as_the_workload_does(shop: Shop) -> None:
    (db,) = shop.workloads
    before = shop.checksums(db)

    shop.kubectl.apply(backup("first", shop.workloads))
    status = shop.await_end("backup", "first")

    assert status["phase"] == "Succeeded", status
    assert status["volumes"][0]["identity"]["runAsUser"] == 1000
    assert len(checks.restic_snapshots(shop)) == 1

    shop.destroy(db)
    shop.kubectl.apply(restore("back", "first", [db.claim]))
    status = shop.await_end("restore", "back")

    assert status["phase"] == "Succeeded", status
    assert shop.checksums(db) == before
    checks.nothing_is_held(shop)


def test_a_user_that_nobody_names_is_asked_for_before_anything_stops(shop: Shop) -> None:
    # without pods there is its template alone
    unnamed = {"spec": {"template": {"spec": {"securityContext": {"runAsUser": None}}}}}
    shop.kubectl("scale", "statefulset/db", "--replicas=0")
    shop.kubectl.until("db is gone", lambda: shop.kubectl.list("pods", labels="app=db"), lambda p: not p)
    shop.kubectl("patch", "statefulset/db", "--type=merge", "--patch", json.dumps(unnamed))

    shop.kubectl.apply(backup("vain", shop.workloads))
    status = shop.await_end("backup", "vain")

    assert (status["phase"], status["reason"]) == ("Failed", "MoverUserUnknown"), status
    assert "set runAsUser in the pod template" in status["message"]
    assert "Quiesced" not in checks.events(shop, "db")
