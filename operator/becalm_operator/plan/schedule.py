"""A schedule's next step: make the Backup that is due, clear out old ones, say when the next is."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.base import parse_duration, time_text, to_utc
from becalm_operator.api.conditions import Reason
from becalm_operator.api.schedule import LONGEST_JITTER_HOURS, BackupSchedule, BackupScheduleStatus
from becalm_operator.plan import conditions, guards
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.steps import Action, DeleteBackup, Event, MakeBackup, Plan
from becalm_operator.plan.world import ScheduleWorld

_LONGEST_SLEEP = timedelta(minutes=5)
"""The clock may be set meanwhile, so nobody sleeps longer than this on what it said."""
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = 5
_REFUSED_SECONDS = 15.0
"""After how long to try again to make a Backup that was refused."""
_NO_CLOCK = "none"
"""What a schedule goes by that makes no Backups."""

SchedulePlan = Plan[BackupScheduleStatus]


class InvalidScheduleError(Exception):
    """The expression, the time zone or the jitter makes no sense."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The times of a cron expression in a zone, all later by the schedule's jitter."""

    expression: str
    zone: ZoneInfo
    jitter: timedelta

    def after(self, moment: datetime) -> datetime | None:
        """Return the first time after a moment, in UTC; None for an expression that never comes again."""
        start = (moment - self.jitter).astimezone(self.zone)
        try:
            found = next(CronSim(self.expression, start))
        except StopIteration:
            return None
        return to_utc(found) + self.jitter

    def newest(self, since: datetime, until: datetime) -> datetime | None:
        """Return the newest time after `since` and not after `until`."""
        start = (until - self.jitter + timedelta(seconds=1)).astimezone(self.zone)
        try:
            found = to_utc(next(CronSim(self.expression, start, reverse=True))) + self.jitter
        except StopIteration:
            return None
        return found if since < found <= until else None

    def __str__(self) -> str:
        """Return what tells it from every other one."""
        delay = int(self.jitter.total_seconds())
        return f"{' '.join(self.expression.split())} {self.zone.key} +{delay}s"


def clock_of(schedule: BackupSchedule) -> Clock:
    """Return the schedule's clock.

    Raises:
        InvalidScheduleError: The expression, the time zone or the jitter makes no sense.
    """
    spec = schedule.spec
    expression = _MACROS.get(spec.schedule.strip(), spec.schedule)
    if len(expression.split()) != _FIELDS:
        raise InvalidScheduleError(
            f"spec.schedule {spec.schedule!r} does not have five fields: minute, hour, day, month, day of the week"
        )
    try:
        zone = ZoneInfo(spec.time_zone)
        CronSim(expression, datetime(2000, 1, 1, tzinfo=zone))
    except CronSimError as error:
        raise InvalidScheduleError(
            f"spec.schedule {spec.schedule!r} is not a cron expression: {error}"
        ) from error
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidScheduleError(f"spec.timeZone {spec.time_zone!r} is not a known time zone") from error
    return Clock(expression, zone, _jitter(schedule))


def zone_of(schedule: BackupSchedule | None) -> tzinfo:
    """Return the zone whose days the retention of a schedule counts; UTC without one, or if it is not known."""
    try:
        return ZoneInfo(schedule.spec.time_zone) if schedule else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def owed_since(schedule: BackupSchedule) -> datetime | None:
    """Return when the first Backup since the last success is due, or was. It may still lie ahead.

    What is not made up for, since the schedule was changed or resumed after it, is not owed. A schedule that cannot
    make one, for its expression, owes it from that success on.
    """
    since = schedule.status.last_successful_time or schedule.metadata.creation_timestamp
    if since is None:
        return None
    try:
        return clock_of(schedule).after(max(since, schedule.status.clock_since or since)) or since
    except InvalidScheduleError:
        return since


def _jitter(schedule: BackupSchedule) -> timedelta:
    """Return how much later this schedule runs: always the same for one UID, in whole seconds.

    Raises:
        InvalidScheduleError: It may be so long that dates come to an end.
    """
    most = int(parse_duration(schedule.spec.jitter).total_seconds())
    if most > LONGEST_JITTER_HOURS * 3600:  # of a definition before this one, the API server has taken any
        raise InvalidScheduleError(
            f"spec.jitter {schedule.spec.jitter!r} is too long: at most {LONGEST_JITTER_HOURS}h"
        )
    digest = hashlib.sha256(schedule.metadata.uid.encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8]) % (most + 1))


