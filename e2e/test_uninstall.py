"""Uninstalling the chart while a run holds workloads down."""

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.lab import NAMESPACE, RELEASE, Lab
from e2e.shop import Workload, backup

pytestmark = pytest.mark.cluster


@pytest.mark.alone
def test_uninstalling_starts_what_is_held_down_and_keeps_what_was_made(lab: Lab, make_shop: MakeShop) -> None:
    shop = make_shop(Workload("Deployment", "web", stop_seconds=25))
    shop.open_repository()
    shop.kubectl.apply(backup("cut-short", shop.workloads))
    shop.kubectl.until("the workload is down", lambda: checks.is_down(shop), bool)

    try:
        lab.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout=180s")

        shop.await_ready(shop.workloads[0])
        assert not checks.is_down(shop)
        left = shop.kubectl.get("backup", "cut-short")
        assert left is not None
        assert not left["metadata"].get("finalizers")
        assert shop.kubectl.get("backuprepository", "main") is not None
    finally:
        lab.install()

    status = shop.await_end("backup", "cut-short")
    assert status["phase"] == "Failed", status
    checks.nothing_is_held(shop)
