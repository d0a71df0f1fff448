"""A run and its repository: it waits for one that is away, and opens it before anything is stopped.

This is a breaker. Who finds the store away goes back to Pending, has the repository opened anew, and with it all others
wait: they make no Jobs until the probe has an answer. Probes come less and less often while they fail. Nobody has
to reset anything, and nobody waits for ever.
"""

from datetime import datetime, timedelta
from typing import TypeVar

from becalm_engine.contract import AccessReport
from becalm_operator.api import names
from becalm_operator.api.backup import RunStatus
from becalm_operator.api.base import to_utc
from becalm_operator.api.conditions import Reason
from becalm_operator.api.repository import BackupRepository
from becalm_operator.manifests.jobs import ACCESS, access_job
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import preflight
from becalm_operator.plan.outcome import Failure, awaited, cannot_start, failure_of, is_missing, report_of
from becalm_operator.plan.quantities import duration_text
from becalm_operator.plan.run import SOON, WAITING, changed, failing, parked
from becalm_operator.plan.steps import ApplyJob, DeleteJob, Plan, RequestProbe
from becalm_operator.plan.world import JobState, World

S = TypeVar("S", bound=RunStatus)

PATIENCE = timedelta(hours=1)
"""How long a run waits for its repository before it fails."""
_KILLED_BY_SIGNAL = 128
"""An exit code above this is the number of a signal beside it."""
PASSES = (Reason.STORAGE_UNAVAILABLE, Reason.REPOSITORY_LOCKED)
"""What is over by itself some time."""


def awaiting_repository(status: S, world: World, name: str) -> Plan[S] | None:
    """Return the plan of a run whose repository is not Ready, or is in doubt; None once it can be used."""
    state, now = preflight.repository_state(world, name), world.now
    if state.failure is not None:
        return Plan(failing(status, state.failure, now))
    if not state.ready:
        return _waiting(status, state.message, now)
    if world.repository is not None and _is_in_doubt(world.repository):
        return _waiting(
            status, f"waiting for repository {name}: a run could not open it, it is tried again", now
        )
    return None


def _waiting(status: S, message: str, now: datetime) -> Plan[S]:
    since = status.repository_wait_since or to_utc(now)
    if now - since > PATIENCE:
        return Plan(failing(status, gave_up(message), now))
    return Plan(changed(parked(status, message), repository_wait_since=since), again_seconds=WAITING)


def gave_up(message: str) -> Failure:
    """Return the failure of a run that has waited too long. The message says for what, as `waiting for …`."""
    patience = duration_text(int(PATIENCE.total_seconds()))
    return Failure(Reason.REPOSITORY_NOT_READY, f"gave up after {patience} of {message}")


def _is_in_doubt(repository: BackupRepository) -> bool:
    """Say whether a probe that was asked for has no answer yet: what the condition says is older than the doubt."""
    asked = repository.metadata.annotations.get(names.PROBE_ANNOTATION, "")
    status = repository.status
    return bool(asked) and (asked != status.handled_request or status.probing)


def repository_opened(status: S, world: World, owner: Owner) -> tuple[S, Plan[S] | None]:
    """See that the repository opens with the run's own credentials, and is the one it was.

    Returns the status with the repository's id and no plan once it is, or else the plan to follow.
    """
    assert world.repository is not None
    job = awaited(world, job_name(owner.name, owner.uid, ACCESS), status.phase_time)
    report = report_of(job, AccessReport) if job and job.succeeded else None
    failure = _failure(job, report, world.repository, world.now) if job else None
    if job and failure:
        return status, turned_away(status, world, job, failure)
    if report is None:
        told = changed(status, message=(job and job.stuck) or "opening the repository")
        missing = is_missing(job)
        made = (ApplyJob(access_job(owner, world.repository.spec, world.image)),) if missing else ()
        return status, Plan(told, made, again_seconds=WAITING)
    return changed(status, repository_id=report.repository_id, repository_wait_since=None), None


def _failure(
    job: JobState, report: AccessReport | None, repository: BackupRepository, now: datetime
) -> Failure | None:
    if job.failed or (job.succeeded and report is None):
        return failure_of(job, AccessReport, Reason.REPOSITORY_NOT_READY)
    pinned = repository.status.repository_id
    if report is not None and pinned and report.repository_id != pinned:
        return Failure(
            Reason.REPOSITORY_REPLACED,
            f"the repository has id {report.repository_id[:10]}, but it was {pinned[:10]} before",
        )
    return cannot_start(job, now)


def turned_away(status: S, world: World, job: JobState, failure: Failure) -> Plan[S]:
    """Return the plan of a run whose Job got nothing from the repository before anything stopped.

    It fails, but for what passes by itself: then it waits as if it had never begun, and is tried again later.
    """
    assert world.repository is not None
    name = world.repository.metadata.name
    if failure.reason not in PASSES and not _has_no_verdict(job, failure):
        removal = () if job.finished else (DeleteJob(job.name),)
        told = Failure(failure.reason, f"repository {name}: {failure.message}")
        return Plan(failing(status, told, world.now), removal, again_seconds=SOON)
    plan = _waiting(status, f"waiting for repository {name}: {failure.message}", world.now)
    if plan.status.reason:
        return plan
    return Plan(plan.status, (RequestProbe(name), DeleteJob(job.name)), again_seconds=WAITING)


def _has_no_verdict(job: JobState, failure: Failure) -> bool:
    """Say whether a Job was killed or evicted before it could say anything: nothing is wrong with the repository."""
    unknown = failure.reason is Reason.REPOSITORY_NOT_READY
    killed = job.exit_code is None or job.exit_code > _KILLED_BY_SIGNAL
    return job.failed and unknown and killed and report_of(job, AccessReport) is None
