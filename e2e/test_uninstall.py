"""Uninstalling the chart while a run holds workloads down."""

from collections.abc import Callable

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.lab import NAMESPACE, RELEASE, Lab
from e2e.paths import SetUpError
from e2e.shop import Workload, backup

pytestmark = pytest.mark.cluster


def with_hooks(lab: Lab) -> None:
    lab.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout=180s")


def by_hand(lab: Lab) -> None:
    """What docs/operations.md says where the chart is removed by something that runs no hooks."""
    lab.kubectl("create", "--filename=-", stdin=lab.helm("get", "hooks", RELEASE, "--namespace", NAMESPACE))
    lab.kubectl("wait", "--for=condition=Complete", "--timeout=3m", "job/becalm-release", seconds=190)
    lab.helm("uninstall", RELEASE, "--namespace", NAMESPACE, "--no-hooks", "--wait", "--timeout=180s")
    lab.kubectl("delete", "job", "becalm-release")


@pytest.mark.alone
@pytest.mark.parametrize("uninstall", [with_hooks, by_hand])
def test_uninstalling_starts_what_is_held_down_and_keeps_what_was_made(
    uninstall: Callable[[Lab], None], lab: Lab, make_shop: MakeShop
) -> None:
    shop = make_shop(Workload("Deployment", "web", stop_seconds=25))
    shop.open_repository()
    shop.kubectl.apply(backup("cut-short", shop.workloads))
    shop.kubectl.until("the workload is down", lambda: checks.is_down(shop), bool)

    try:
        uninstall(lab)

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


def test_the_operators_own_pod_is_no_place_to_uninstall_from(lab: Lab) -> None:
    """Its container ends when the Lease is taken, and the command with it, before it has started anything."""
    pod = lab.operator_pod()["metadata"]["name"]
    with pytest.raises(SetUpError, match="is the operator's own pod"):
        lab.kubectl.exec(pod, "becalm-operator", "release", "--uninstall")
