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
class _Maker:
    """The schedule that controls a run, as the run says."""

    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class _Line:
    """A run, as far as it is counted."""

    uid: str
    phase: Phase
    queued: bool
    down: int
    maker: _Maker | None


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


def _maker(run: Backup | Restore) -> _Maker | None:
    """Return the schedule that has made a run. The label says so, too, but anybody may set that to anything."""
    owners = (one for one in run.metadata.owner_references if one.get("controller"))
    for owner in owners:
        if (owner.get("kind"), owner.get("apiVersion")) == (BackupSchedule.kind, names.API_VERSION):
            key = Key(BackupSchedule.kind, run.metadata.namespace, str(owner.get("name")))
            return _Maker(key, str(owner.get("uid")))
    return None


class Ledger:
    """Keeps a line for each object there is, and nothing else: who makes and deletes objects does not let it grow."""

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
                self._forget(key)
            case BackupSchedule():
                self._schedules[key], self._owed[key] = resource, owed_since(resource)
            case BackupRepository():
                ready = conditions.find(resource.status.conditions, "Ready")
                self._repositories[key] = ready is not None and ready.status == "True"
            case _:
                return self._note_run(key, resource)
        return False

    def schedule_of(self, run: Backup | Restore) -> str:
        """Return the schedule that has made a run, or nothing: also if there is none of that name any more."""
        maker = _maker(run)
        return maker.key.name if maker and self._knows(maker) else ""

    def _knows(self, maker: _Maker) -> bool:
        schedule = self._schedules.get(maker.key)
        return schedule is not None and schedule.metadata.uid == maker.uid

    def _may_be(self, maker: _Maker) -> bool:
        """Say whether there is such a schedule, or may be: when the operator starts, a run may be seen before it."""
        return self._knows(maker) or maker.key not in self._schedules

    def _forget(self, key: Key) -> None:
        line = self._runs.get(key)
        # what a schedule's runs have said stays as long as the schedule, and without one as long as they do
        lost = line.maker.key if line and line.maker and line.maker.key not in self._schedules else key
        for of_schedule in (self._last, self._good):
            of_schedule.pop(lost, None)
        for kept in (self._runs, self._repositories, self._schedules, self._owed):
            kept.pop(key, None)

    def _note_run(self, key: Key, run: Backup | Restore) -> bool:
        status, before = run.status, self._runs.get(key)
        down = sum(state.stopped_at is not None and state.started_at is None for state in status.workloads)
        queued = status.phase.waiting and status.queued_since is not None
        maker = _maker(run)
        self._runs[key] = _Line(run.metadata.uid, status.phase, queued, down, maker)
        if isinstance(run, Backup) and status.completion_time is not None and maker and self._may_be(maker):
            self._note_last(maker.key, run, status.completion_time)
        was_under_way = before is not None and before.uid == run.metadata.uid and not before.phase.finished
        return was_under_way and status.phase.finished

    def _note_last(self, schedule: Key, backup: Backup, ended: datetime) -> None:
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
