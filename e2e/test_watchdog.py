"""No operator is at work, and the deadline passes: the watchdog starts what is down."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.lab import Lab
from e2e.objects import Document
from e2e.shell import succeeds
from e2e.shop import Shop, Workload, backup

pytestmark = pytest.mark.cluster

_MAX_DOWNTIME_SECONDS = 60
"""Long enough for the watchdog to come by once before it is over."""
_MARK = "becalm.dev/released-by-watchdog"


@pytest.fixture
def operator_that_goes(lab: Lab) -> Iterator[Lab]:
    """A lab whose operator the test scales away; it is there again afterwards."""
    yield lab
    lab.kubectl("scale", "deployment/becalm", "--replicas=1")
    lab.operator_pod()


def _held_by_a_long_stop(make_shop: MakeShop, name: str) -> Shop:
    """Return a shop with a workload that is down, and whose pods take so long to end that the run waits for them."""
    shop = make_shop(Workload("Deployment", "web", 2, stop_seconds=20))
    shop.open_repository()
    limits = {"drainTimeout": "10m", "maxDowntime": f"{_MAX_DOWNTIME_SECONDS}s"}
    shop.kubectl.apply(backup(name, shop.workloads, quiesce=limits))
    shop.kubectl.until("the workload is down", lambda: checks.is_down(shop), bool)
    return shop


def _run_watchdog(lab: Lab, name: str) -> Document:
    """Let the watchdog look now; return the status of its Job."""
    lab.kubectl("delete", "job", name, "--ignore-not-found")
    lab.kubectl("create", "job", name, "--from=cronjob/becalm-watchdog")
    status: Document = lab.kubectl.until(
        f"watchdog {name} has ended",
        lambda: lab.kubectl.status("job", name),
        lambda seen: any(c["type"] in ("Complete", "Failed") for c in seen.get("conditions", [])),
    )
    lab.kubectl("delete", "job", name)
    return status


def _await_deadline(shop: Shop) -> None:
    record = checks.record(shop, shop.workloads[0])
    deadline = datetime.fromisoformat(record["deadline"])
    shop.kubectl.until("the deadline is past", lambda: datetime.now(UTC), lambda now: now > deadline)


@pytest.mark.alone
def test_with_no_operator_the_watchdog_starts_what_is_down_beyond_its_deadline(
    operator_that_goes: Lab, make_shop: MakeShop
) -> None:
    lab = operator_that_goes
    shop = _held_by_a_long_stop(make_shop, "forsaken")
    lab.kubectl("scale", "deployment/becalm", "--replicas=0")
    assert _run_watchdog(lab, "watchdog-early").get("succeeded") == 1
    assert checks.is_down(shop), "the watchdog has started what was not due"
    _await_deadline(shop)

    assert _run_watchdog(lab, "watchdog-late").get("succeeded") == 1

    shop.await_ready(shop.workloads[0])
    assert not checks.is_down(shop)
    run = shop.kubectl.get("backup", "forsaken")
    assert run is not None
    assert _MARK in run["metadata"]["annotations"]
    assert "ReleasedByWatchdog" in checks.events(shop, "forsaken")
    assert "Released" in checks.events(shop, "web")

    lab.kubectl("scale", "deployment/becalm", "--replicas=1")
    status = shop.await_end("backup", "forsaken")
    assert (status["phase"], status["reason"]) == ("Failed", "DowntimeExceeded")
    assert "watchdog" in status["message"]
    checks.nothing_is_held(shop)


def test_the_watchdog_is_allowed_what_it_needs_and_no_more(lab: Lab) -> None:
    account = "--as=system:serviceaccount:becalm:becalm-watchdog"

    def may(verb: str, what: str) -> bool:
        kubectl = [lab.kubectl.program, f"--kubeconfig={lab.kubectl.kubeconfig}"]
        return succeeds([*kubectl, "auth", "can-i", verb, what, account, "--all-namespaces", "--quiet"])

    assert may("patch", "deployments.apps")
    assert may("patch", "backups.becalm.dev")
    for verb, what in (("get", "secrets"), ("create", "jobs.batch"), ("list", "pods"), ("delete", "backups")):
        assert not may(verb, what)
