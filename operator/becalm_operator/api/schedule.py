"""BackupSchedule: makes Backups at the times of a cron expression, and clears out old snapshots."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from becalm_operator.api.backup import BackupSpec
from becalm_operator.api.base import Duration, Metadata, Model, Time
from becalm_operator.api.conditions import Condition

_KEEPS_SOMETHING = (
    "has(self.keepLast) || has(self.keepHourly) || has(self.keepDaily) || has(self.keepWeekly)"
    " || has(self.keepMonthly) || has(self.keepYearly) || has(self.keepWithin)"
)
LONGEST_JITTER_HOURS = 31 * 24
_SHORT_JITTER = (
    # so many hours are more than a duration of CEL holds, and the message would be of that
    f"!self.jitter.matches('[0-9]{{6}}h') && duration(self.jitter) <= duration('{LONGEST_JITTER_HOURS}h')"
)
_Count = Annotated[int, Field(ge=1, le=10000)]


class Retention(Model):
    """Which snapshots of the schedule are kept, as in `restic forget`."""

    rules: ClassVar = {
        _KEEPS_SOMETHING: "an empty retention would keep nothing; leave it out to keep everything"
    }
    keep_last: _Count | None = None
    """The newest so many."""
    keep_hourly: _Count | None = None
    """One for each of so many hours that have one."""
    keep_daily: _Count | None = None
    """The same for days."""
    keep_weekly: _Count | None = None
    """The same for weeks."""
    keep_monthly: _Count | None = None
    """The same for months."""
    keep_yearly: _Count | None = None
    """The same for years."""
    keep_within: Annotated[str, Field(pattern=r"^([0-9]+[ymdh])+$", max_length=32)] | None = None
    """All within this time of the newest, like 1y6m."""


class TemplateMetadata(Model):
    """Labels and annotations for the Backups."""

    labels: Annotated[dict[str, str], Field(max_length=32)] = {}
    """Labels."""
    annotations: Annotated[dict[str, str], Field(max_length=32)] = {}
    """Annotations."""


class BackupTemplate(Model):
    """What the Backups look like."""

    metadata: TemplateMetadata = TemplateMetadata()
    """Their metadata."""
    spec: BackupSpec
    """Their spec."""


class BackupScheduleSpec(Model):
    """Makes Backups by the clock. Fields are named as in a CronJob."""

    rules: ClassVar = {_SHORT_JITTER: f"jitter must be at most {LONGEST_JITTER_HOURS}h"}

    schedule: Annotated[str, Field(min_length=1, max_length=128)]
    """A cron expression of five fields, or @daily and its like. A missed run is made up for; but one whose times, zone
    or jitter were changed counts from then on, and makes up for nothing that was before."""
    time_zone: Annotated[str, Field(max_length=64)] = "Etc/UTC"
    """The zone that the expression is meant in, and whose days the retention counts: snapshots have its offset."""
    jitter: Duration = "0s"
    """Start later by up to this much, always the same for one schedule, so that not all start at once. At most 744h."""
    suspend: bool = False
    """Make no Backups for now. What is missed meanwhile is not made up for."""
    starting_deadline_seconds: Annotated[int, Field(ge=10)] | None = None
    """How late a missed run may still start; absent for any time."""
    concurrency_policy: Literal["Forbid", "Allow"] = "Forbid"
    """Whether a run may start while the one before goes on. It never does before that one has begun: what was missed
    meanwhile is made up for by one run."""
    successful_backups_history_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How many succeeded Backups to keep as objects; snapshots are kept by retention. The newest that is not suspect
    stays in any case: the next ones are measured by it."""
    failed_backups_history_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How many failed ones."""
    retention: Retention | None = None
    """Which snapshots to keep; absent for all. What those that go have taken is freed by `becalm prune` alone, which
    the operator does not run."""
    template: BackupTemplate
    """What the Backups look like."""


class BackupScheduleStatus(Model):
    """What a schedule has done."""

    observed_generation: int = 0
    """The generation that the rest is about."""
    conditions: tuple[Condition, ...] = ()
    """Ready, and why not."""
    last_schedule_time: Time | None = None
    """The time of the newest Backup it has made."""
    next_schedule_time: Time | None = None
    """When it makes the next."""
    last_successful_time: Time | None = None
    """When a Backup of it last succeeded."""
    clock: str = ""
    """What it goes by: its expression, zone and delay by jitter; none while it makes no Backups."""
    clock_since: Time | None = None
    """Since when, if that was another before. What was due earlier is not made up for."""
    active: tuple[str, ...] = ()
    """Backups that have not ended."""


class BackupSchedule(Model):
    """Backups by the clock."""

    kind: ClassVar = "BackupSchedule"
    plural: ClassVar = "backupschedules"
    rules: ClassVar = {
        "self.metadata.name.size() <= 52": "the name is longer than 52 characters: its Backups add a number to it"
    }
    spec_rules: ClassVar[dict[str, str]] = {}
    metadata: Metadata
    spec: BackupScheduleSpec
    status: BackupScheduleStatus = BackupScheduleStatus()
