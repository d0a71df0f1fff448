"""ReplicaSets, CronJobs, a kind with a scale subresource, and autoscalers, on a real cluster."""

from collections.abc import Iterator

import pytest
from tests.operator.cluster.definitions import a_scaled_object, a_widget, scaled_objects, widgets

from becalm_operator.api.backup import WorkloadReference
from e2e import checks
from e2e.conftest import MakeShop
from e2e.image import IMAGE
from e2e.lab import Lab
from e2e.objects import Document
from e2e.shop import Shop, Workload, backup, claim

pytestmark = pytest.mark.cluster

LONE = Workload("ReplicaSet", "lone", 2)
WEB = Workload("Deployment", "web", 2, stop_seconds=3)
_PAUSED = "autoscaling.keda.sh/paused"
_RECORD = "becalm.dev/quiesced"


@pytest.fixture
def definitions(lab: Lab) -> Iterator[None]:
    """Widgets, and KEDA's ScaledObjects, which nobody looks after here."""
    made = [widgets(), scaled_objects()]
    names = [one["metadata"]["name"] for one in made]
    lab.kubectl.apply(*made)
    lab.kubectl.definitions_are_served(*names)
    lab.restart_operator()  # it may have looked for the kinds just before, and believes that for a minute
    yield
    lab.kubectl("delete", "crd", *names, "--wait=true", "--timeout=60s", seconds=70)


def _cron_job(name: str, seconds: int) -> list[Document]:
    """Return a CronJob whose time does not come, and its claim."""
    container = {
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", f"echo begun >> /data/log; sleep {seconds}; echo ended >> /data/log"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{name}"}}
    pod = {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    cron_job = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}
    return [claim(f"data-{name}"), cron_job]


def _run(shop: Shop, name: str) -> None:
    """Start a Job of a CronJob and wait until its pod runs."""
    shop.kubectl("create", "job", f"{name}-now", f"--from=cronjob/{name}")
    shop.kubectl.until(
        "its pod runs",
        lambda: shop.kubectl.list("pods", labels=f"job-name={name}-now"),
        lambda pods: any(pod["status"]["phase"] == "Running" for pod in pods),
    )


def _await_members(shop: Shop, members: int) -> None:
    shop.kubectl.until(
        f"press is to have {members} members",
        lambda: shop.kubectl.get("widget", "press"),
        lambda found: found is not None and found["spec"]["size"]["members"] == members,
    )


def _spec(shop: Shop, kind: str, name: str) -> Document:
    found = shop.kubectl.get(kind, name)
    assert found is not None
    assert _RECORD not in found["metadata"].get("annotations", {})
    spec: Document = found["spec"]
    return spec


def test_a_replica_set_is_stopped_and_started(make_shop: MakeShop) -> None:
    shop = make_shop(LONE)
    shop.open_repository()
    shop.kubectl.apply(backup("lone", shop.workloads))

    record = checks.await_down(shop, LONE)
    status = shop.await_end("backup", "lone")

    assert record["replicas"] == 2
    assert status["phase"] == "Succeeded", status
    checks.nothing_is_held(shop)


def test_a_cron_job_is_suspended_and_its_running_job_waited_for(make_shop: MakeShop) -> None:
    shop = make_shop(WEB)
    shop.open_repository()
    shop.kubectl.apply(*_cron_job("reports", seconds=10))
    _run(shop, "reports")
    document = backup("quiet", shop.workloads)
    document["spec"]["workloads"].insert(0, {"kind": "CronJob", "name": "reports"})

    shop.kubectl.apply(document)
    status = shop.await_end("backup", "quiet")

    assert status["phase"] == "Succeeded", status
    assert [volume["claim"] for volume in status["volumes"]] == ["data-reports", "data-web"]
    assert _spec(shop, "cronjob", "reports")["suspend"] is False
    assert {"Quiesced", "Released"} <= set(checks.events(shop, "reports"))
    job = shop.kubectl.status("job", "reports-now")
    assert job.get("succeeded") == 1, "its Job was cut short"
    checks.nothing_is_held(shop)


