"""Taking dumps, before anything stops: one that fails does so while all is still up."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta, tzinfo

from becalm_engine.contract import CaptureReport, PlannedSnapshot, summary_of
from becalm_operator.api.backup import Backup, BackupSpec, BackupStatus, Guards
from becalm_operator.api.base import parse_duration, zoned_text
from becalm_operator.api.conditions import Reason
from becalm_operator.api.dumps import Dump, DumpStatus
from becalm_operator.manifests.dumps import CONTAINER, DUMP, dump_job
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import run, wording
from becalm_operator.plan.outcome import Failure, awaited, cannot_start, failure_of, is_missing, report_of
from becalm_operator.plan.preflight import RefusalError
from becalm_operator.plan.run import SOON, WAITING, changed, failing
from becalm_operator.plan.steps import Action, ApplyJob, Plan
from becalm_operator.plan.world import JobState, World

_MOVERS_TURN = timedelta(seconds=15)
"""How long after a dump's failure the mover may still end: where that failed first, the dump has only felt it."""


def refuse(spec: BackupSpec, owner: Owner, world: World) -> None:
    """Refuse dumps where they are not enabled, or where no Job can be made of one.

    Raises:
        RefusalError: They are not enabled.
        UnfitError: What is written of one makes no sense.
    """
    if spec.dumps and not world.dumps_enabled:
        why = "the Backup has dumps, which are not enabled here: dumps.enabled in the values of the chart"
        raise RefusalError(Failure(Reason.DUMPS_NOT_ALLOWED, why))
    assert world.repository is not None
    for dump in spec.dumps:
        dump_job(owner, world.repository.spec, world.image, dump=dump)


def planned(spec: BackupSpec) -> tuple[DumpStatus, ...]:
    """Return the dumps of a run before the first is taken."""
    return tuple(DumpStatus(name=dump.name, path=dump.path) for dump in spec.dumps)


def taking(
    backup: Backup, status: BackupStatus, owner: Owner, world: World
) -> tuple[BackupStatus, Plan[BackupStatus] | None]:
    """Take the dumps, side by side.

    Returns the status with what is known of them, and the plan to follow; no plan once all are taken.
    """
    wanted = {dump.name: dump for dump in backup.spec.dumps}
    jobs = {state.name: _job(state, status, owner, world) for state in status.dumps}
    for state in status.dumps:
        job = jobs[state.name]
        failure = _failure(wanted[state.name], job, backup.spec.guards, world) if job else None
        if failure and not state.tree:
            return status, _failed(status, state, failure, owner, world)
    status = changed(status, dumps=tuple(_taken(state, jobs[state.name]) for state in status.dumps))
    missing = [wanted[state.name] for state in status.dumps if not state.tree]
    return status, _waiting(status, owner, world, missing, jobs) if missing else None


def _waiting(
    status: BackupStatus, owner: Owner, world: World, missing: list[Dump], jobs: Mapping[str, JobState | None]
) -> Plan[BackupStatus]:
    """Wait for the dumps that are missing, and begin those that have no Job yet."""
    if gone := run.without_repository(status, world):
        return replace(gone, actions=_removals(owner, status, world))
    assert world.repository is not None
    repository = world.repository.spec
    begun = [one for one in missing if is_missing(jobs[one.name])]
    told = changed(status, message=_progress(status, jobs))
    actions = [ApplyJob(dump_job(owner, repository, world.image, dump=one)) for one in begun]
    return Plan(told, actions, again_seconds=WAITING)


def _progress(status: BackupStatus, jobs: Mapping[str, JobState | None]) -> str:
    done = sum(bool(state.tree) for state in status.dumps)
    stuck = next((job.stuck for job in jobs.values() if job is not None and job.stuck), "")
    return stuck or wording.progress("taking dumps", done, len(status.dumps), "done")


def _failed(
    status: BackupStatus, state: DumpStatus, failure: Failure, owner: Owner, world: World
) -> Plan[BackupStatus]:
    """Fail the run, and end what still dumps for it."""
    at_fault = state.model_copy(update={"error": failure.message})
    dumps = tuple(at_fault if one.name == state.name else one for one in status.dumps)
    reason = Failure(failure.reason, f"dump {state.name}: {failure.message}")
    failed = failing(changed(status, dumps=dumps), reason, world.now)
    return Plan(failed, _removals(owner, status, world), again_seconds=SOON)


