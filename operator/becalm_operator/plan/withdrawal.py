"""A run that loses its store while it prepares: nothing is down yet, so it takes back what it has begun, and waits.

It ends where it would be if the store had been away from the beginning: in Pending, with an hour's patience, and its
repository in doubt until that has been opened again. Then it begins anew; what was uploaded already is found again.
"""

from becalm_engine.contract import CaptureReport
from becalm_operator.api.backup import Backup, BackupStatus
from becalm_operator.api.base import to_utc
from becalm_operator.api.conditions import Reason
from becalm_operator.manifests.dumps import DUMP
from becalm_operator.manifests.jobs import ACCESS, MOVER
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import access
from becalm_operator.plan.deadlines import PREPARING_TIMEOUT
from becalm_operator.plan.outcome import Failure, failure_of
from becalm_operator.plan.run import SOON, WAITING, WATCHING, changed, failing, parked
from becalm_operator.plan.steps import DeleteJob, Plan, RequestProbe
from becalm_operator.plan.world import JobState, World

BackupPlan = Plan[BackupStatus]


def withdrawn(backup: Backup, status: BackupStatus, owner: Owner, world: World) -> BackupPlan | None:
    """Preparing: return the plan of a run that has lost its store; None while it has it, or must not wait for it.

    That it is lost stands in `status` before anything is taken back: the Jobs that tell of it are among that.
    """
    if world.repository is None:
        return None
    if status.repository_wait_since is not None:
        return _taken_back(status, owner, world)
    lost = _lost(status, owner, world)
    if lost is None or _has_tried_for_long(backup, world):
        return None
    name = backup.spec.repository_ref.name
    told = changed(
        status,
        repository_wait_since=to_utc(world.now),
        message=f"waiting for repository {name}: {lost.message}",
    )
    return Plan(told, (RequestProbe(name),), again_seconds=SOON)


def _lost(status: BackupStatus, owner: Owner, world: World) -> Failure | None:
    """Return that a mover, or that of a dump, has ended because the store was away or locked."""
    ended = [job for job in _begun(status, owner, world) if job.finished or job.exit_code]
    failures = (failure_of(job, CaptureReport, Reason.MOVER_FAILED) for job in ended if not job.succeeded)
    return next((failure for failure in failures if failure.reason in access.PASSES), None)


def _has_tried_for_long(backup: Backup, world: World) -> bool:
    """Say whether a run is as old as preparing may take: a store that comes and goes is not tried for ever."""
    created = backup.metadata.creation_timestamp
    return created is not None and world.now - created > PREPARING_TIMEOUT


def _taken_back(status: BackupStatus, owner: Owner, world: World) -> BackupPlan:
    """Delete what was begun, and go back to Pending once all of it is gone: nobody is in the way of another run."""
    since = status.repository_wait_since
    assert since is not None
    if world.now - since > access.PATIENCE:
        return Plan(failing(status, access.gave_up(status.message), world.now), again_seconds=SOON)
    left = _begun(status, owner, world)
    if left:
        return Plan(status, [DeleteJob(job.name) for job in left], again_seconds=WATCHING)
    blank = {"workloads": (), "volumes": (), "dumps": (), "forecast": None, "repository_wait_since": since}
    return Plan(changed(parked(status, status.message), **blank), again_seconds=WAITING)


def _begun(status: BackupStatus, owner: Owner, world: World) -> list[JobState]:
    """Return the Jobs that a run has made so far."""
    parts = [
        (ACCESS, ""),
        *((MOVER, volume.claim) for volume in status.volumes),
        *((DUMP, dump.name) for dump in status.dumps),
    ]
    found = (world.jobs.get(job_name(owner.name, owner.uid, role, part)) for role, part in parts)
    return [job for job in found if job is not None]
