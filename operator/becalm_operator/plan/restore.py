"""A Restore's next step.

Pending ─ Preflight ─ Quiescing ─ Draining ─ Restoring ─ Resuming ─ Succeeded
                          └── failure, deadline, deletion ──▲       Failed
"""

from collections import Counter
from collections.abc import Iterable

from becalm_engine.contract import RestoreReport
from becalm_operator.api.backup import Phase, WorkloadReference
from becalm_operator.api.conditions import Reason
from becalm_operator.api.record import Holder
from becalm_operator.api.restore import NotSet, Restore, RestoreStatus, RestoreTarget, TargetStatus
from becalm_operator.manifests import jobs
from becalm_operator.manifests.jobs import RESTORE
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import (
    access,
    deadlines,
    identity,
    leftovers,
    preflight,
    preview,
    quiesce,
    run,
    wording,
)
from becalm_operator.plan.outcome import Failure, cannot_start, failure_of, is_missing, report_of
from becalm_operator.plan.preflight import RefusalError
from becalm_operator.plan.quiesce import Run
from becalm_operator.plan.run import SOON, WATCHED, changed, ended, entered, failing
from becalm_operator.plan.steps import Action, ApplyJob, Event, Plan
from becalm_operator.plan.world import JobState, World

RestorePlan = Plan[RestoreStatus]


def decide(restore: Restore, world: World) -> RestorePlan:
    """Return the next step of a Restore; following it twice is harmless."""
    owner = Owner(restore.kind, restore.metadata.name, restore.metadata.namespace, restore.metadata.uid)
    this = Run(
        Holder(kind=restore.kind, name=owner.name, uid=owner.uid), owner.namespace, restore.spec.quiesce
    )
    status = changed(restore.status, workloads=quiesce.absorb(this, world, restore.status.workloads))
    plan = run.guarded(
        status,
        this,
        restore.metadata,
        world,
        using=Phase.RESTORING,
        phase=lambda: _PHASES[status.phase](restore, status, this, owner, world),
    )
    plan = run.without_movers(plan, restore.status, _movers(owner, plan.status, world))
    plan = leftovers.passed_over(plan, world.gone)
    return run.completed(
        plan, restore.status, this, restore.metadata, restore.spec.repository_ref.name, world.now
    )


def _pending(restore: Restore, status: RestoreStatus, this: Run, owner: Owner, world: World) -> RestorePlan:
    waiting = access.awaiting_repository(status, world, restore.spec.repository_ref.name)
    if waiting:
        return waiting
    stopped = _to_stop(restore, world)
    return run.begun(status, restore.metadata, world, claims=_written(restore), stopped=stopped, urgent=True)


def _preflight(restore: Restore, status: RestoreStatus, this: Run, owner: Owner, world: World) -> RestorePlan:
    state = preflight.repository_state(world, restore.spec.repository_ref.name)
    if state.failure:
        return Plan(failing(status, state.failure, world.now))
    claims = _written(restore)
    if len(claims) < len(restore.spec.targets):
        twice = Failure(Reason.CLAIM_IN_USE, "two targets name the same claim to restore into")
        return Plan(failing(status, twice, world.now))
    preflight.refuse_unknown_claims(world, sorted(claims))
    preflight.refuse_claim_of_repository(world, claims)
    targets = tuple(_target(restore, target, world) for target in restore.spec.targets)
    stopped = _to_stop(restore, world)
    workloads = preflight.resolve_workloads(world, stopped)
    preflight.refuse_strangers(world, claims, stopped)
    preflight.refuse_running_jobs(world, claims, workloads, restore.spec.quiesce)
    status, waiting = access.repository_opened(status, world, owner)
    waiting = waiting or preview.seen(restore, status, targets, owner, world)
    if waiting:
        return waiting
    planned = changed(status, workloads=workloads, targets=targets)
    return Plan(entered(planned, Phase.QUIESCING, world.now, "stopping workloads"), again_seconds=SOON)


