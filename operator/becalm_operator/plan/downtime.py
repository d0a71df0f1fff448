"""Downtime: how long it was, what it was spent on, and what earlier runs let expect."""

import statistics
from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from becalm_operator.api.backup import Backup, Phase, RunStatus, WorkloadStatus
from becalm_operator.api.base import to_utc
from becalm_operator.api.downtime import DowntimeParts, Forecast
from becalm_operator.api.restore import Restore
from becalm_operator.plan.quantities import duration_text
from becalm_operator.plan.steps import Event

S = TypeVar("S", bound=RunStatus)

MOST_RUNS = 5
"""How many earlier runs a forecast goes by: the newest."""
_WORK = (Phase.CAPTURING, Phase.RESTORING)


def seconds(workloads: Iterable[WorkloadStatus]) -> int | None:
    """Return the time from the first stop to the last workload's being Ready again."""
    span = _span(workloads)
    return int((span[1] - span[0]).total_seconds()) if span else None


def _span(workloads: Iterable[WorkloadStatus]) -> tuple[datetime, datetime] | None:
    states = tuple(workloads)
    stops = [state.stopped_at for state in states if state.stopped_at]
    starts = [state.started_at for state in states if state.started_at]
    # clocks of two operators may differ, and no time is negative
    return (min(stops), max(min(stops), *starts)) if stops and starts else None


def noted(status: S, phase: Phase, now: datetime) -> S:
    """Return a status that knows when a phase was entered which ends a part of the downtime."""
    if phase in _WORK and status.drained_at is None:
        return status.model_copy(update={"drained_at": to_utc(now)})
    if phase is Phase.RESUMING and status.resumed_at is None:
        return status.model_copy(update={"resumed_at": to_utc(now)})
    return status


def parts(status: RunStatus) -> DowntimeParts | None:
    """Return what the downtime was spent on; None while there was none, or it goes on."""
    span = _span(status.workloads)
    if span is None:
        return None
    first, last = span
    resumed = min(max(status.resumed_at or last, first), last)
    drained = min(max(status.drained_at or resumed, first), resumed)
    return DowntimeParts(
        drain_seconds=int((drained - first).total_seconds()),
        capture_seconds=int((resumed - drained).total_seconds()),
        start_seconds=int((last - resumed).total_seconds()),
    )


def summed_up(status: S) -> S:
    """Return the status of a run that ends with its downtime, in numbers and for people."""
    total = seconds(status.workloads)
    told = {
        "downtime_seconds": total,
        "downtime": "" if total is None else duration_text(total),
        "downtime_parts": parts(status),
    }
    return status.model_copy(update=told)


def text(kind: str, status: RunStatus) -> str:
    """Say how long the workloads were down, and what for."""
    spent = status.downtime_parts
    if spent is None:
        return status.downtime or "none"
    work = "restore" if kind == Restore.kind else "capture"
    each = (("drain", spent.drain_seconds), (work, spent.capture_seconds), ("start", spent.start_seconds))
    return f"{status.downtime} ({', '.join(f'{name} {duration_text(took)}' for name, took in each)})"


def forecast(backup: Backup, former: Iterable[Backup]) -> Forecast | None:
    """Return what to expect of a Backup, by the newest ones that succeeded with the same workloads."""
    alike = [(one.status.completion_time, took) for one in former if (took := _took(backup, one)) is not None]
    newest = [took for _, took in sorted(alike, key=_ended)[-MOST_RUNS:]]
    if not newest:
        return None
    return Forecast(
        downtime_seconds=statistics.median_low(newest),
        shortest_seconds=min(newest),
        longest_seconds=max(newest),
        runs=len(newest),
    )


def _took(backup: Backup, former: Backup) -> int | None:
    """Return the downtime of an earlier run, if it was the same that is to be done now."""
    same = set(former.spec.workloads) == set(backup.spec.workloads)
    good = former.status.phase is Phase.SUCCEEDED and former.status.completion_time is not None
    return former.status.downtime_seconds if same and good else None


def _ended(pair: tuple[datetime | None, int]) -> datetime:
    assert pair[0] is not None
    return pair[0]


def forecast_event(expected: Forecast) -> Event:
    """Return what is told before anything is stopped."""
    about = f"expect about {duration_text(expected.downtime_seconds)} of downtime"
    if expected.runs == 1:
        return Event("Forecast", f"{about}, as in the last run")
    least, most = duration_text(expected.shortest_seconds), duration_text(expected.longest_seconds)
    span = least if least == most else f"{least} to {most}"
    return Event("Forecast", f"{about}, as in the last {expected.runs} runs: {span}")
