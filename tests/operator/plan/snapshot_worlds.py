"""What Backups with `capture: Snapshot` see: claims of a CSI driver, and snapshots of them."""

from datetime import datetime
from typing import Any

from becalm_operator.api.backup import BackupStatus, Phase, VolumeStatus
from becalm_operator.api.snapshots import VolumeSnapshotStatus
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.snapshots import SNAPSHOT
from becalm_operator.plan.backup import decide
from becalm_operator.plan.snapshot_world import SnapshotClass, Snapshots, StorageKind, Taken
from becalm_operator.plan.steps import Plan
from becalm_operator.plan.world import Claim, World
from tests.operator.plan.worlds import NOW, UID, a_backup, stopped

DRIVER = "csi.example.org"
CLAIMS = ("uploads", "data-db-0")
CLASS = SnapshotClass("snap", DRIVER)
MEANS = Snapshots(
    drivers=dict.fromkeys(CLAIMS, DRIVER), classes=(CLASS,), kinds={"fast": StorageKind(DRIVER)}
)
UP = stopped(started_at=NOW, released_at=NOW)


def a_claim(name: str, **more: Any) -> Claim:
    fields: dict[str, Any] = {
        "volume": f"pv-{name}",
        "storage_class": "fast",
        "access_modes": ("ReadWriteOnce",),
        "size_bytes": 100,
    }
    return Claim(name, bound=True, **{**fields, **more})


def name_of(claim: str) -> str:
    return job_name("b", UID, SNAPSHOT, claim)


def a_volume(claim: str, **snapshot: Any) -> VolumeStatus:
    made = VolumeSnapshotStatus(
        name=name_of(claim),
        class_name="snap",
        storage_class_name="fast",
        access_modes=("ReadWriteOnce",),
        size_bytes=100,
        **snapshot,
    )
    return VolumeStatus(claim=claim, snapshot=made)


def volumes(**snapshot: Any) -> tuple[VolumeStatus, ...]:
    return tuple(a_volume(claim, **snapshot) for claim in CLAIMS)


def taken(*claims: str, created: datetime = NOW, **more: Any) -> Snapshots:
    return Snapshots(taken={name_of(claim): Taken(name_of(claim), created, **more) for claim in claims})


def act(
    phase: Phase,
    world: World,
    *,
    spec: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
    **status: Any,
) -> Plan[BackupStatus]:
    fields = {"capture": "Snapshot", **(spec or {})}
    return decide(a_backup(phase, spec=fields, meta=meta, **status), world)
