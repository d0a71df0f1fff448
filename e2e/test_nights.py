"""What goes wrong at night, on a real cluster: each has one outcome, and nothing stays down."""

import shlex

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.image import IMAGE
from e2e.kubectl import NeverHappenedError
from e2e.objects import Document
from e2e.shop import Shop, Workload, backup

pytestmark = pytest.mark.cluster

WEB = Workload("Deployment", "web", 2, stop_seconds=3, ready_seconds=1)


def _opened(make_shop: MakeShop, *workloads: Workload) -> Shop:
    shop = make_shop(*workloads)
    shop.open_repository()
    return shop


def _assert_tainted(shop: Shop, name: str) -> Document:
    status = shop.await_end("backup", name)
    assert status["phase"] == "Failed", status
    assert status["reason"] in ("Tainted", "WorkloadChanged"), status
    assert checks.restic_snapshots(shop) == []
    return status


def test_undoing_by_hand_is_noticed_and_said(make_shop: MakeShop) -> None:
    shop = _opened(make_shop, WEB)
    shop.kubectl.apply(backup("undone", shop.workloads))
    record = checks.await_down(shop, WEB)

    program, *arguments = shlex.split(record["undo"])
    assert program == "kubectl"
    shop.kubectl(*arguments)

    status = _assert_tainted(shop, "undone")
    assert "deployment/web" in status["message"]
    checks.nothing_is_held(shop)


def test_gitops_that_writes_the_count_back_fails_the_run_and_keeps_its_count(make_shop: MakeShop) -> None:
    shop = _opened(make_shop, WEB)
    shop.kubectl.apply(backup("drifted", shop.workloads))
    checks.await_down(shop, WEB)

    shop.kubectl("scale", "deployment/web", "--replicas=2")

    _assert_tainted(shop, "drifted")
    checks.nothing_is_held(shop)
    found = shop.kubectl.get("deployment", "web")
    assert found is not None
    assert found["spec"]["replicas"] == 2


def test_an_edit_while_it_is_down_fails_the_run_and_stays(make_shop: MakeShop) -> None:
    shop = _opened(make_shop, WEB)
    shop.kubectl.apply(backup("edited", shop.workloads))
    checks.await_down(shop, WEB)

    shop.kubectl("set", "env", "deployment/web", "EDITED=1")

    _assert_tainted(shop, "edited")
    checks.nothing_is_held(shop)
    found = shop.kubectl.get("deployment", "web")
    assert found is not None
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert {"name": "EDITED", "value": "1"} in container["env"]


def test_a_pod_that_comes_and_goes_while_the_volume_is_read_fails_the_run(make_shop: MakeShop) -> None:
    """A Job of somebody's, say, which is over in a second: what it wrote may be in the backup, or half of it."""
    shop = _being_read(make_shop, "visited")

    shop.kubectl.apply(_visitor(WEB.claim))
    status = _assert_tainted(shop, "visited")

    assert "pod visitor mounted a claim" in status["message"]
    checks.nothing_is_held(shop)


def test_a_pod_that_is_gone_before_anybody_looks_fails_the_run_too(make_shop: MakeShop) -> None:
    shop = _being_read(make_shop, "passed")
    visitor = _visitor(WEB.claim)
    visitor["spec"]["schedulerName"] = "nobody"  # what no node has is gone at once when it is deleted
    shop.kubectl.apply(visitor)
    shop.kubectl.delete("pod", "visitor")
    status = _assert_tainted(shop, "passed")

    assert "pod visitor mounted a claim" in status["message"]
    checks.nothing_is_held(shop)


def _being_read(make_shop: MakeShop, name: str) -> Shop:
    """Return a shop whose volume is read, by a Backup of that name, for some twenty seconds."""
    shop = make_shop(WEB)
    slowly = {"uploadKiBPerSecond": 200}  # the volume holds 4 MB
    shop.open_repository(limits=slowly)
    shop.kubectl.apply(backup(name, shop.workloads, quiesce={"preCopy": False}))
    shop.kubectl.until(
        "volumes are read",
        lambda: shop.kubectl.status("backup", name),
        lambda seen: seen.get("phase") == "Capturing",
    )
    return shop


def _visitor(claim: str) -> Document:
    """Return a pod that mounts a claim and ends at once."""
    container = {
        "name": "visitor",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["touch", "/data/visited"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    spec = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "visitor"}, "spec": spec}


