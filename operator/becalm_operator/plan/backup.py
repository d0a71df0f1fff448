"""A Backup's next step.

Pending ─ Preflight ─ Preparing ─ Quiescing ─ Draining ─ Capturing ─ Resuming ─ (Uploading) ─ Finishing ─ Succeeded
                                      └────── failure, deadline, deletion ────▲                          Failed

Uploading is a part of `capture: Snapshot` alone; what else is particular to that is in `snapshots`.
"""

from collections.abc import Sequence

from becalm_engine.contract import (
    CaptureReport,
    CommitReport,
    ExitCode,
)
from becalm_operator.api.backup import Backup, BackupStatus, Phase, VolumeStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.api.record import Holder
from becalm_operator.manifests import jobs
from becalm_operator.manifests.jobs import COMMIT
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import (
    access,
    downtime,
    dumps,
    gate,
    guards,
    hooked,
    hooks,
    identity,
    leftovers,
    preflight,
    publishing,
    quantities,
    quiesce,
    retention,
    run,
    snapshots,
    unmade,
    withdrawal,
    wording,
)
from becalm_operator.plan.outcome import (
    START_TIMEOUT,
    Failure,
    awaited,
    cannot_start,
    failure_of,
    is_missing,
    report_of,
)
from becalm_operator.plan.quiesce import Run
from becalm_operator.plan.run import SOON, WAITING, WATCHED, changed, ended, entered, failing
from becalm_operator.plan.steps import Action, ApplyJob, DeleteJob, Plan, ScaleDown
from becalm_operator.plan.world import JobState, World

_COMMIT_TRIES = 3

BackupPlan = Plan[BackupStatus]


def decide(backup: Backup, world: World) -> BackupPlan:
    """Return the next step of a Backup; following it twice is harmless."""
    owner = Owner(backup.kind, backup.metadata.name, backup.metadata.namespace, backup.metadata.uid)
    holder = Holder(kind=backup.kind, name=owner.name, uid=owner.uid)
    this = Run(holder, owner.namespace, backup.spec.quiesce)
    status = backup.status
    status = changed(status, workloads=quiesce.absorb(this, world, status.workloads))
    plan = run.guarded(
        status,
        this,
        backup.metadata,
        world,
        using=Phase.CAPTURING,
        phase=lambda: _PHASES[status.phase](backup, status, this, owner, world),
    )
    if snapshots.is_wished(backup.spec):
        plan = snapshots.cleared(plan, world, gate.movers(owner, plan.status, world))
    else:
        plan = run.without_movers(plan, backup.status, gate.movers(owner, plan.status, world))
    plan = leftovers.passed_over(plan, world.gone)
    return run.completed(
        plan, backup.status, this, backup.metadata, backup.spec.repository_ref.name, world.now
    )


def _pending(backup: Backup, status: BackupStatus, this: Run, owner: Owner, world: World) -> BackupPlan:
    waiting = access.awaiting_repository(status, world, backup.spec.repository_ref.name)
    if waiting:
        return waiting
    preflight.refuse_missing(world, backup.spec.workloads)
    claims = frozenset(preflight.resolve_claims(world, backup))
    return run.begun(
        status,
        backup.metadata,
        world,
        claims=claims,
        stopped=backup.spec.workloads,
        dumps=len(backup.spec.dumps),
    )


def _preflight(backup: Backup, status: BackupStatus, this: Run, owner: Owner, world: World) -> BackupPlan:
    state = preflight.repository_state(world, backup.spec.repository_ref.name)
    if state.failure:
        return Plan(failing(status, state.failure, world.now))
    workloads = preflight.resolve_workloads(world, backup.spec.workloads)
    preflight.refuse_untold_claims(world, backup)
    claims = preflight.resolve_claims(world, backup)
    preflight.refuse_bad_claims(world, claims)
    preflight.refuse_claim_of_repository(world, claims)
    preflight.refuse_strangers(world, frozenset(claims), backup.spec.workloads)
    preflight.refuse_running_jobs(world, frozenset(claims), workloads, backup.spec.quiesce)
    volumes = identity.identified(world, _planned_volumes(backup, owner, world, claims))
    hooks.refuse(backup.spec, owner, world)
    dumps.refuse(backup.spec, owner, world)
    status, waiting = access.repository_opened(status, world, owner)
    if waiting:
        return waiting
    expected = downtime.forecast(backup, world.former)
    planned = changed(
        status,
        workloads=workloads,
        volumes=volumes,
        dumps=dumps.planned(backup.spec),
        forecast=expected,
    )
    events = (downtime.forecast_event(expected),) if expected else ()
    return Plan(
        entered(planned, Phase.PREPARING, world.now, "starting movers"), events=events, again_seconds=SOON
    )


