"""Which snapshots a policy keeps: restic's `forget`, rule by rule."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from becalm_engine.digits import whole_number
from becalm_engine.errors import UsageError
from becalm_engine.format.gotime import from_datetime
from becalm_engine.format.snapshot import Snapshot

K = TypeVar("K")

UNLIMITED = -1
_DURATION = re.compile(r"(\d+)([ymdh])")


@dataclass(frozen=True, slots=True)
class Span:
    """A length of calendar time, as in `--keep-within 1y6m`."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def __bool__(self) -> bool:
        return any((self.years, self.months, self.days, self.hours))

    def __str__(self) -> str:
        parts = ((self.years, "y"), (self.months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{number}{unit}" for number, unit in parts if number)

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Read a duration like `2y5m7d3h`.

        Raises:
            UsageError: It is not one.
        """
        found = _DURATION.findall(text)
        if not found or "".join(number + unit for number, unit in found) != text:
            raise UsageError(f"duration {text!r} is not like 2y5m7d3h")
        amounts = dict.fromkeys("ymdh", 0)
        for digits, unit in found:
            number = whole_number(digits)
            if number is None:
                raise UsageError(f"duration {text!r} is longer than any calendar")
            amounts[unit] += number
        return cls(amounts["y"], amounts["m"], amounts["d"], amounts["h"])

    def before(self, time: datetime) -> datetime:
        """Return the time that lies so long before; days that a month lacks run over, as in Go."""
        months = (time.year - self.years) * 12 + time.month - 1 - self.months
        year, month = divmod(months, 12)
        try:
            first = time.replace(year=year, month=month + 1, day=1)
            return first + timedelta(days=time.day - 1 - self.days, hours=-self.hours)
        except (ValueError, OverflowError):  # people write 9999y for ever
            return datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Policy:
    """What to keep. Counts of -1 keep all; spans count back from the newest snapshot."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Span = field(default_factory=Span)
    within_hourly: Span = field(default_factory=Span)
    within_daily: Span = field(default_factory=Span)
    within_weekly: Span = field(default_factory=Span)
    within_monthly: Span = field(default_factory=Span)
    within_yearly: Span = field(default_factory=Span)
    tags: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        counts = (self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly)
        spans = (self.within, *(span for _, _, span in self.spans()))
        return any(counts) or any(spans) or bool(self.tags)

    def counts(self) -> "list[tuple[str, _Bucket, int]]":
        """Return name, bucket and count of each counting rule."""
        return [
            ("last snapshot", _always, self.last),
            ("hourly snapshot", _hour, self.hourly),
            ("daily snapshot", _day, self.daily),
            ("weekly snapshot", _week, self.weekly),
            ("monthly snapshot", _month, self.monthly),
            ("yearly snapshot", _year, self.yearly),
        ]

    def spans(self) -> "list[tuple[str, _Bucket, Span]]":
        """Return name, bucket and span of each rule that keeps one per period within a span."""
        return [
            ("hourly within", _hour, self.within_hourly),
            ("daily within", _day, self.within_daily),
            ("weekly within", _week, self.within_weekly),
            ("monthly within", _month, self.within_monthly),
            ("yearly within", _year, self.within_yearly),
        ]


_Bucket = Callable[[datetime, int], int]


def _always(_: datetime, position: int) -> int:
    return position


def _hour(time: datetime, _: int) -> int:
    return ((time.year * 100 + time.month) * 100 + time.day) * 100 + time.hour


def _day(time: datetime, _: int) -> int:
    return (time.year * 100 + time.month) * 100 + time.day


def _week(time: datetime, _: int) -> int:
    year, week, _day_of_week = time.isocalendar()
    return year * 100 + week


def _month(time: datetime, _: int) -> int:
    return time.year * 100 + time.month


def _year(time: datetime, _: int) -> int:
    return time.year


@dataclass(frozen=True, slots=True)
class Verdict(Generic[K]):
    """One snapshot's fate; it is kept if there is any reason."""

    key: K
    snapshot: Snapshot
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether it stays."""
        return bool(self.reasons)


@dataclass(slots=True)
class _Counter:
    """One rule on its way from the newest to the oldest snapshot."""

    reason: str
    bucket: _Bucket
    left: int
    since_nanos: int | None = None
    last_value: int | None = None

    def keeps(self, snapshot: Snapshot, position: int, *, oldest: bool) -> str | None:
        """Return the reason for which this rule keeps a snapshot, if it does."""
        if self.left == 0 or (self.since_nanos is not None and snapshot.time_nanos <= self.since_nanos):
            return None
        value = self.bucket(snapshot.local_time, position)
        if value == self.last_value and not oldest:
            return None
        reason = f"oldest {self.reason}" if value == self.last_value else self.reason
        self.last_value = value
        if self.left > 0:
            self.left -= 1
        return reason


def apply(snapshots: Iterable[tuple[K, Snapshot]], policy: Policy, *, now: datetime) -> list[Verdict[K]]:
    """Decide on one group of snapshots; the verdicts come newest first.

    Every bucket is counted in the time zone in which the snapshot was written. An empty policy keeps all.
    """
    ordered = sorted(snapshots, key=lambda pair: pair[1].time_nanos, reverse=True)
    if not ordered:
        return []
    if not policy:
        return [Verdict(key, snapshot, ("policy is empty",)) for key, snapshot in ordered]
    latest = _latest([snapshot for _, snapshot in ordered], now)
    counters = [_Counter(reason, bucket, count) for reason, bucket, count in policy.counts()]
    counters += [
        _Counter(f"{reason} {span}", bucket, UNLIMITED, since_nanos=_nanos_before(latest, span))
        for reason, bucket, span in policy.spans()
        if span
    ]
    verdicts = []
    for position, (key, snapshot) in enumerate(ordered):
        oldest = position == len(ordered) - 1
        reasons = _uncounted_reasons(snapshot, policy, latest)
        kept_by = (counter.keeps(snapshot, position, oldest=oldest) for counter in counters)
        verdicts.append(Verdict(key, snapshot, (*reasons, *(reason for reason in kept_by if reason))))
    return verdicts


def _uncounted_reasons(snapshot: Snapshot, policy: Policy, latest: Snapshot) -> list[str]:
    reasons = [f"has tags [{', '.join(tags)}]" for tags in policy.tags if snapshot.has_tags(tags)]
    if policy.within and snapshot.time_nanos > _nanos_before(latest, policy.within):
        reasons.append(f"within {policy.within}")
    return reasons


def _nanos_before(latest: Snapshot, span: Span) -> int:
    """Return the time that lies a span before a snapshot, in nanoseconds, which `datetime` does not hold."""
    return from_datetime(span.before(latest.local_time)) + latest.time_nanos % 1000


def _latest(snapshots: Sequence[Snapshot], now: datetime) -> Snapshot:
    """Return the newest one that is not in the future: a wrong clock must not age all others."""
    oldest = snapshots[-1]
    return next((snapshot for snapshot in snapshots if snapshot.local_time <= now), oldest)
