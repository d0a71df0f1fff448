"""A repository's next step: open it, make it if it may be made, and say what came of it.

A probe is one round of that: a Job that opens the repository, and perhaps one that makes it. Probes are numbered, and a
number names its Jobs, so a probe that the operator did not see through is taken up where it stands.
"""

from datetime import datetime, timedelta

from kubernetes.aio.client import V1Job

from becalm_engine.contract import AccessReport, ExitCode, InitReport, Report
from becalm_operator.api import names
from becalm_operator.api.base import to_utc
from becalm_operator.api.conditions import Reason
from becalm_operator.api.repository import BackupRepository, BackupRepositorySpec, BackupRepositoryStatus
from becalm_operator.manifests import jobs
from becalm_operator.manifests.jobs import ACCESS, INIT
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.manifests.written import UnfitError
from becalm_operator.plan import conditions, leftovers
from becalm_operator.plan.outcome import (
    Failure,
    awaited,
    cannot_start,
    failure_of,
    missing_secret,
    report_of,
)
from becalm_operator.plan.run import SOON, WAITING, WATCHING
from becalm_operator.plan.steps import ApplyJob, DeleteJob, Event, Plan
from becalm_operator.plan.world import JobState, RepositoryWorld

PROBE_INTERVAL = timedelta(hours=1)
"""How often a repository that is Ready is opened to see that it still is."""
FIRST_RETRY = timedelta(seconds=15)
LONGEST_RETRY = timedelta(minutes=5)

RepositoryPlan = Plan[BackupRepositoryStatus]


def decide(repository: BackupRepository, world: RepositoryWorld) -> RepositoryPlan:
    """Return the next step of a repository; following it twice is harmless."""
    return leftovers.passed_over(_decided(repository, world), world.gone)


def _decided(repository: BackupRepository, world: RepositoryWorld) -> RepositoryPlan:
    if repository.metadata.deletion_timestamp:
        return Plan(repository.status)
    if repository.status.probing:
        return _probed(repository, world)
    wait = time_to_probe(repository, world.now)
    if wait > timedelta():
        return Plan(repository.status, again_seconds=wait.total_seconds())
    return _begin(repository, world)


def time_to_probe(repository: BackupRepository, now: datetime) -> timedelta:
    """Return how long the repository need not be opened yet."""
    status = repository.status
    ready = conditions.find(status.conditions, "Ready")
    asked = repository.metadata.annotations.get(names.PROBE_ANNOTATION, "")
    changed = ready is None or ready.observed_generation != repository.metadata.generation
    if changed or asked != status.handled_request or status.last_probe_time is None:
        return timedelta()
    return max(status.last_probe_time + _interval(status.failures) - now, timedelta())


def _interval(failures: int) -> timedelta:
    """Return the time between probes: doubled with each failure, up to a bound."""
    if failures == 0:
        return PROBE_INTERVAL
    doublings = min(failures - 1, 16)
    return min(FIRST_RETRY * (1 << doublings), LONGEST_RETRY)


def _begin(repository: BackupRepository, world: RepositoryWorld) -> RepositoryPlan:
    status = repository.status.model_copy(
        update={
            "probe": repository.status.probe + 1,
            "probing": True,
            "last_probe_time": to_utc(world.now),
            "handled_request": repository.metadata.annotations.get(names.PROBE_ANNOTATION, ""),
        }
    )
    if conditions.find(status.conditions, "Ready") is None:
        probing = Failure(Reason.PROBING, "opening the repository")
        status = conditions.ready(status, repository.metadata, probing, holds=None, now=world.now)
    # Jobs of the probe before were left for people to read; their time is over
    old = tuple(DeleteJob(job.name) for job in world.jobs.values() if job.finished)
    return Plan(status, old, again_seconds=SOON)


def _probed(repository: BackupRepository, world: RepositoryWorld) -> RepositoryPlan:
    try:
        return _probe(repository, world)
    except UnfitError as unfit:
        return _failed(repository, world, Failure(Reason.MOVER_NOT_STARTED, str(unfit)))


def _probe(repository: BackupRepository, world: RepositoryWorld) -> RepositoryPlan:
    owner, part = _owner(repository), str(repository.status.probe)
    job = awaited(world, job_name(owner.name, owner.uid, ACCESS, part), repository.status.last_probe_time)
    made = jobs.access_job(owner, repository.spec, world.image, part=part)
    if job is None:
        return Plan(repository.status, (ApplyJob(made),), again_seconds=WATCHING)
    report = report_of(job, AccessReport) if job.succeeded else None
    if report is not None:
        return _opened(repository, world, report.repository_id)
    failure = _failure(job, AccessReport, world.now)
    if failure is None:
        return _going_on(repository, world, job, made)
    if failure.reason is Reason.REPOSITORY_MISSING and job.exit_code == ExitCode.NO_REPOSITORY:
        return _missing(repository, world, failure)
    return _failed(repository, world, failure)


