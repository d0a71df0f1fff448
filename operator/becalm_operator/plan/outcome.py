"""What a Job's end means: its exit code and report as a reason and a sentence."""

import dataclasses
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from becalm_engine.contract import ExitCode, Problem, Report
from becalm_operator.api.conditions import Reason
from becalm_operator.plan.world import JobState, RepositoryWorld, World

R = TypeVar("R", bound=Report)

START_TIMEOUT = timedelta(minutes=5)
MAKING_TIMEOUT = timedelta(hours=1)
"""How long a Job that a phase begins with may not be there, whatever keeps it from being made."""
_MISSING_SECRET = re.compile(
    r'secret "?(?P<gone>[^"\s]+)"? not found'
    r"|references non-existent secret key: (?P<lacking>[^\s,]+)"
    r"|couldn't find key (?P<key>\S+) in Secret (?:[^/\s]+/)?(?P<secret>\S+)"
)

_KILLED = 128 + 9
_BY_EXIT_CODE = {
    ExitCode.NO_REPOSITORY: Reason.REPOSITORY_MISSING,
    ExitCode.WRONG_PASSWORD: Reason.WRONG_PASSWORD,
    ExitCode.LOCKED: Reason.REPOSITORY_LOCKED,
    ExitCode.INCOMPLETE: Reason.FILES_UNREADABLE,
}
_BY_ERROR = {
    "StorageUnavailable": Reason.STORAGE_UNAVAILABLE,
    "StorageDenied": Reason.STORAGE_DENIED,
    "Damaged": Reason.REPOSITORY_DAMAGED,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something did not work."""

    reason: Reason
    message: str


def report_of(job: JobState, kind: type[R]) -> R | None:
    """Return a Job's report, or None if it left none that can be read."""
    try:
        report = kind.from_json(job.report)
    except (ValueError, RecursionError):
        return None
    return report if _is_sound(report) else None


def _is_sound(report: Report) -> bool:
    """Say whether every field holds what it should: another process has written it, perhaps of another version."""
    blank = type(report)()
    told = [field.name for field in dataclasses.fields(report) if field.name != "error"]
    fits = all(isinstance(getattr(report, name), type(getattr(blank, name))) for name in told)
    return fits and (report.error is None or isinstance(report.error, Problem))


def failure_of(job: JobState, kind: type[Report], otherwise: Reason, *, kept: bool = True) -> Failure:
    """Return why a Job failed; `otherwise` where its exit code says nothing more particular.

    `kept` says whether its log can be looked at later.
    """
    report = report_of(job, kind)
    problem = report.error if report else None
    code = job.exit_code if job.exit_code is not None else (report.exit_code if report else None)
    reason = _BY_EXIT_CODE.get(ExitCode(code)) if code in set(ExitCode) else None
    if reason is None and problem is not None:
        reason = _BY_ERROR.get(problem.type)
    if problem is not None and problem.message:
        return Failure(reason or otherwise, problem.message)
    if job.stuck:
        return Failure(Reason.MOVER_NOT_STARTED, job.stuck)
    see = f"; see `kubectl logs job/{job.name}`" if kept else ""
    return Failure(reason or otherwise, f"Job {job.name} {_ended(job, code)}{see}")


def _ended(job: JobState, code: int | None) -> str:
    if job.overdue:
        return "took longer than its activeDeadlineSeconds, and was ended by Kubernetes"
    return "ended without a report (killed, or evicted)" if code is None else f"ended with {_code_text(code)}"


def _code_text(code: int) -> str:
    told = f"exit code {code}"
    return (
        told
        if code != _KILLED
        else f"{told}: it was killed, for it used more than its memory limit or by somebody"
    )


def missing_secret(job: JobState) -> Failure | None:
    """Return that a Job's pod waits for a Secret which does not exist: no time will mend that by itself."""
    found = None if job.finished else _MISSING_SECRET.search(job.stuck)
    return Failure(Reason.SECRET_NOT_FOUND, f"{_lacking(found)} ({job.stuck})") if found else None


def _lacking(found: re.Match[str]) -> str:
    if secret := found["gone"]:
        return f"Secret {secret} does not exist: make it, and it is tried again within minutes"
    if key := found["key"]:
        return f"Secret {found['secret']} has no key {key}: add it, and it is tried again within minutes"
    return f"a Secret has no key {found['lacking']}: add it, and it is tried again within minutes"


def cannot_start(job: JobState, now: datetime, patience: timedelta = START_TIMEOUT) -> Failure | None:
    """Return why a Job counts as failed though it has not ended: its pod could not start in time."""
    if not job.finished and job.stuck and now - job.created > (START_TIMEOUT if job.refused else patience):
        told = job.stuck if job.refused else f"Job {job.name} could not start: {job.stuck}"
        return Failure(Reason.MOVER_NOT_STARTED, told)
    return None


def is_missing(job: JobState | None) -> bool:
    """Say whether a Job is still to be made: there is none, or the API server has not let it be made."""
    return job is None or job.refused


def awaited(world: World | RepositoryWorld, name: str, since: datetime | None) -> JobState | None:
    """Return a Job that a phase began with, or None if it is still to be made; `since` is when the phase began.

    One that is not there after an hour counts as refused, though no process has seen it refused for so long.
    """
    job = world.jobs.get(name)
    if not is_missing(job) or since is None or world.now - since <= MAKING_TIMEOUT:
        return job
    unknown = f"Job {name} is not there, an hour after it was first wanted; the log of the operator says why"
    why = job.stuck if job else unknown
    return JobState(name, created=since, refused=True, stuck=why)