def _planned_volumes(
    backup: Backup, owner: Owner, world: World, claims: Sequence[str]
) -> tuple[VolumeStatus, ...]:
    if snapshots.is_wished(backup.spec):
        return snapshots.planned(world, backup.spec, owner, claims)
    return tuple(gate.planned(world, claim, preflight.node_of(world, claim)) for claim in claims)


def _preparing(backup: Backup, status: BackupStatus, this: Run, owner: Owner, world: World) -> BackupPlan:
    """Do what needs no standstill. A store that is lost meanwhile is waited for."""
    withdrawn = withdrawal.withdrawn(backup, status, owner, world)
    if withdrawn:
        return withdrawn
    status, waiting = dumps.taking(backup, status, owner, world)
    if waiting:
        return waiting
    return gate.preparing(backup, status, owner, world)


def _quiescing(backup: Backup, status: BackupStatus, this: Run, owner: Owner, world: World) -> BackupPlan:
    plan = gate.fallen(status, owner, world) or _stopping(backup, status, this, world)
    return hooked.before_stop(backup, status, owner, world, plan)


def _stopping(backup: Backup, status: BackupStatus, this: Run, world: World) -> BackupPlan:
    """Stop the next workload, unless it has got claims meanwhile that nobody would read: hooks and drains take time."""
    plan = run.stopping(status, this, world)
    stopped = [action.workload for action in plan.actions if isinstance(action, ScaleDown)]
    more = set(preflight.selected_claims(world, backup, stopped)) - _claims(status)
    if not stopped or not more:
        return plan
    which = ", ".join(sorted(more)[:5])
    mounts = f"{stopped[0]} mounts other claims than when the run began ({which}); the next run takes them"
    return Plan(failing(status, Failure(Reason.WORKLOAD_CHANGED, mounts), world.now), again_seconds=SOON)


def _draining(backup: Backup, status: BackupStatus, this: Run, owner: Owner, world: World) -> BackupPlan:
    if not snapshots.is_wished(backup.spec):
        plan = run.draining(status, this, world, _claims(status), Phase.CAPTURING, "reading volumes")
        return gate.fallen(status, owner, world) or plan
    plan = run.draining(status, this, world, _claims(status), Phase.CAPTURING, "making snapshots")
    return snapshots.detached(plan, status, this, world)


def _capturing(backup: Backup, status: BackupStatus, this: Run, owner: Owner, world: World) -> BackupPlan:
    tainted = quiesce.taint(this, world, status.workloads, _claims(status), since=status.drained_at)
    if tainted:
        return Plan(failing(status, tainted, world.now), again_seconds=SOON)
    if snapshots.is_wished(backup.spec):
        status = unmade.overcome(status, world)
        return unmade.given_up(status, world) or unmade.shown(snapshots.capturing(status, owner, world))
    return _reading(backup, status, owner, world, Phase.RESUMING, "starting workloads")


def _uploading(backup: Backup, status: BackupStatus, this: Run, owner: Owner, world: World) -> BackupPlan:
    given_up = run.without_repository(status, world)
    return given_up or _reading(backup, status, owner, world, Phase.FINISHING, "writing snapshots")