def test_a_running_job_is_refused_if_so_asked(make_shop: MakeShop) -> None:
    shop = make_shop(WEB)
    shop.open_repository()
    shop.kubectl.apply(*_cron_job("reports", seconds=60))
    _run(shop, "reports")
    document = backup("hasty", shop.workloads, quiesce={"runningJobs": "Refuse"})
    document["spec"]["workloads"].insert(0, {"kind": "CronJob", "name": "reports"})

    shop.kubectl.apply(document)
    status = shop.await_end("backup", "hasty")

    assert (status["phase"], status["reason"]) == ("Failed", "ClaimInUse"), status
    assert not any(one.get("stoppedAt") for one in status.get("workloads", []))


@pytest.mark.alone
@pytest.mark.usefixtures("definitions")
def test_a_kind_with_a_scale_subresource_is_stopped_by_its_own_field(make_shop: MakeShop) -> None:
    shop = make_shop(WEB)
    shop.open_repository()
    shop.kubectl.apply(a_widget("press", 3))
    press = {"apiVersion": "example.org/v1", "kind": "Widget", "name": "press"}
    by_pods = backup("unknown", shop.workloads)
    named = backup("pressed", shop.workloads, claims={"names": ["data-web"]})
    by_pods["spec"]["workloads"].append(press)
    named["spec"]["workloads"].append(press)

    # nobody makes pods of widgets here, and only pods would tell its claims
    shop.kubectl.apply(by_pods)
    refused = shop.await_end("backup", "unknown")
    assert (refused["phase"], refused["reason"]) == ("Failed", "ClaimsUnknown"), refused
    assert not any(one.get("stoppedAt") for one in refused.get("workloads", []))

    shop.kubectl.apply(named)
    for members in (0, 3):
        _await_members(shop, members)
    # whoever looks after widgets says how many there are
    up = '{"status":{"members":3}}'
    shop.kubectl("patch", "widget", "press", "--subresource=status", "--type=merge", "--patch", up)
    status = shop.await_end("backup", "pressed")

    assert status["phase"] == "Succeeded", status
    assert _spec(shop, "widget", "press")["size"]["members"] == 3
    assert {"Quiesced", "Released"} <= set(checks.events(shop, "press"))
    checks.nothing_is_held(shop)


@pytest.mark.alone
@pytest.mark.usefixtures("definitions")
def test_keda_is_paused_before_the_workload_stops_and_resumed_after_it(make_shop: MakeShop) -> None:
    shop = make_shop(WEB)
    shop.open_repository()
    shop.kubectl.apply(a_scaled_object("scaler", WorkloadReference(kind="Deployment", name="web"), {}))
    shop.kubectl.apply(backup("paused", shop.workloads))
    checks.await_down(shop, WEB)

    scaler = shop.kubectl.get("scaledobject", "scaler")
    assert scaler is not None
    assert scaler["metadata"]["annotations"][_PAUSED] == "true"
    status = shop.await_end("backup", "paused")

    assert status["phase"] == "Succeeded", status
    assert [one["name"] for one in status["workloads"]] == ["scaler", "web"]
    _spec(shop, "scaledobject", "scaler")
    scaler = shop.kubectl.get("scaledobject", "scaler")
    assert scaler is not None
    assert _PAUSED not in scaler["metadata"].get("annotations", {})
    checks.nothing_is_held(shop)


def test_an_autoscaler_leaves_it_at_zero_and_has_its_own_count_again(make_shop: MakeShop) -> None:
    shop = make_shop(WEB)
    shop.open_repository()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    usage = {"type": "Utilization", "averageUtilization": 80}
    spec = {
        "scaleTargetRef": target,
        "minReplicas": 3,
        "maxReplicas": 5,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": usage}}],
    }
    metadata = {"name": "web"}
    shop.kubectl.apply(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": metadata,
            "spec": spec,
        }
    )
    three = Workload("Deployment", "web", 3)
    shop.await_ready(three)

    shop.kubectl.apply(backup("scaled", shop.workloads))
    status = shop.await_end("backup", "scaled")

    assert status["phase"] == "Succeeded", status
    assert status["workloads"][0]["replicas"] == 3
    shop.await_ready(three)
    assert _spec(shop, "deployment", "web")["replicas"] == 3
