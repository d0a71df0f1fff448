"""What was last seen of our objects. The gauges show it, and by it a run is known that has just ended.

It is filled by reconciling alone, which looks at everything when the operator starts. So after a restart the gauges are
right within seconds, and no run that had ended before is counted again.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.api.repository import BackupRepository
from becalm_operator.api.restore import Restore
from becalm_operator.api.schedule import BackupSchedule
from becalm_operator.cluster.port import Key, Resource
from becalm_operator.plan import conditions, guards
from becalm_operator.plan.schedule import owed_since

Sample = tuple[str, tuple[str, ...], float]
"""The name of a gauge, the values of its labels, and its own."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A run, as far as it is counted."""

    uid: str
    phase: Phase
    queued: bool
    down: int


@dataclass(frozen=True, slots=True)
class _Last:
    """The newest run of a schedule that has ended."""

    at: datetime
    downtime: int | None
    expected: int | None


@dataclass(frozen=True, slots=True)
class _Good:
    """The newest run of a schedule that has succeeded."""

    at: datetime
    suspect: bool
    unretained: bool


def schedule_of(run: Backup | Restore) -> str:
    """Return the schedule that has made a run, or nothing."""
    return run.metadata.labels.get(names.SCHEDULE_LABEL, "")


class Ledger:
    """Keeps a line for each object there is."""

    def __init__(self) -> None:
        self._runs: dict[Key, _Line] = {}
        self._schedules: dict[Key, BackupSchedule] = {}
        self._owed: dict[Key, datetime | None] = {}
        self._repositories: dict[Key, bool] = {}
        self._last: dict[Key, _Last] = {}
        self._good: dict[Key, _Good] = {}

    def note(self, key: Key, resource: Resource | None) -> bool:
        """Note an object as it is, or that it is gone. Returns whether it is a run that has just ended."""
        match resource:
            case None:
                of_schedules = (self._schedules, self._owed, self._last, self._good)
                for kept in (self._runs, self._repositories, *of_schedules):
                    kept.pop(key, None)
            case BackupSchedule():
                self._schedules[key], self._owed[key] = resource, owed_since(resource)
            case BackupRepository():
                ready = conditions.find(resource.status.conditions, "Ready")
                self._repositories[key] = ready is not None and ready.status == "True"
            case _:
                return self._note_run(key, resource)
        return False

    def _note_run(self, key: Key, run: Backup | Restore) -> bool:
        status, before = run.status, self._runs.get(key)
        down = sum(state.stopped_at is not None and state.started_at is None for state in status.workloads)
        queued = status.phase.waiting and status.queued_since is not None
        self._runs[key] = _Line(run.metadata.uid, status.phase, queued, down)
        if isinstance(run, Backup) and status.completion_time is not None and schedule_of(run):
            self._note_last(run, status.completion_time)
        was_under_way = before is not None and before.uid == run.metadata.uid and not before.phase.finished
        return was_under_way and status.phase.finished

    def _note_last(self, backup: Backup, ended: datetime) -> None:
        schedule = Key(BackupSchedule.kind, backup.metadata.namespace, schedule_of(backup))
        known = self._last.get(schedule)
        if known is None or known.at <= ended:
            forecast = backup.status.forecast
            expected = forecast.downtime_seconds if forecast else None
            self._last[schedule] = _Last(ended, backup.status.downtime_seconds, expected)
        if backup.status.phase is Phase.SUCCEEDED:
            self._note_good(schedule, backup, ended)

    def _note_good(self, schedule: Key, backup: Backup, ended: datetime) -> None:
        """A run that fails says nothing about what those before it have written."""
        known = self._good.get(schedule)
        if known is None or known.at <= ended:
            unretained = conditions.find(backup.status.conditions, "RetentionFailed") is not None
            self._good[schedule] = _Good(ended, guards.is_suspect(backup), unretained)

    def samples(self) -> Iterator[Sample]:
        """Yield the values of all gauges."""
        yield from self._of_runs()
        for key, schedule in self._schedules.items():
            yield from self._of_schedule(key, schedule)
        for key, ready in self._repositories.items():
            yield "becalm_repository_ready", (key.namespace, key.name), float(ready)

    def _of_runs(self) -> Iterator[Sample]:
        phases: Counter[tuple[str, ...]] = Counter()
        queue: Counter[tuple[str, ...]] = Counter()
        down: Counter[tuple[str, ...]] = Counter()
        for key, line in self._runs.items():
            if not line.phase.finished:
                phases[key.kind, line.phase.value] += 1
            queue[key.namespace,] += line.queued
            down[key.namespace,] += line.down
        yield from (("becalm_runs", labels, value) for labels, value in phases.items())
        yield from (("becalm_queue_length", labels, value) for labels, value in queue.items())
        yield from (("becalm_workloads_down", labels, value) for labels, value in down.items())

    def _of_schedule(self, key: Key, schedule: BackupSchedule) -> Iterator[Sample]:
        labels, status = (key.namespace, key.name), schedule.status
        times = {
            "created": schedule.metadata.creation_timestamp,
            "last_success": status.last_successful_time,
            "next_run": status.next_schedule_time,
            "due": self._owed.get(key),
        }
        for name, time in times.items():
            if time is not None:
                yield f"becalm_schedule_{name}_timestamp_seconds", labels, time.timestamp()
        yield "becalm_schedule_suspended", labels, float(schedule.spec.suspend)
        ready = conditions.find(status.conditions, "Ready")
        failed = ready is not None and ready.reason == Reason.LAST_BACKUP_FAILED.value
        yield "becalm_schedule_last_run_failed", labels, float(failed)
        yield from self._of_newest(key)

    def _of_newest(self, key: Key) -> Iterator[Sample]:
        labels = (key.namespace, key.name)
        if good := self._good.get(key):
            yield "becalm_schedule_last_run_suspect", labels, float(good.suspect)
            yield "becalm_schedule_last_retention_failed", labels, float(good.unretained)
        last = self._last.get(key)
        downtimes = {"last": last.downtime, "expected": last.expected} if last else {}
        for name, seconds in downtimes.items():
            if seconds is not None:
                yield f"becalm_schedule_{name}_downtime_seconds", labels, float(seconds)
