"""The end of a Backup that is whole: old snapshots of its schedule are forgotten, unless the new ones are doubted."""

from becalm_engine.contract import ForgetReport
from becalm_operator.api.backup import Backup, BackupStatus, Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.api.schedule import Retention
from becalm_operator.manifests import jobs
from becalm_operator.manifests.jobs import FORGET
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.manifests.written import UnfitError
from becalm_operator.plan import conditions, guards, publishing
from becalm_operator.plan.outcome import Failure, cannot_start, failure_of, is_missing
from becalm_operator.plan.run import WAITING, changed, ended
from becalm_operator.plan.steps import Action, ApplyJob, DeleteJob, Event, Plan
from becalm_operator.plan.world import World

BackupPlan = Plan[BackupStatus]


def retained(backup: Backup, status: BackupStatus, owner: Owner, world: World) -> BackupPlan:
    """Apply the schedule's retention, if a schedule made this Backup. Its failure does not undo a good backup."""
    schedule = world.schedule
    if schedule is None or schedule.spec.retention is None:
        return Plan(ended(status, Phase.SUCCEEDED, world.now, publishing.summary(status)))
    if doubt := guards.doubt(status.volumes):
        return _without(backup, status, f"it is suspect: {doubt}", world)
    job = world.jobs.get(_job_name(owner))
    if world.repository is None and is_missing(job):
        gone = f"BackupRepository {backup.spec.repository_ref.name} was deleted"
        return _without(backup, status, gone, world)
    try:
        return _forgotten(backup, status, schedule.metadata.name, schedule.spec.retention, owner, world)
    except UnfitError as unfit:
        return _without(backup, status, str(unfit), world)


def _forgotten(
    backup: Backup, status: BackupStatus, schedule: str, retention: Retention, owner: Owner, world: World
) -> BackupPlan:
    """Have old snapshots forgotten, and end when that is done."""
    job = world.jobs.get(_job_name(owner))
    if job is None or (job.refused and not cannot_start(job, world.now)):
        assert world.repository is not None
        made = jobs.forget_job(
            owner, world.repository.spec, world.image, schedule=schedule, retention=retention
        )
        waiting = changed(status, message=job.stuck if job else "clearing out old snapshots")
        return Plan(waiting, (ApplyJob(made),), again_seconds=WAITING)
    if not job.finished and cannot_start(job, world.now) is None:
        return Plan(status, again_seconds=WAITING)
    if job.succeeded:
        return Plan(ended(status, Phase.SUCCEEDED, world.now, publishing.summary(status)))
    why = failure_of(job, ForgetReport, Reason.INTERNAL).message
    # one that is given up must not begin when nobody waits for it any more
    return _without(backup, status, why, world, () if job.finished else (DeleteJob(job.name),))


def _without(
    backup: Backup, status: BackupStatus, why: str, world: World, actions: tuple[Action, ...] = ()
) -> BackupPlan:
    message = f"{publishing.written(status)}; but retention was not applied: {why}"
    told = Failure(Reason.RETENTION_FAILED, why)
    noted = conditions.noted(status, backup.metadata, "RetentionFailed", told, world.now)
    event = Event(Reason.RETENTION_FAILED.value, message, "Warning")
    return Plan(ended(noted, Phase.SUCCEEDED, world.now, message), actions, (event,))


def _job_name(owner: Owner) -> str:
    return job_name(owner.name, owner.uid, FORGET)
