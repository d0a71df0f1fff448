"""The main job, told step by step: a shop is backed up, loses its data, and gets it back."""

import sys
import textwrap
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from e2e.kubectl import require
from e2e.lab import Lab, lab
from e2e.objects import Document
from e2e.paths import SetUpError
from e2e.shell import run as run_program
from e2e.shop import PASSWORD, Shop, Workload, backup, restore

_NAMESPACE = "shop"
_TAG = "before-the-storm"
_WATCH_SECONDS = 240


def run() -> None:
    """Show the main job on a real cluster.

    Raises:
        SetUpError: Anything did not go as it should.
    """
    began = time.monotonic()
    here = lab()
    _step("A cluster, the image and the chart")
    here.cluster.up()
    here.install()
    shop = _opened(here)
    before = {workload: shop.checksums(workload) for workload in shop.workloads}
    status = _back_up(shop)
    _list_snapshots(here, shop)
    _destroy(shop, before)
    _restore(shop, status)
    _prove(here, shop, before, status)
    _look_around(here, time.monotonic() - began)


def down() -> None:
    """Remove the demo and its cluster."""
    lab().cluster.down()


def _step(title: str) -> None:
    print(f"\n\033[1m━━ {title}\033[0m" if sys.stdout.isatty() else f"\n━━ {title}", flush=True)


def _tell(text: str) -> None:
    print(textwrap.indent(text.rstrip(), "   "), flush=True)


def _opened(here: Lab) -> Shop:
    _step(
        "A shop: the Deployment web (2 replicas) and the StatefulSet db, each writing to a claim of its own"
    )
    shop = Shop(here.kubectl.within(_NAMESPACE), here.s3)
    if here.kubectl.get("namespace", _NAMESPACE):
        _tell("the shop of an earlier demo is closed first")
        shop.close()
    shop.open()
    _tell(shop.kubectl("get", "deployments,statefulsets,persistentvolumeclaims"))
    _step(f"A BackupRepository on S3 ({shop.s3.endpoint}); it makes itself")
    shop.open_repository(anew=True)
    _tell(shop.kubectl("get", "backuprepositories", "-o", "wide"))
    return shop


def _back_up(shop: Shop) -> Document:
    _step(f"A Backup of both under the tag {_TAG!r}: stopped in order, captured together, started in reverse")
    shop.kubectl.apply(backup("demo", shop.workloads, tags=[_TAG]))
    status = _watch(shop, "backup", "demo")
    require(status["phase"] == "Succeeded", f"the Backup failed: {status.get('message')}")
    _tell(shop.kubectl("get", "backups"))
    for workload in status["workloads"]:
        down_seconds = (_time(workload["startedAt"]) - _time(workload["stoppedAt"])).total_seconds()
        _tell(f"{workload['kind'].lower()}/{workload['name']} was down for {down_seconds:.0f} s")
    _tell(f"measured downtime of the group: {status['downtime']}")
    return status


def _watch(shop: Shop, kind: str, name: str) -> Document:
    """Print each change of phase and of the replicas until the run has ended."""
    shown = ""
    deadline = time.monotonic() + _WATCH_SECONDS
    while time.monotonic() < deadline:
        status = shop.kubectl.status(kind, name)
        counts = "  ".join(_count(shop, workload) for workload in shop.workloads)
        line = f"{status.get('phase', 'Pending'):11} {counts}   {status.get('message', '')[:70]}"
        if line != shown:
            _tell(f"{datetime.now():%H:%M:%S}  {line}")  # noqa: DTZ005  the clock on the wall
            shown = line
        if status.get("phase") in ("Succeeded", "Failed"):
            return status
        time.sleep(0.2)
    raise SetUpError(f"{kind} {name} has not ended within {_WATCH_SECONDS} s")


def _count(shop: Shop, workload: Workload) -> str:
    found = shop.kubectl.get(workload.kind, workload.name) or {}
    ready = found.get("status", {}).get("readyReplicas", 0)
    return f"{workload.name} {ready}/{found['spec']['replicas']}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _environment(shop: Shop) -> dict[str, str]:
    place = f"s3:{shop.s3.endpoint}/{shop.bucket}/shop"
    return {**shop.s3.credentials(), "RESTIC_REPOSITORY": place, "RESTIC_PASSWORD": PASSWORD}


def _becalm() -> str:
    return str(Path(sys.executable).parent / "becalm")


def _list_snapshots(here: Lab, shop: Shop) -> None:
    _step("The snapshots, as becalm lists them")
    _tell(run_program([_becalm(), "snapshots"], env=_environment(shop)))
    _step("and as restic does: the repository is restic's own format")
    restic = [here.places.binary("restic-0.19"), "--no-cache"]
    _tell(run_program([*restic, "snapshots"], env=_environment(shop)))
    _tell(run_program([*restic, "check", "--read-data"], env=_environment(shop)))


def _destroy(shop: Shop, before: Mapping[Workload, str]) -> None:
    _step("A bad day: files are deleted, others overwritten")
    for workload in shop.workloads:
        shop.destroy(workload)
        require(shop.checksums(workload) != before[workload], "the data has not been destroyed")
    _tell(shop.kubectl.exec(shop.pod(shop.workloads[1]), "ls", "-la", "/data", "/data/catalogue"))


def _restore(shop: Shop, status: Document) -> None:
    _step("A Restore: consumers are stopped, files put back and verified, consumers started")
    claims = [volume["claim"] for volume in status["volumes"]]
    shop.kubectl.apply(restore("demo", "demo", claims))
    ended = _watch(shop, "restore", "demo")
    require(ended["phase"] == "Succeeded", f"the Restore failed: {ended.get('message')}")
    _tell(shop.kubectl("get", "restores"))


def _prove(here: Lab, shop: Shop, before: Mapping[Workload, str], status: Document) -> None:
    _step("Proof")
    for workload in shop.workloads:
        shop.await_ready(workload)
        require(shop.checksums(workload) == before[workload], f"{workload.name}: the data differs")
        lines = len(before[workload].splitlines())
        _tell(
            f"{workload.name}: names, kinds, modes, owners and contents are what they were ({lines} lines agree)"
        )
    volume = status["volumes"][0]
    restic = [here.places.binary("restic-0.19"), "--no-cache", "dump", volume["snapshotID"]]
    item = f"/data/{volume['claim']}/catalogue/item-3"
    dumped = run_program(
        ["sh", "-c", '"$@" | sha256sum', "sh", *restic, item], env=_environment(shop)
    ).split()[0]
    require(dumped in before[shop.workloads[0]], "restic reads another content than the pod does")
    _tell("restic dump of one file has the checksum that the pod sees")


def _look_around(here: Lab, seconds: float) -> None:
    _step(f"Done in {seconds:.0f} s. To look around:")
    _tell(
        f"""
export KUBECONFIG={here.cluster.kubeconfig} PATH={here.places.binaries}:$PATH
kubectl -n {_NAMESPACE} get becalm
kubectl -n {_NAMESPACE} describe backup demo
kubectl -n {_NAMESPACE} describe deployment web
kubectl -n becalm logs deploy/becalm

To remove it all: make demo-down
""".strip()
    )
