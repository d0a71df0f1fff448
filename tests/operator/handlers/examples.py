"""Objects for the tests of the handlers."""

from datetime import timedelta
from typing import Any

from becalm_operator.api.backup import Backup, BackupStatus, Phase, WorkloadReference, WorkloadStatus
from becalm_operator.api.names import FINALIZER, RECORD_ANNOTATION
from becalm_operator.api.record import Holder, Record
from becalm_operator.api.restore import Restore
from becalm_operator.plan.world import Workload
from tests.operator.handlers.recording import NOW

WEB = WorkloadReference(kind="Deployment", name="web")
DB = WorkloadReference(kind="StatefulSet", name="db")


def metadata(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": "2025-06-01T02:00:00Z",
        **more,
    }


def backup(phase: Phase, *, name: str = "nightly", workloads: Any = (), **more: Any) -> Backup:
    spec = {"repositoryRef": {"name": "main"}, "workloads": [{"kind": "Deployment", "name": "web"}]}
    status = BackupStatus(phase=phase, phase_time=NOW, start_time=NOW, workloads=workloads)
    return Backup.model_validate({"metadata": metadata(name, **more), "spec": spec, "status": status})


def restore(phase: Phase, *, name: str = "monday", **more: Any) -> Restore:
    spec = {
        "repositoryRef": {"name": "main"},
        "source": {"snapshotID": "0123456789abcdef"},
        "targets": [{"claim": "data"}],
    }
    return Restore.model_validate(
        {"metadata": metadata(name, **more), "spec": spec, "status": {"phase": phase}}
    )


def planned(reference: WorkloadReference = WEB, replicas: int = 3, **more: Any) -> WorkloadStatus:
    return WorkloadStatus(
        kind=reference.kind, name=reference.name, uid=f"uid-{reference.name}", replicas=replicas, **more
    )


def running(reference: WorkloadReference = WEB, replicas: int = 3) -> Workload:
    return Workload(reference, f"uid-{reference.name}", "1", replicas=replicas, ready=replicas)


def record(by: str = "nightly", *, replicas: int = 3, minutes: int = 30, kind: str = "Backup") -> Record:
    return Record(
        by=Holder(kind=kind, name=by, uid=f"uid-{by}"),
        at=NOW,
        replicas=replicas,
        deadline=NOW + timedelta(minutes=minutes),
        undo="kubectl patch",
    )


def held(
    reference: WorkloadReference = WEB, *, by: str = "nightly", minutes: int = 30, kind: str = "Backup"
) -> Workload:
    found = record(by, minutes=minutes, kind=kind)
    return Workload(reference, f"uid-{reference.name}", "1", replicas=0, record=found)


def held_document(name: str = "web", by: str = "nightly") -> dict[str, Any]:
    """Return a Deployment that is held down, as the API server has it."""
    annotations = {RECORD_ANNOTATION: record(by).to_annotation()}
    spec = {"replicas": 0, "selector": {}, "template": {"metadata": {}, "spec": {"containers": []}}}
    return {"metadata": metadata(name, annotations=annotations), "spec": spec}


BOUND: dict[str, Any] = {"finalizers": [FINALIZER]}
