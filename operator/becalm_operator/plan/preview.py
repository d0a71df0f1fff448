"""A Restore asks the engine whether it can begin, before anything stops: a wrong name costs no downtime then.

Whether the snapshot is there, whether it has the claim, and whether the patterns are understood, only the engine knows.
"""

from collections.abc import Sequence

from becalm_engine.contract import RestoreReport
from becalm_operator.api.conditions import Reason
from becalm_operator.api.restore import Restore, RestoreStatus, TargetStatus
from becalm_operator.manifests.jobs import PREVIEW, preview_job
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import access, wording
from becalm_operator.plan.outcome import Failure, awaited, cannot_start, failure_of, is_missing, report_of
from becalm_operator.plan.run import WAITING, changed
from becalm_operator.plan.steps import ApplyJob, Plan
from becalm_operator.plan.world import JobState, World

RestorePlan = Plan[RestoreStatus]

_NO_SNAPSHOT = "SnapshotMissing"
"""The engine's class of errors for a snapshot that is not there, or has not the path."""


def seen(
    restore: Restore, status: RestoreStatus, targets: Sequence[TargetStatus], owner: Owner, world: World
) -> RestorePlan | None:
    """Return the plan of a Restore that has yet to see whether it can begin; None once it has seen that it can."""
    known = [(target, _job(target, status, owner, world)) for target in targets]
    for target, job in known:
        failure = _failure(target, job, world) if job else None
        if job and failure:
            return access.turned_away(status, world, job, failure)
    missing = [target for target, job in known if is_missing(job)]
    done = sum(job is not None and job.succeeded for _, job in known)
    if done == len(known):
        return None
    stuck = next((job.stuck for _, job in known if job and job.stuck), "")
    message = stuck or wording.progress("looking for snapshots", done, len(known), "found")
    actions = [_made(restore, target, owner, world) for target in missing]
    return Plan(changed(status, message=message), actions, again_seconds=WAITING)


def _job(target: TargetStatus, status: RestoreStatus, owner: Owner, world: World) -> JobState | None:
    return awaited(world, job_name(owner.name, owner.uid, PREVIEW, target.to), status.phase_time)


def _made(restore: Restore, target: TargetStatus, owner: Owner, world: World) -> ApplyJob:
    assert world.repository is not None
    repository = world.repository.spec
    return ApplyJob(preview_job(owner, repository, world.image, restore=restore.spec, target=target))


def _failure(target: TargetStatus, job: JobState, world: World) -> Failure | None:
    if not job.finished:
        return cannot_start(job, world.now)
    report = report_of(job, RestoreReport)
    if job.succeeded and report is not None:
        return None
    failure = failure_of(job, RestoreReport, Reason.REPOSITORY_NOT_READY)
    if report is None or report.error is None or failure.reason is not Reason.REPOSITORY_NOT_READY:
        return failure
    reason = Reason.SNAPSHOT_NOT_FOUND if report.error.type == _NO_SNAPSHOT else Reason.RESTORE_FAILED
    return Failure(reason, f"claim {target.to}: {failure.message}")
