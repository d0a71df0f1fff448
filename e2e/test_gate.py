"""A mover that reads ahead, waits at its gate, and captures what changed in between."""

import pytest

from e2e import checks
from e2e.conftest import MakeShop
from e2e.objects import Document
from e2e.paths import places
from e2e.shell import run
from e2e.shop import PASSWORD, Shop, Workload, backup

pytestmark = pytest.mark.cluster


def mover_at_gate(shop: Shop) -> Document:
    """Wait until the workload goes down, and return the mover's pod as it is then."""
    shop.kubectl.until(
        "the workload goes down",
        lambda: shop.kubectl.status("backup", "ahead"),
        lambda seen: seen.get("phase") == "Draining",
    )
    (pod,) = shop.kubectl.list("pods", labels="becalm.dev/role=mover")
    found: Document = pod
    return found


def file_of(shop: Shop, snapshot: str, path: str) -> str:
    """Return a file of a snapshot, as the real restic reads it."""
    environment = {
        **shop.s3.credentials(),
        "RESTIC_REPOSITORY": f"s3:{shop.s3.endpoint}/{shop.bucket}/shop",
        "RESTIC_PASSWORD": PASSWORD,
    }
    return run([places().binary("restic-0.19"), "--no-cache", "dump", snapshot, path], env=environment)


def test_what_changed_after_the_first_pass_is_captured(make_shop: MakeShop) -> None:
    web = Workload("Deployment", "web", stop_seconds=4)
    shop = make_shop(web)
    shop.open_repository()
    shop.kubectl.apply(backup("ahead", shop.workloads))

    pod = mover_at_gate(shop)
    status = shop.await_end("backup", "ahead")

    assert status["phase"] == "Succeeded", status
    (volume,) = status["volumes"]
    assert volume["preCopied"] is True, volume
    checks.nothing_is_held(shop)
    captured = file_of(shop, volume["snapshotID"], f"/data/{web.claim}/orders")
    now = shop.kubectl.exec(shop.pod(web), "cat", "/data/orders")
    assert now.startswith(f"{captured}order 1\n"), "the snapshot ends where the application was stopped"
    _stood_at_its_gate(pod)


def _stood_at_its_gate(pod: Document) -> None:
    assert pod["metadata"]["annotations"]["becalm.dev/gate"] == "closed"
    conditions = {one["type"]: one["status"] for one in pod["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    spec = pod["spec"]
    (container,) = spec["containers"]
    assert "--pre-copy" in container["command"]
    assert container["startupProbe"]["periodSeconds"] == 1
    assert spec["automountServiceAccountToken"] is False
    (mount,) = [one for one in container["volumeMounts"] if one["mountPath"].startswith("/data/")]
    assert mount["readOnly"] is True