def _to_stop(restore: Restore, world: World) -> tuple[WorkloadReference, ...]:
    """Return the workloads to stop, in order: the named ones, or whoever mounts what is written."""
    if restore.spec.workloads.mode == "List":
        return restore.spec.workloads.names
    return tuple(workload.reference for workload in preflight.consumers_of(world, _written(restore)))


def _written(restore: Restore) -> frozenset[str]:
    return frozenset(target.into for target in restore.spec.targets)


def _target(restore: Restore, target: RestoreTarget, world: World) -> TargetStatus:
    """Pin the snapshot of one target, so that nothing which is made later changes what is restored."""
    return TargetStatus(
        claim=target.claim,
        to=target.into,
        snapshot_id=_snapshot(restore, target.claim, world),
        node=preflight.node_of(world, target.into),
        identity=identity.identity_of(world, [target.into, target.claim]),
    )


def _snapshot(restore: Restore, claim: str, world: World) -> str:
    source = restore.spec.source
    if source.snapshot_id:
        return source.snapshot_id
    backup = world.source
    if backup is None:
        missing = f"Backup {source.backup_name} does not exist; name the snapshot by snapshotID"
        raise RefusalError(Failure(Reason.BACKUP_NOT_FOUND, missing))
    if backup.status.phase is not Phase.SUCCEEDED:
        state = f"Backup {source.backup_name} has not succeeded, it is {backup.status.phase}"
        raise RefusalError(Failure(Reason.BACKUP_NOT_FOUND, state))
    if backup.spec.repository_ref != restore.spec.repository_ref:
        elsewhere = (
            f"Backup {source.backup_name} is in repository {backup.spec.repository_ref.name}, "
            f"not in {restore.spec.repository_ref.name}"
        )
        raise RefusalError(Failure(Reason.BACKUP_NOT_FOUND, elsewhere))
    found = next((v.snapshot_id for v in backup.status.volumes if v.claim == claim), "")
    if not found:
        absent = f"Backup {source.backup_name} has no snapshot of claim {claim}"
        raise RefusalError(Failure(Reason.SNAPSHOT_NOT_FOUND, absent))
    return found


def _quiescing(restore: Restore, status: RestoreStatus, this: Run, owner: Owner, world: World) -> RestorePlan:
    return run.stopping(status, this, world)


def _draining(restore: Restore, status: RestoreStatus, this: Run, owner: Owner, world: World) -> RestorePlan:
    return run.draining(status, this, world, _claims(status), Phase.RESTORING, "restoring files")


def _restoring(restore: Restore, status: RestoreStatus, this: Run, owner: Owner, world: World) -> RestorePlan:
    tainted = quiesce.taint(this, world, status.workloads, _claims(status), since=status.drained_at)
    if tainted:
        return Plan(failing(status, tainted, world.now), again_seconds=SOON)
    actions: list[Action] = []
    targets: list[TargetStatus] = []
    for target in status.targets:
        job = world.jobs.get(_mover_name(owner, target))
        if target.done and is_missing(job):  # Kubernetes has cleared the Job away since
            targets.append(target)
            continue
        if is_missing(job):
            actions.append(_mover(restore, status, this, owner, target, world))
        failure = _failure(job, world) if job else None
        if failure:
            return _failed(status, target, failure, world)
        targets.append(_restored(target, job, world))
    status = changed(status, targets=tuple(targets))
    if not all(target.done for target in targets):
        return Plan(changed(status, message=_progress(owner, status, world)), actions, again_seconds=WATCHED)
    # the pods were looked at after the movers' Jobs: whoever came before these had ended has been seen
    resumed = entered(status, Phase.RESUMING, world.now, "starting workloads")
    return Plan(resumed, again_seconds=SOON, at_once=True)


def _mover(
    restore: Restore, status: RestoreStatus, this: Run, owner: Owner, target: TargetStatus, world: World
) -> ApplyJob:
    assert world.repository is not None
    made = jobs.restore_job(
        owner,
        world.repository.spec,
        world.image,
        restore=restore.spec,
        target=target,
        deadline_seconds=deadlines.of_restore(this, status.workloads),
    )
    return ApplyJob(made)