def _reading(
    backup: Backup, status: BackupStatus, owner: Owner, world: World, then: Phase, message_then: str
) -> BackupPlan:
    """Have all volumes read, or the copies that snapshots make of them."""
    since = status.phase_time or world.now
    actions = gate.openings(gate.movers(owner, status, world), since, world.now)
    volumes: list[VolumeStatus] = []
    running = 0
    for volume in status.volumes:
        job = world.jobs.get(gate.mover_name(owner, volume.claim))
        if volume.tree and is_missing(job):  # read, and Kubernetes has cleared the Job away since
            volumes.append(volume)
            continue
        failure = _capture_failure(backup, volume, job, world) if job else None
        if is_missing(job):
            actions.append(gate.mover(backup, volume, owner, world))
            failure = failure or snapshots.lost(volume, world)
        if failure:
            return gate.failed_volume(status, volume.claim, failure, world)
        running += job is None or not job.succeeded or world.holds(job, volume.claim)
        volumes.append(_captured(backup, volume, job, world))
    size = sum(volume.bytes_processed for volume in volumes)
    told = "" if running and not size else quantities.size_text(size)
    status = changed(status, volumes=tuple(volumes), size_bytes=size, size=told)
    if running:
        stuck = next((job.stuck for job in gate.movers(owner, status, world) if job.stuck), "")
        done = len(volumes) - running
        message = stuck or wording.progress("reading volumes", done, len(volumes), "done")
        # hours, perhaps; the watches tell of its Jobs, and of others while something is down
        down = status.phase is Phase.CAPTURING
        again = min(WATCHED, gate.until_next_call(since, world.now)) if down else WAITING
        return Plan(changed(status, message=message), actions, again_seconds=again)
    status, events = guards.marked(status, backup, world.now)
    # the pods were looked at after the movers' Jobs: whoever came before these had ended has been seen
    return Plan(entered(status, then, world.now, message_then), (), events, again_seconds=SOON, at_once=True)


def _capture_failure(backup: Backup, volume: VolumeStatus, job: JobState, world: World) -> Failure | None:
    """Return why a mover's capture is not good, if it is not. No report is no success."""
    wished = snapshots.is_wished(backup.spec)
    if not job.finished:
        return cannot_start(job, world.now, snapshots.CLONE_PATIENCE if wished else START_TIMEOUT)
    report = report_of(job, CaptureReport)
    if report is not None and (report.unreadable_count or job.exit_code == ExitCode.INCOMPLETE):
        files = ", ".join(map(str, report.unreadable[:3]))
        told = f"{report.unreadable_count} files could not be read: {files}"
        help_ = identity.what_to_set(world, volume.identity)
        return Failure(Reason.FILES_UNREADABLE, f"{told}. {help_}")
    if job.failed or report is None or not report.tree:
        return failure_of(job, CaptureReport, Reason.MOVER_FAILED, kept=not wished)
    if report.files_total == 0 and backup.spec.guards.on_empty_volume == "Fail":
        return Failure(Reason.EMPTY_VOLUME, "the volume holds no files (guards.onEmptyVolume is Fail)")
    return guards.failure(backup, volume.claim, report, world)


def _captured(backup: Backup, volume: VolumeStatus, job: JobState | None, world: World) -> VolumeStatus:
    report = report_of(job, CaptureReport) if job and job.succeeded else None
    if report is None:
        return volume
    return changed_volume(
        volume,
        tree=report.tree,
        pre_copied=report.pre_copied,
        not_pre_copied=(report.not_pre_copied or volume.not_pre_copied)[:1024],
        files_new=report.files_new,
        files_changed=report.files_changed,
        files_unmodified=report.files_unmodified,
        bytes_processed=report.bytes_processed,
        bytes_added=report.bytes_added_packed,
        suspect=guards.shrinkage(backup, volume.claim, report, world.former),
    )


def changed_volume(volume: VolumeStatus, **fields: object) -> VolumeStatus:
    """Return a volume's status with some fields set."""
    return volume.model_copy(update=fields)


def _resuming(backup: Backup, status: BackupStatus, this: Run, owner: Owner, world: World) -> BackupPlan:
    if not status.reason and not any(state.started_at for state in status.workloads):
        # the last look before anything starts: a consumer may have come while the movers ended
        tainted = _late_taint(backup, status, this, world)
        if tainted:
            return Plan(
                changed(status, reason=tainted.reason.value, message=tainted.message), again_seconds=SOON
            )
    plan = run.resuming(status, this, world, gate.movers(owner, status, world))
    plan = hooked.after_start(backup, status, owner, world, plan)
    if plan:
        return plan
    if status.reason:
        return Plan(ended(status, Phase.FAILED, world.now, status.message))
    if snapshots.is_wished(backup.spec):
        return Plan(entered(status, Phase.UPLOADING, world.now, "reading snapshots"), again_seconds=SOON)
    return Plan(entered(status, Phase.FINISHING, world.now, "writing snapshots"), again_seconds=SOON)