def decide(schedule: BackupSchedule, world: ScheduleWorld) -> SchedulePlan:
    """Return the next step of a schedule; following it twice makes one Backup."""
    if schedule.metadata.deletion_timestamp:
        return Plan(schedule.status)
    status = _seen(schedule, world)
    old = _beyond_history(schedule, world.backups)
    try:
        clock = clock_of(schedule)
    except InvalidScheduleError as error:
        invalid = Failure(Reason.INVALID_SCHEDULE, str(error))
        status = _going_by(_NO_CLOCK, status, world.now)
        return Plan(conditions.ready(status, schedule.metadata, invalid, holds=False, now=world.now), old)
    if schedule.spec.suspend:
        suspended = Failure(Reason.SUSPENDED, "spec.suspend is true: no Backups are made")
        status = _going_by(_NO_CLOCK, status, world.now).model_copy(update={"next_schedule_time": None})
        return Plan(conditions.ready(status, schedule.metadata, suspended, holds=True, now=world.now), old)
    return _scheduled(schedule, _going_by(str(clock), status, world.now), clock, old, world)


def _going_by(clock: str, status: BackupScheduleStatus, now: datetime) -> BackupScheduleStatus:
    """Return the status of a schedule that goes by a clock. Another one than before counts from now on.

    What it would have run earlier was due by no schedule there was, and nobody wants it at the time of an edit.
    """
    if clock == status.clock:
        return status
    # one that nobody has looked at yet counts from its creation
    since = to_utc(now) if status.clock else status.clock_since
    return status.model_copy(update={"clock": clock, "clock_since": since})


def _counts_from(schedule: BackupSchedule, status: BackupScheduleStatus, now: datetime) -> datetime:
    """Return after which moment a time that has passed is still to be run."""
    since = status.last_schedule_time or schedule.metadata.creation_timestamp or to_utc(now)
    return max(since, status.clock_since or since)


def _scheduled(
    schedule: BackupSchedule,
    status: BackupScheduleStatus,
    clock: Clock,
    old: Sequence[Action],
    world: ScheduleWorld,
) -> SchedulePlan:
    due = clock.newest(_counts_from(schedule, status, world.now), world.now)
    actions: list[Action] = list(old)
    events: list[Event] = []
    if due is not None and not _must_wait(schedule, status, world.backups):
        status = status.model_copy(update={"last_schedule_time": due})
        if _too_late(schedule, due, world.now):
            events.append(
                Event("MissedSchedule", f"the run of {due:%Y-%m-%d %H:%M} UTC is too late", "Warning")
            )
        else:
            made = backup_of(schedule, due)
            status = status.model_copy(update={"active": (*status.active, made.name)})
            actions.append(made)
            events.append(Event("BackupCreated", f"made Backup {made.name}"))
    coming = clock.after(world.now)
    status = status.model_copy(update={"next_schedule_time": coming})
    told = _told(world.backups) or Failure(Reason.SCHEDULED, f"next Backup at {_when(coming)}")
    sleep = min(coming - world.now, _LONGEST_SLEEP) if coming else _LONGEST_SLEEP
    final = conditions.ready(
        status, schedule.metadata, told, holds=told.reason is Reason.SCHEDULED, now=world.now
    )
    return Plan(final, actions, events, again_seconds=max(sleep.total_seconds(), 0.1))


def refused(
    plan: SchedulePlan, schedule: BackupSchedule, backup: str, why: str, now: datetime
) -> SchedulePlan:
    """Return what may be told of a plan whose Backup was not let be made. It stays due, and is tried again."""
    before = schedule.status
    status = plan.status.model_copy(
        update={
            "conditions": before.conditions,
            "last_schedule_time": before.last_schedule_time,
            "active": tuple(name for name in plan.status.active if name != backup),
        }
    )
    told = Failure(Reason.BACKUP_REFUSED, f"the Backup that is due could not be made: {why}")
    final = conditions.ready(status, schedule.metadata, told, holds=False, now=now)
    return Plan(final, again_seconds=_REFUSED_SECONDS)