def test_a_rolling_update_under_way_is_stopped_and_goes_on_afterwards(make_shop: MakeShop) -> None:
    shop = _opened(make_shop, Workload("Deployment", "web", 2, ready_seconds=5))
    shop.kubectl("set", "env", "deployment/web", "REVISION=2")

    shop.kubectl.apply(backup("rolling", shop.workloads))
    status = shop.await_end("backup", "rolling")

    assert status["phase"] == "Succeeded", status
    shop.kubectl("rollout", "status", "deployment/web", "--timeout=60s", seconds=70)
    checks.nothing_is_held(shop)
    assert len(checks.restic_snapshots(shop)) == 1


def test_an_undone_rollout_that_takes_the_record_off_keeps_nothing_down(make_shop: MakeShop) -> None:
    shop = _opened(make_shop, WEB)
    shop.kubectl("set", "env", "deployment/web", "REVISION=2")
    shop.kubectl("rollout", "status", "deployment/web", "--timeout=60s", seconds=70)
    shop.kubectl.apply(backup("reverted", shop.workloads))
    checks.await_down(shop, WEB)

    shop.kubectl("rollout", "undo", "deployment/web")

    _assert_tainted(shop, "reverted")
    checks.nothing_is_held(shop)


def test_a_namespace_that_is_deleted_while_a_run_holds_it_goes(make_shop: MakeShop) -> None:
    shop = _opened(make_shop, WEB)
    shop.kubectl.apply(backup("doomed", shop.workloads))
    checks.await_down(shop, WEB)

    namespace = shop.kubectl.namespace
    shop.kubectl("delete", "namespace", namespace, "--wait=true", "--timeout=120s", seconds=130)

    assert shop.kubectl.within("default").get("namespace", namespace) is None


def test_a_disruption_budget_does_not_keep_a_workload_up(make_shop: MakeShop) -> None:
    shop = _opened(make_shop, WEB)
    spec = {"minAvailable": "100%", "selector": {"matchLabels": {"app": "web"}}}
    metadata = {"name": "web"}
    shop.kubectl.apply(
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}
    )

    shop.kubectl.apply(backup("budgeted", shop.workloads))

    assert shop.await_end("backup", "budgeted")["phase"] == "Succeeded"
    checks.nothing_is_held(shop)


def test_pods_that_ignore_the_signal_are_waited_for(make_shop: MakeShop) -> None:
    """Their grace period is 30 seconds; then they are killed."""
    shop = _opened(make_shop, Workload("Deployment", "web", stop_seconds=300))

    shop.kubectl.apply(backup("deaf", shop.workloads))
    status = shop.await_end("backup", "deaf")

    assert status["phase"] == "Succeeded", status
    assert status["downtimeSeconds"] >= 29
    checks.nothing_is_held(shop)


def test_pods_that_take_longer_than_the_drain_timeout_are_named(make_shop: MakeShop) -> None:
    shop = _opened(make_shop, Workload("Deployment", "web", stop_seconds=300))

    shop.kubectl.apply(backup("impatient", shop.workloads, quiesce={"drainTimeout": "5s"}))
    status = shop.await_end("backup", "impatient")

    assert (status["phase"], status["reason"]) == ("Failed", "DrainTimeout"), status
    assert "web-" in status["message"]
    checks.nothing_is_held(shop)


def test_a_quota_that_forbids_the_mover_is_told_and_stops_nothing(make_shop: MakeShop) -> None:
    shop = _opened(make_shop, Workload("Deployment", "web"))
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}}
    shop.kubectl.apply({**quota, "spec": {"hard": {"pods": "1"}}})
    shop.kubectl.until(
        "the quota counts",
        lambda: shop.kubectl.status("resourcequota", "full"),
        lambda seen: seen.get("used", {}).get("pods") == "1",
    )

    shop.kubectl.apply(backup("cramped", shop.workloads))
    status: Document = shop.kubectl.until(
        "the run tells of the quota",
        lambda: shop.kubectl.status("backup", "cramped"),
        lambda seen: "exceeded quota" in seen.get("message", ""),
    )

    assert status["phase"] == "Preflight"
    assert not checks.is_down(shop)
    shop.kubectl("delete", "resourcequota", "full")
    try:
        assert shop.await_end("backup", "cramped", seconds=300)["phase"] == "Succeeded"
    except NeverHappenedError as never:
        raise AssertionError("the run does not go on when there is room again") from never
    checks.nothing_is_held(shop)