def _removals(owner: Owner, status: BackupStatus, world: World) -> tuple[Action, ...]:
    """Return the deletion of what would go on. What has ended in both its containers stays, for its log tells why."""
    found = (world.jobs.get(_job_name(owner, state.name)) for state in status.dumps)
    return run.removals(
        job for job in found if job is not None and None in (job.exit_code, job.dump_exit_code)
    )


def _failure(dump: Dump, job: JobState, guards: Guards, world: World) -> Failure | None:
    """Return why a dump is not good, if it is not. Its own exit status counts, and that of its mover."""
    if job.exit_code:
        return failure_of(job, CaptureReport, Reason.MOVER_FAILED)
    if job.dump_exit_code:
        return _dump_failure(job, world)
    if not job.finished:
        return cannot_start(job, world.now)
    if job.failed:
        if world.now - job.created >= parse_duration(dump.timeout):
            return Failure(Reason.DUMP_FAILED, f"it did not end within its timeout ({dump.timeout})")
        return failure_of(job, CaptureReport, Reason.DUMP_FAILED)
    return _doubt(job, guards)


def _dump_failure(job: JobState, world: World) -> Failure | None:
    """Return that a dump's container has failed, once its mover has had the time to say that it was the first."""
    ended = job.dump_ended_at
    if not job.finished and job.exit_code is None and ended is not None and world.now - ended < _MOVERS_TURN:
        return None
    why = f" ({job.dump_reason})" if job.dump_reason else ""
    told = f"its container ended with exit status {job.dump_exit_code}{why}"
    return Failure(Reason.DUMP_FAILED, f"{told}; see `kubectl logs job/{job.name} -c {CONTAINER}`")


def _doubt(job: JobState, guards: Guards) -> Failure | None:
    """Return why a dump that seems to have ended well is not believed. No report is no success."""
    report = report_of(job, CaptureReport)
    if report is None or not report.tree or report.unreadable_count or job.exit_code != 0:
        return failure_of(job, CaptureReport, Reason.MOVER_FAILED)
    if job.dump_exit_code is None:
        return Failure(Reason.DUMP_FAILED, f"Job {job.name} does not tell how the dump's container has ended")
    if not report.bytes_processed and guards.on_empty_dump == "Fail":
        return Failure(Reason.EMPTY_DUMP, "it is empty (guards.onEmptyDump is Fail)")
    return None


def _taken(state: DumpStatus, job: JobState | None) -> DumpStatus:
    """Return a dump with what its Job reports, once that is over."""
    if state.tree or job is None or not job.succeeded or job.active:
        return state
    report = report_of(job, CaptureReport)
    assert report is not None
    return state.model_copy(
        update={
            "tree": report.tree,
            "taken_at": job.created,
            "bytes_processed": report.bytes_processed,
            "bytes_added": report.bytes_added_packed,
        }
    )


def snapshots(
    status: BackupStatus, owner: Owner, world: World, tags: tuple[str, ...], zone: tzinfo
) -> tuple[PlannedSnapshot, ...]:
    """Return what the commit writes for the dumps. Each has the time at which it was begun, not that of the stop."""
    return tuple(_snapshot(state, owner, world, tags, zone) for state in status.dumps)


def _snapshot(
    state: DumpStatus, owner: Owner, world: World, tags: tuple[str, ...], zone: tzinfo
) -> PlannedSnapshot:
    job = world.jobs.get(_job_name(owner, state.name))
    report = report_of(job, CaptureReport) if job else None
    assert state.taken_at is not None
    return PlannedSnapshot(
        tree=state.tree,
        hostname=owner.namespace,
        paths=(state.path,),
        time=zoned_text(state.taken_at, zone),
        tags=tags,
        parent=report.parent if report else "",
        summary=summary_of(report) if report else {},
    )


def _job(state: DumpStatus, status: BackupStatus, owner: Owner, world: World) -> JobState | None:
    name = _job_name(owner, state.name)
    return world.jobs.get(name) if state.tree else awaited(world, name, status.phase_time)


def _job_name(owner: Owner, dump: str) -> str:
    return job_name(owner.name, owner.uid, DUMP, dump)
