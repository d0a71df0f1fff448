"""What must hold after every run, whatever happened in it."""

import json

from e2e.objects import Document
from e2e.paths import places
from e2e.shell import run
from e2e.shop import PASSWORD, PREFIX, Shop, Workload

_RECORD = "becalm.dev/quiesced"
_FINALIZER = "becalm.dev/release-workloads"


def nothing_is_held(shop: Shop) -> None:
    """All workloads have their counts, no record is left, and no finalizer of a finished run."""
    for workload in shop.workloads:
        shop.await_ready(workload)
        found = shop.kubectl.get(workload.kind, workload.name)
        assert found is not None
        assert _RECORD not in found["metadata"].get("annotations", {})
    for one in _runs(shop):
        assert one["status"]["phase"] in ("Succeeded", "Failed"), one["status"]
    # it goes in an update of its own, just after the last word
    shop.kubectl.until(
        "no run carries the finalizer", lambda: _runs(shop), lambda seen: not any(map(_is_bound, seen))
    )


def _runs(shop: Shop) -> list[Document]:
    return [one for kind in ("backups", "restores") for one in shop.kubectl.list(f"{kind}.becalm.dev")]


def _is_bound(run: Document) -> bool:
    return _FINALIZER in run["metadata"].get("finalizers", [])


def is_down(shop: Shop) -> bool:
    """Say whether any workload carries a record."""
    found = [shop.kubectl.get(workload.kind, workload.name) for workload in shop.workloads]
    return any(_RECORD in one["metadata"].get("annotations", {}) for one in found if one)


def record(shop: Shop, workload: Workload) -> Document:
    """Return what the record on a workload says."""
    found = shop.kubectl.get(workload.kind, workload.name)
    assert found is not None
    said: Document = json.loads(found["metadata"]["annotations"][_RECORD])
    return said


def await_down(shop: Shop, workload: Workload) -> Document:
    """Wait until a workload is down with its record; return the record."""
    shop.kubectl.until(
        f"{workload.name} is down",
        lambda: shop.kubectl.get(workload.kind, workload.name),
        lambda seen: _RECORD in seen["metadata"].get("annotations", {}),
    )
    return record(shop, workload)


def restic_snapshots(shop: Shop, *, check: bool = True) -> list[Document]:
    """Return what the real restic lists in the shop's repository, after it has found no fault in it."""
    if check:
        restic(shop, "check", "--read-data")
    found: list[Document] = json.loads(restic(shop, "snapshots", "--json"))
    return found


def restic(shop: Shop, *arguments: str) -> str:
    """Run the real restic on the shop's repository; return what it printed."""
    environment = {
        **shop.s3.credentials(),
        "RESTIC_REPOSITORY": f"s3:{shop.s3.endpoint}/{shop.bucket}/{PREFIX}",
        "RESTIC_PASSWORD": PASSWORD,
    }
    return run([places().binary("restic-0.19"), "--no-cache", *arguments], env=environment)


def events(shop: Shop, name: str) -> list[str]:
    """Return the reasons of the events about an object."""
    found = shop.kubectl.list("events", fields=f"involvedObject.name={name}")
    return [event["reason"] for event in found]