def _late_taint(backup: Backup, status: BackupStatus, this: Run, world: World) -> Failure | None:
    """Look for strangers only while every workload is still down: our own pods come back after that.

    Whoever comes after the snapshots were ready is not in them.
    """
    if snapshots.is_wished(backup.spec):
        return None
    down = [world.workloads.get(str(s.reference)) for s in status.workloads if s.stopped_at]
    if any(workload is None or workload.record is None for workload in down):
        return None
    return quiesce.taint(this, world, status.workloads, _claims(status), since=status.drained_at)


def _finishing(backup: Backup, status: BackupStatus, this: Run, owner: Owner, world: World) -> BackupPlan:
    """Commit. It may be done again: one whose pod was killed, or met a store that was away, gets another try."""
    attempt, job = _newest_commit(status, owner, world)
    failure = cannot_start(job, world.now) if job else None
    if job is None or (job.refused and not failure):
        return _committing(backup, status, owner, world, attempt, job.stuck if job else "writing snapshots")
    report = report_of(job, CommitReport) if job.succeeded else None
    if job.failed or (job.succeeded and report is None):
        failure = failure_of(job, CommitReport, Reason.COMMIT_FAILED)
    if failure:
        return Plan(_failed_late(status, failure, world), _removal(job))
    if report is None:
        return Plan(status, again_seconds=WAITING)
    captured = len(status.volumes) + len(status.dumps)
    if len(report.snapshots) != captured:
        count = f"{len(report.snapshots)} snapshots for {captured} volumes and dumps"
        told = Failure(Reason.COMMIT_FAILED, f"the commit reported {count}")
        return Plan(_failed_late(status, told, world))
    return retention.retained(backup, publishing.published(status, report.snapshots), owner, world)


def _committing(
    backup: Backup, status: BackupStatus, owner: Owner, world: World, attempt: int, message: str
) -> BackupPlan:
    """Ask for the Job that commits."""
    given_up = run.without_repository(status, world)
    if given_up:
        return given_up
    assert world.repository is not None
    plan = publishing.commit_plan(backup, status, owner, world)
    made = jobs.commit_job(owner, world.repository.spec, world.image, plan=plan, attempt=attempt)
    return Plan(changed(status, message=message), (ApplyJob(made),), again_seconds=WAITING)


def _newest_commit(status: BackupStatus, owner: Owner, world: World) -> tuple[int, JobState | None]:
    """Return the try that counts: the newest one, or the next if that ended without a verdict."""
    for attempt in range(1, _COMMIT_TRIES + 1):
        name = job_name(owner.name, owner.uid, COMMIT, jobs.attempt_part(attempt))
        first = attempt == 1 and not publishing.is_published(status)
        job = awaited(world, name, status.phase_time) if first else world.jobs.get(name)
        if job is None or attempt == _COMMIT_TRIES or not _worth_repeating(job):
            return attempt, job
    raise AssertionError


def _worth_repeating(job: JobState) -> bool:
    report = report_of(job, CommitReport)
    return job.failed and (report is None or (report.error is not None and report.error.retryable))


def _failed_late(status: BackupStatus, failure: Failure, world: World) -> BackupStatus:
    """Fail a run whose workloads are up again already."""
    return ended(changed(status, reason=failure.reason.value), Phase.FAILED, world.now, failure.message)


def _removal(job: JobState) -> tuple[Action, ...]:
    """Return the deletion of a Job that is given up: it must not begin when nobody waits for it any more."""
    return () if job.finished else (DeleteJob(job.name),)


def _claims(status: BackupStatus) -> frozenset[str]:
    return frozenset(volume.claim for volume in status.volumes)


_PHASES = {
    Phase.PENDING: _pending,
    Phase.PREFLIGHT: _preflight,
    Phase.PREPARING: _preparing,
    Phase.QUIESCING: _quiescing,
    Phase.DRAINING: _draining,
    Phase.CAPTURING: _capturing,
    Phase.RESUMING: _resuming,
    Phase.UPLOADING: _uploading,
    Phase.FINISHING: _finishing,
}
