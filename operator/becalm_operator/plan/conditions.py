"""Merging conditions: a transition time moves only when the status does."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from becalm_operator.api.backup import Phase, RunStatus
from becalm_operator.api.base import Metadata, time_text, to_utc
from becalm_operator.api.conditions import Condition, Reason
from becalm_operator.api.repository import BackupRepositoryStatus
from becalm_operator.api.schedule import BackupScheduleStatus
from becalm_operator.plan import wording
from becalm_operator.plan.outcome import Failure

_MOST_CHARS = 32768
"""What the API server takes as a condition's message; a longer one would keep the whole status from being written."""

RunT = TypeVar("RunT", bound=RunStatus)
ReadyT = TypeVar("ReadyT", BackupRepositoryStatus, BackupScheduleStatus)


def merged(
    conditions: Iterable[Condition],
    kind: str,
    *,
    holds: bool | None,
    reason: Reason,
    message: str,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """Return the conditions with one of them set; `holds` None means Unknown."""
    status = "Unknown" if holds is None else ("True" if holds else "False")
    before = next((condition for condition in conditions if condition.type == kind), None)
    since = before.last_transition_time if before and before.status == status else to_utc(now)
    condition = Condition(
        type=kind,
        status=status,
        observed_generation=generation,
        last_transition_time=since,
        reason=reason.value,
        message=message if len(message) <= _MOST_CHARS else f"{message[: _MOST_CHARS - 1]}…",
    )
    others = [other for other in conditions if other.type != kind]
    return tuple(sorted((*others, condition), key=lambda c: c.type))


def ready(status: ReadyT, metadata: Metadata, told: Failure, *, holds: bool | None, now: datetime) -> ReadyT:
    """Return the status of a repository or schedule with its one condition, Ready, brought up to date."""
    found = merged(
        status.conditions,
        "Ready",
        holds=holds,
        reason=told.reason,
        message=told.message,
        generation=metadata.generation,
        now=now,
    )
    return status.model_copy(update={"conditions": found, "observed_generation": metadata.generation})


def noted(status: RunT, metadata: Metadata, kind: str, told: Failure, now: datetime) -> RunT:
    """Return the status of a run with a condition that says what is to be known of it, though it goes on or is good."""
    found = merged(
        status.conditions,
        kind,
        holds=True,
        reason=told.reason,
        message=told.message,
        generation=metadata.generation,
        now=now,
    )
    return status.model_copy(update={"conditions": found})


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return a condition, whatever it says."""
    return next((condition for condition in conditions if condition.type == kind), None)


def of_run(status: RunStatus, *, quiesced: bool, generation: int, now: datetime) -> tuple[Condition, ...]:
    """Return the conditions of a Backup or Restore: Complete, Failed as a Job has them, and Quiesced."""
    reason = _why(status)
    succeeded, failed = status.phase is Phase.SUCCEEDED, status.phase is Phase.FAILED
    done = Reason.SUCCEEDED if succeeded else reason
    pairs = (
        ("Complete", succeeded, done, status.message),
        ("Failed", failed, done, status.message if failed else ""),
        ("Quiesced", quiesced, *_standstill(status, quiesced=quiesced)),
    )
    conditions = status.conditions
    for kind, is_true, why, message in pairs:
        conditions = merged(
            conditions, kind, holds=is_true, reason=why, message=message, generation=generation, now=now
        )
    return conditions


def _why(status: RunStatus) -> Reason:
    if status.reason:
        return Reason(status.reason)
    return Reason.WAITING if status.phase.waiting else Reason.RUNNING


def _standstill(status: RunStatus, *, quiesced: bool) -> tuple[Reason, str]:
    """Say what is down and until when, or that nothing is."""
    if quiesced:
        down = [
            str(state.reference) for state in status.workloads if state.stopped_at and not state.started_at
        ]
        until = f"; started by {time_text(status.deadline)} at the latest" if status.deadline else ""
        return (
            Reason.QUIESCED,
            f"held down: {wording.listed(down)}{until}{wording.unstarted(status.workloads)}",
        )
    if any(state.stopped_at for state in status.workloads):
        return Reason.RELEASED, "all that was stopped has been started again"
    return Reason.NOTHING_STOPPED, "nothing has been stopped"