def _missing(repository: BackupRepository, world: RepositoryWorld, failure: Failure) -> RepositoryPlan:
    """Make the repository, but only one that has never been there."""
    pinned = repository.status.repository_id
    if pinned:
        gone = (
            f"the repository {pinned[:10]} was there and is not any more; it is not made anew. "
            f"Bring it back, or make a new BackupRepository. {failure.message}"
        )
        return _failed(repository, world, Failure(Reason.REPOSITORY_MISSING, gone))
    if not repository.spec.create:
        return _failed(
            repository, world, Failure(failure.reason, f"{failure.message} (spec.create is false)")
        )
    owner, part = _owner(repository), str(repository.status.probe)
    job = awaited(world, job_name(owner.name, owner.uid, INIT, part), repository.status.last_probe_time)
    made = jobs.init_job(owner, repository.spec, world.image, part=part)
    if job is None:
        initialising = Failure(Reason.INITIALISING, "making the repository")
        status = conditions.ready(
            repository.status, repository.metadata, initialising, holds=None, now=world.now
        )
        return Plan(status, (ApplyJob(made),), again_seconds=WATCHING)
    report = report_of(job, InitReport) if job.succeeded else None
    if report is not None:
        return _opened(repository, world, report.repository_id)
    init_failure = _failure(job, InitReport, world.now)
    if init_failure is None:
        return _going_on(repository, world, job, made)
    return _failed(repository, world, init_failure)


def _failure(job: JobState, kind: type[Report], now: datetime) -> Failure | None:
    """Return why a Job has failed or never will start; None while it may still end well."""
    if job.finished:
        return failure_of(job, kind, Reason.REPOSITORY_NOT_READY)
    return missing_secret(job) or cannot_start(job, now)


def _going_on(
    repository: BackupRepository, world: RepositoryWorld, job: JobState, made: V1Job
) -> RepositoryPlan:
    """Wait, and show what keeps the pod from starting; a Ready repository stays Ready meanwhile."""
    ready = conditions.find(repository.status.conditions, "Ready")
    status = repository.status
    if job.stuck and ready is not None and ready.status != "True":
        waiting = Failure(Reason.PROBING, job.stuck)
        status = conditions.ready(status, repository.metadata, waiting, holds=None, now=world.now)
    if job.refused:
        return Plan(status, (ApplyJob(made),), again_seconds=WAITING)
    return Plan(status, again_seconds=WATCHING)


def _opened(repository: BackupRepository, world: RepositoryWorld, found: str) -> RepositoryPlan:
    pinned = repository.status.repository_id
    if pinned and found != pinned:
        replaced = f"the place holds repository {found[:10]}, but it was {pinned[:10]} before"
        return _failed(repository, world, Failure(Reason.REPOSITORY_REPLACED, replaced))
    status = repository.status.model_copy(update={"repository_id": found, "probing": False, "failures": 0})
    ready = Failure(Reason.READY, f"repository {found[:10]} opens with the password")
    status = conditions.ready(status, repository.metadata, ready, holds=True, now=world.now)
    over = tuple(DeleteJob(job.name) for job in world.jobs.values() if job.finished)
    events = (Event("Ready", ready.message),) if _changes(repository, "True") else ()
    return Plan(status, over, events, again_seconds=PROBE_INTERVAL.total_seconds())


def _failed(repository: BackupRepository, world: RepositoryWorld, failure: Failure) -> RepositoryPlan:
    failure = Failure(failure.reason, failure.message + _what_helps(repository.spec, failure.reason))
    failures = repository.status.failures + 1
    status = repository.status.model_copy(update={"probing": False, "failures": failures})
    status = conditions.ready(status, repository.metadata, failure, holds=False, now=world.now)
    live = tuple(DeleteJob(job.name) for job in world.jobs.values() if not job.finished)
    event = Event(failure.reason.value, failure.message, "Warning")
    events = (event,) if _changes(repository, "False") else ()
    return Plan(status, live, events, again_seconds=_interval(failures).total_seconds())


def _what_helps(spec: BackupRepositorySpec, reason: Reason) -> str:
    """Return where to look, to follow a failure's message."""
    s3, password = spec.storage.s3, spec.password_secret_ref
    match reason:
        case Reason.WRONG_PASSWORD:
            return f"; see key {password.key} of Secret {password.name}"
        case Reason.STORAGE_DENIED if s3 is not None:
            secret = s3.credentials_secret_ref
            keys = (
                f"the keys in Secret {secret.name}"
                if secret
                else "the identity of the movers' service account"
            )
            return f"; see {keys}, and what it may do in bucket {s3.bucket}"
        case Reason.STORAGE_UNAVAILABLE:
            return "; see spec.storage and the network: it is tried again by itself"
    return ""


def _changes(repository: BackupRepository, status: str) -> bool:
    ready = conditions.find(repository.status.conditions, "Ready")
    return ready is None or ready.status != status


def _owner(repository: BackupRepository) -> Owner:
    metadata = repository.metadata
    return Owner(repository.kind, metadata.name, metadata.namespace, metadata.uid)
