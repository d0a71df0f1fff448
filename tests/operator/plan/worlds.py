"""Worlds for decisions: a shop with two workloads, and whatever a test changes about it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from becalm_engine.contract import AccessReport, CaptureReport, CommitReport, Report, RestoreReport
from becalm_operator.api.backup import (
    Backup,
    BackupStatus,
    Phase,
    VolumeStatus,
    WorkloadReference,
    WorkloadStatus,
)
from becalm_operator.api.conditions import Condition, Reason
from becalm_operator.api.record import Holder, Record
from becalm_operator.api.repository import BackupRepository, BackupRepositoryStatus
from becalm_operator.api.restore import Restore, RestoreStatus, TargetStatus
from becalm_operator.api.schedule import BackupSchedule, BackupScheduleStatus
from becalm_operator.manifests.jobs import ACCESS, COMMIT, MOVER, PREVIEW, Image
from becalm_operator.manifests.names import job_name
from becalm_operator.plan import conditions
from becalm_operator.plan.steps import Action, ApplyJob, Plan
from becalm_operator.plan.world import Claim, JobState, OtherRun, Pod, Workload, World

NOW = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)
IMAGE = Image("becalm:test", "IfNotPresent")
WEB = WorkloadReference(kind="Deployment", name="web")
DB = WorkloadReference(kind="StatefulSet", name="db")
REPOSITORY_ID = "ab" * 32
UID = "uid-b"


def later(**duration: float) -> datetime:
    return NOW + timedelta(**duration)


# --- objects of ours


def a_metadata(name: str, /, **more: Any) -> dict[str, Any]:
    made = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "generation": 1,
        "creationTimestamp": NOW,
    }
    return {**made, **more}


def a_backup(
    phase: Phase = Phase.PENDING,
    *,
    spec: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
    **status: Any,
) -> Backup:
    workloads = [{"kind": "Deployment", "name": "web"}, {"kind": "StatefulSet", "name": "db"}]
    fields = {"repositoryRef": {"name": "main"}, "workloads": workloads, **(spec or {})}
    made = BackupStatus(phase=phase).model_copy(update={"phase_time": NOW, "start_time": NOW, **status})
    return Backup.model_validate(
        {"metadata": a_metadata("b", **(meta or {})), "spec": fields, "status": made}
    )


def a_restore(phase: Phase = Phase.PENDING, *, spec: dict[str, Any] | None = None, **status: Any) -> Restore:
    fields = {
        "repositoryRef": {"name": "main"},
        "source": {"backupName": "b"},
        "targets": [{"claim": "uploads"}],
        **(spec or {}),
    }
    made = RestoreStatus(phase=phase).model_copy(update={"phase_time": NOW, "start_time": NOW, **status})
    return Restore.model_validate({"metadata": a_metadata("r"), "spec": fields, "status": made})


def a_condition(status: str, reason: Reason, *, generation: int = 1, message: str = "told") -> Condition:
    return Condition.model_validate(
        {
            "type": "Ready",
            "status": status,
            "reason": reason.value,
            "observedGeneration": generation,
            "lastTransitionTime": NOW,
            "message": message,
        }
    )


def a_repository(
    condition: Condition | None = None,
    *,
    mover: dict[str, Any] | None = None,
    storage: dict[str, Any] | None = None,
    **status: Any,
) -> BackupRepository:
    fields = {
        "conditions": (condition or a_condition("True", Reason.READY),),
        "repository_id": REPOSITORY_ID,
        **status,
    }
    return BackupRepository.model_validate(
        {
            "metadata": a_metadata("main"),
            "spec": {
                "storage": storage or {"s3": {"bucket": "backups", "credentialsSecretRef": {"name": "s3"}}},
                "passwordSecretRef": {"name": "password"},
                "mover": mover or {},
            },
            "status": fields,
        }
    )


def a_schedule(
    spec: dict[str, Any] | None = None, *, meta: dict[str, Any] | None = None, **status: Any
) -> BackupSchedule:
    template = {
        "spec": {"repositoryRef": {"name": "main"}, "workloads": [{"kind": "Deployment", "name": "web"}]}
    }
    fields = {"schedule": "0 3 * * *", "template": template, **(spec or {})}
    return BackupSchedule.model_validate(
        {"metadata": a_metadata("nightly", **(meta or {})), "spec": fields, "status": status}
    )


# --- what is in the cluster


def a_record(replicas: int = 3, *, uid: str = UID, at: datetime = NOW, minutes: float = 30) -> Record:
    holder = Holder(kind="Backup", name="b", uid=uid)
    return Record(
        by=holder, at=at, replicas=replicas, deadline=at + timedelta(minutes=minutes), undo="kubectl"
    )


def web(replicas: int = 3, **more: Any) -> Workload:
    return _workload(WEB, replicas, ("uploads",), more)


def db(replicas: int = 1, **more: Any) -> Workload:
    return _workload(DB, replicas, ("data-db-0",), more)


def _workload(
    reference: WorkloadReference, replicas: int, claims: tuple[str, ...], more: dict[str, Any]
) -> Workload:
    fields: dict[str, Any] = {
        "uid": f"uid-{reference.name}",
        "resource_version": "7",
        "ready": replicas,
        "claims": claims,
    }
    return Workload(reference, replicas=replicas, **{**fields, **more})


def held_web(replicas: int = 0, **more: Any) -> Workload:
    return web(replicas, **{"record": a_record(3), **more})


def held_db(replicas: int = 0, **more: Any) -> Workload:
    return db(replicas, **{"record": a_record(1), **more})


def a_pod(name: str, owner: str, *claims: str, **more: Any) -> Pod:
    return Pod(name, owner, claims, "node-1", **more)


PODS = (a_pod("web-1", "deployment/web", "uploads"), a_pod("db-0", "statefulset/db", "data-db-0"))


def a_world(*workloads: Workload, jobs: Iterable[JobState] = (), **more: Any) -> World:
    """Return the shop with both workloads up, unless others are given."""
    known = workloads or (web(), db())
    fields: dict[str, Any] = {
        "now": NOW,
        "image": IMAGE,
        "repository": a_repository(),
        "dumps_enabled": True,
        "pods": () if workloads else PODS,
        "claims": {name: Claim(name, bound=True) for name in ("uploads", "data-db-0")},
        **more,
    }
    return World(
        workloads={str(workload.reference): workload for workload in known},
        jobs={job.name: job for job in jobs},
        **fields,
    )


def an_other(
    name: str, *, started: bool = False, created: datetime = NOW, claims: Iterable[str] = ("uploads",)
) -> OtherRun:
    return OtherRun(name, f"uid-{name}", started, created, frozenset(claims), frozenset())


def a_former(name: str, seconds: int, *, ended: datetime = NOW, **more: Any) -> Backup:
    """Return a Backup that has succeeded."""
    status = {"completion_time": ended, "downtime_seconds": seconds, **more}
    return a_backup(Phase.SUCCEEDED, meta=a_metadata(name), **status)


# --- states of a run


def planned(
    *, web_stopped: datetime | None = None, db_stopped: datetime | None = None, **both: Any
) -> tuple[WorkloadStatus, ...]:
    return (
        WorkloadStatus(
            kind="Deployment", name="web", uid="uid-web", replicas=3, stopped_at=web_stopped, **both
        ),
        WorkloadStatus(
            kind="StatefulSet", name="db", uid="uid-db", replicas=1, stopped_at=db_stopped, **both
        ),
    )


def stopped(at: datetime = NOW, **both: Any) -> tuple[WorkloadStatus, ...]:
    return planned(web_stopped=at, db_stopped=at, **both)


def volumes(**more: Any) -> tuple[VolumeStatus, ...]:
    """Return the states of volumes that are read, unless `tree` is empty."""
    return tuple(
        VolumeStatus(claim=claim, **{"tree": f"tree-{claim}", **more}) for claim in ("uploads", "data-db-0")
    )


def targets(**more: Any) -> tuple[TargetStatus, ...]:
    return (TargetStatus(claim="uploads", to="uploads", snapshot_id="cd" * 32, **more),)


# --- Jobs


def a_job(
    role: str, part: str = "", *, report: Report | str = "", owner: tuple[str, str] = ("b", UID), **more: Any
) -> JobState:
    text = report if isinstance(report, str) else report.to_json()
    return JobState(job_name(*owner, role, part), **{"created": NOW, "report": text, **more})


def succeeded(role: str, report: Report | str, part: str = "", **more: Any) -> JobState:
    return a_job(role, part, report=report, succeeded=True, exit_code=0, **more)


def failed(role: str, report: Report | str = "", part: str = "", **more: Any) -> JobState:
    return a_job(role, part, report=report, failed=True, **{"exit_code": 1, **more})


def opened(repository_id: str = REPOSITORY_ID, **more: Any) -> JobState:
    return succeeded(ACCESS, AccessReport(repository_id=repository_id, version=2), **more)


def previewed(to: str = "uploads", **more: Any) -> JobState:
    """Return the Job of a Restore that has seen that it can begin."""
    return succeeded(PREVIEW, RestoreReport(), to, owner=("r", "uid-r"), **more)


def captured(claim: str, **more: Any) -> JobState:
    report = CaptureReport(
        **{"tree": f"tree-{claim}", "files_new": 7, "bytes_processed": 70, "bytes_added_packed": 7, **more}
    )
    return succeeded(MOVER, report, claim)


def at_gate(claim: str, **more: Any) -> JobState:
    fields = {"active": True, "ready": True, "gate": "closed", "pod": f"pod-{claim}", **more}
    return a_job(MOVER, claim, **fields)


def all_at_gate(**more: Any) -> tuple[JobState, ...]:
    return at_gate("uploads", **more), at_gate("data-db-0", **more)


def all_captured() -> tuple[JobState, ...]:
    return captured("uploads"), captured("data-db-0")


def committed(*claims: str, part: str = "") -> JobState:
    snapshots = tuple(f"snapshot-{claim}" for claim in claims or ("uploads", "data-db-0"))
    return succeeded(COMMIT, CommitReport(snapshots=snapshots), part)


# --- plans


def fails(
    plan: Plan[BackupStatus] | Plan[RestoreStatus], reason: Reason, *, phase: Phase = Phase.FAILED
) -> str:
    """See that a plan fails a run for a reason; return what is told."""
    assert (plan.status.phase, plan.status.reason) == (phase, reason.value), plan.status.message
    return plan.status.message


def told(plan: Plan[BackupRepositoryStatus] | Plan[BackupScheduleStatus]) -> tuple[str, str]:
    """Return the status and the reason of the condition Ready."""
    condition = conditions.find(plan.status.conditions, "Ready")
    assert condition is not None
    return condition.status, condition.reason


def jobs_made(plan: Plan[Any]) -> list[str]:
    """Return the roles of the Jobs that a plan makes."""
    return [role_of(action) for action in plan.actions if isinstance(action, ApplyJob)]


def role_of(action: Action) -> str:
    assert isinstance(action, ApplyJob)
    assert action.job.metadata is not None
    return (action.job.metadata.labels or {})["becalm.dev/role"]