def _when(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "no time: the expression never comes again"


def _must_wait(schedule: BackupSchedule, status: BackupScheduleStatus, backups: Sequence[Backup]) -> bool:
    """Say whether a run that is due waits for the one before; it starts late, if its deadline allows.

    Behind one that has not begun itself, since its repository is away perhaps, no other joins the line.
    """
    if schedule.spec.concurrency_policy == "Forbid":
        return bool(status.active)
    return any(backup.status.phase.waiting for backup in backups)


def _too_late(schedule: BackupSchedule, due: datetime, now: datetime) -> bool:
    deadline = schedule.spec.starting_deadline_seconds
    # a number of any size is compared as one: as a length of time it may be too long
    return deadline is not None and (now - due).total_seconds() > deadline


def backup_of(schedule: BackupSchedule, due: datetime) -> MakeBackup:
    """Return the Backup of one scheduled time; its name holds the time, so making it again is the same one."""
    template = schedule.spec.template
    minutes = int(due.timestamp()) // 60
    labels = {**template.metadata.labels, names.SCHEDULE_LABEL: schedule.metadata.name}
    annotations = {**template.metadata.annotations, names.SCHEDULED_ANNOTATION: time_text(due)}
    return MakeBackup(f"{schedule.metadata.name}-{minutes}", labels, annotations, template.spec)


def _seen(schedule: BackupSchedule, world: ScheduleWorld) -> BackupScheduleStatus:
    """Return the status with what the Backups say by themselves."""
    active = sorted(b.metadata.name for b in world.backups if not b.status.phase.finished)
    ends = [
        backup.status.completion_time
        for backup in world.backups
        if backup.status.phase is Phase.SUCCEEDED and backup.status.completion_time
    ]
    newest = max([*ends, *filter(None, [schedule.status.last_successful_time])], default=None)
    # a Backup may have been made by an operator that died before it could write the status
    made = [time for backup in world.backups if (time := _scheduled_at(backup))]
    last = max([*made, *filter(None, [schedule.status.last_schedule_time])], default=None)
    return schedule.status.model_copy(
        update={"active": tuple(active), "last_successful_time": newest, "last_schedule_time": last}
    )


def _scheduled_at(backup: Backup) -> datetime | None:
    """Return the time that a schedule has made a Backup for."""
    text = backup.metadata.annotations.get(names.SCHEDULED_ANNOTATION, "")
    try:
        return to_utc(datetime.fromisoformat(text))
    except ValueError:  # a person may write there what they like
        return None


def _told(backups: Sequence[Backup]) -> Failure | None:
    """Return that the newest Backup which has ended did not succeed."""
    ended = [b for b in backups if b.status.phase.finished and b.status.completion_time]
    newest = max(ended, key=_ended_at, default=None)
    if newest is None or newest.status.phase is not Phase.FAILED:
        return None
    return Failure(Reason.LAST_BACKUP_FAILED, f"{newest.metadata.name}: {newest.status.message}")


def _ended_at(backup: Backup) -> tuple[datetime, str]:
    assert backup.status.completion_time is not None
    return backup.status.completion_time, backup.metadata.name


def _beyond_history(schedule: BackupSchedule, backups: Sequence[Backup]) -> tuple[DeleteBackup, ...]:
    """Return the deletion of finished Backups beyond the history limits, the oldest first."""
    limits = {
        Phase.SUCCEEDED: schedule.spec.successful_backups_history_limit,
        Phase.FAILED: schedule.spec.failed_backups_history_limit,
    }
    gone: list[DeleteBackup] = []
    for phase, limit in limits.items():
        ended = [b for b in backups if b.status.phase is phase and b.status.completion_time]
        ended.sort(key=_ended_at)
        kept = ended[max(len(ended) - limit, 0) :]
        if phase is Phase.SUCCEEDED and all(guards.is_suspect(backup) for backup in kept):
            # what the next ones are measured by stays, also where the limit is 0
            kept += [backup for backup in ended if not guards.is_suspect(backup)][-1:]
        surplus = [backup for backup in ended if backup not in kept]
        gone += [DeleteBackup(b.metadata.name) for b in surplus if not b.metadata.deletion_timestamp]
    return tuple(gone)