def _progress(owner: Owner, status: RestoreStatus, world: World) -> str:
    """Say what a mover waits for, or how many are done."""
    stuck = next((job.stuck for job in _movers(owner, status, world) if job.stuck), "")
    done = sum(target.done for target in status.targets)
    return stuck or wording.progress("restoring claims", done, len(status.targets), "done")


def _failure(job: JobState, world: World) -> Failure | None:
    if not job.finished:
        return cannot_start(job, world.now)
    if job.succeeded and report_of(job, RestoreReport) is not None:
        return None
    return failure_of(job, RestoreReport, Reason.RESTORE_FAILED)


def _failed(status: RestoreStatus, target: TargetStatus, failure: Failure, world: World) -> RestorePlan:
    at_fault = target.model_copy(update={"error": failure.message})
    targets = tuple(at_fault if one.to == target.to else one for one in status.targets)
    reason = Failure(failure.reason, f"claim {target.to}: {failure.message}")
    return Plan(failing(changed(status, targets=targets), reason, world.now), again_seconds=SOON)


def _restored(target: TargetStatus, job: JobState | None, world: World) -> TargetStatus:
    over = job is not None and job.succeeded and not world.holds(job, target.to)
    report = report_of(job, RestoreReport) if job and over else None
    if report is None:
        return target
    return target.model_copy(
        update={
            "done": True,
            "files_restored": report.files_restored,
            "bytes_restored": report.bytes_restored,
            "files_deleted": report.files_deleted,
            "not_set": _not_set(report),
        }
    )


def _not_set(report: RestoreReport) -> tuple[NotSet, ...]:
    """Return what a mover could not set. One of another version may count in its own way."""
    counts = ((what, count) for what, count in sorted(report.problems.items()) if type(count) is int)
    return tuple(NotSet(what=what, files=count) for what, count in counts if count > 0)


def _resuming(restore: Restore, status: RestoreStatus, this: Run, owner: Owner, world: World) -> RestorePlan:
    plan = run.resuming(status, this, world, _movers(owner, status, world))
    if plan:
        return plan
    if status.reason:
        return Plan(ended(status, Phase.FAILED, world.now, status.message))
    return _succeeded(status, world)


def _succeeded(status: RestoreStatus, world: World) -> RestorePlan:
    files = sum(target.files_restored for target in status.targets)
    summary = f"{files} files in {len(status.targets)} claims"
    complaint = _complaint(status.targets)
    if not complaint:
        return Plan(ended(status, Phase.SUCCEEDED, world.now, summary))
    told = f"{summary}; but {complaint}"
    event = Event("MetadataNotSet", told, "Warning")
    return Plan(ended(status, Phase.SUCCEEDED, world.now, told), events=(event,))


def _complaint(targets: Iterable[TargetStatus]) -> str:
    """Say what could not be set on how many files, over all targets; nothing if all could."""
    counts = Counter[str]()
    for target in targets:
        counts.update({one.what: one.files for one in target.not_set})
    return ", ".join(
        f"the {what} could not be set on {'one file' if count == 1 else f'{count} files'}"
        for what, count in sorted(counts.items())
    )


def _claims(status: RestoreStatus) -> frozenset[str]:
    return frozenset(target.to for target in status.targets)


def _mover_name(owner: Owner, target: TargetStatus) -> str:
    return job_name(owner.name, owner.uid, RESTORE, target.to)


def _movers(owner: Owner, status: RestoreStatus, world: World) -> list[JobState]:
    found = (world.jobs.get(_mover_name(owner, target)) for target in status.targets)
    return [job for job in found if job is not None]


_PHASES = {
    Phase.PENDING: _pending,
    Phase.PREFLIGHT: _preflight,
    Phase.QUIESCING: _quiescing,
    Phase.DRAINING: _draining,
    Phase.RESTORING: _restoring,
    Phase.RESUMING: _resuming,
}
