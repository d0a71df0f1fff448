"""A schedule makes one Backup for each of its times."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api import names
from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.schedule import BackupSchedule, BackupScheduleStatus
from becalm_operator.plan import schedule
from becalm_operator.plan.schedule import InvalidScheduleError, clock_of, owed_since
from becalm_operator.plan.steps import DeleteBackup, MakeBackup, Plan
from becalm_operator.plan.world import ScheduleWorld
from tests.operator.plan.worlds import NOW, a_backup, a_schedule, later, told

SchedulePlan = Plan[BackupScheduleStatus]
BEFORE = {"creationTimestamp": NOW - timedelta(days=1)}


def decide(what: BackupSchedule, *backups: Backup, now: datetime = NOW) -> SchedulePlan:
    return schedule.decide(what, ScheduleWorld(now, backups))


def nightly(spec: dict[str, Any] | None = None, **status: Any) -> BackupSchedule:
    return a_schedule(spec, meta=BEFORE, **status)


def made(plan: SchedulePlan) -> list[str]:
    return [action.name for action in plan.actions if isinstance(action, MakeBackup)]


def deleted(plan: SchedulePlan) -> list[str]:
    return [action.name for action in plan.actions if isinstance(action, DeleteBackup)]


def a_run(name: str, phase: Phase, *, ended: datetime | None = None) -> Backup:
    return a_backup(
        phase, meta={"name": name, "uid": f"uid-{name}"}, completion_time=ended, message="so it was"
    )


DUE = f"nightly-{int(NOW.timestamp()) // 60}"


def test_the_backup_that_is_due_is_made() -> None:
    plan = decide(nightly())

    assert made(plan) == [DUE]
    assert (plan.status.last_schedule_time, plan.status.active) == (NOW, (DUE,))
    assert [event.reason for event in plan.events] == ["BackupCreated"]


def test_a_backup_that_was_refused_stays_due_and_those_that_have_ended_are_not_active() -> None:
    what = nightly(active=("of-yesterday",))
    ended = a_run("of-yesterday", Phase.SUCCEEDED, ended=later(hours=-23))

    plan = schedule.refused(decide(what, ended), what, DUE, "no", NOW)

    assert plan.status.active == ()
    assert plan.status.last_schedule_time == what.status.last_schedule_time
    assert (plan.actions, plan.events) == ((), ())
    after = what.model_copy(update={"status": plan.status})
    assert made(decide(after, ended)) == [DUE]


def test_it_carries_the_schedules_label_and_the_templates_metadata() -> None:
    what = nightly()
    metadata = what.spec.template.metadata.model_copy(
        update={"labels": {"tier": "gold", names.SCHEDULE_LABEL: "x"}, "annotations": {"note": "y"}}
    )
    template = what.spec.template.model_copy(update={"metadata": metadata})
    what = what.model_copy(update={"spec": what.spec.model_copy(update={"template": template})})

    (action,) = decide(what).actions

    assert isinstance(action, MakeBackup)
    assert action.labels == {"tier": "gold", names.SCHEDULE_LABEL: "nightly"}
    assert action.annotations == {"note": "y", names.SCHEDULED_ANNOTATION: "2026-11-27T03:00:00Z"}
    assert action.spec == template.spec


def test_nothing_is_due_before_its_time() -> None:
    plan = decide(nightly(), now=NOW - timedelta(seconds=1))

    # the schedule was made exactly a day ago, so yesterday's time does not count
    assert made(plan) == []
    assert plan.status.next_schedule_time == NOW
    assert plan.again_seconds == 1


def test_the_same_time_is_not_run_twice() -> None:
    plan = decide(nightly(lastScheduleTime=NOW), now=later(minutes=5))

    assert made(plan) == []
    assert plan.status.next_schedule_time == later(days=1)


def test_a_new_schedule_does_not_make_up_for_the_past() -> None:
    assert made(decide(a_schedule(meta={"creationTimestamp": later(seconds=1)}), now=later(hours=1))) == []


NOON = later(hours=9)
CHANGES: list[dict[str, Any]] = [
    {"schedule": "0 8 * * *"},
    {"timeZone": "Europe/Berlin"},
    {"jitter": "2h"},
]


def seen(what: BackupSchedule, now: datetime = NOW) -> BackupSchedule:
    """Return a schedule as the operator has left it."""
    return what.model_copy(update={"status": decide(what, now=now).status})


def edited(what: BackupSchedule, **spec: Any) -> BackupSchedule:
    """Return a schedule that a person has changed since."""
    return what.model_copy(update={"spec": nightly(spec).spec})


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_what_a_changed_schedule_would_have_run_earlier_is_not_made_up_for(change: dict[str, Any]) -> None:
    before = seen(nightly(lastScheduleTime=NOW - timedelta(days=1)), NOW - timedelta(hours=1))

    after = edited(before, **change)

    assert made(decide(after, now=NOON)) == []
    tomorrow = decide(seen(after, NOON), now=NOON + timedelta(days=1))
    assert len(made(tomorrow)) == 1, "what it misses from then on is made up for"


def test_what_a_suspended_schedule_has_missed_is_not_made_up_for() -> None:
    resting = seen(edited(nightly(), suspend=True), NOW - timedelta(hours=1))

    resumed = edited(resting)

    assert made(decide(resumed, now=NOON)) == []
    assert len(made(decide(seen(resumed, NOON), now=later(days=1)))) == 1


def test_what_made_no_sense_for_a_while_makes_up_for_nothing() -> None:
    wrong = seen(edited(nightly(), schedule="nonsense"), NOW - timedelta(hours=1))

    assert made(decide(edited(wrong), now=NOON)) == []


def test_what_is_not_made_up_for_is_not_owed() -> None:
    resting = seen(edited(nightly(lastSuccessfulTime=NOW - timedelta(days=9)), suspend=True))

    resumed = seen(edited(resting), NOON)

    assert owed_since(resumed) == later(days=1)


def test_a_change_of_something_else_loses_no_run() -> None:
    before = seen(nightly(), NOW - timedelta(hours=1))

    after = edited(before, successfulBackupsHistoryLimit=7, schedule="@daily", timeZone="Etc/UTC")
    same = edited(before, successfulBackupsHistoryLimit=7, schedule="0  3 * * *")

    assert made(decide(same, now=NOON)) == [DUE]
    assert made(decide(after, now=NOON)) == []


def test_a_change_that_was_seen_before_the_time_loses_no_run() -> None:
    before = seen(nightly({"schedule": "0 1 * * *"}), later(hours=-2))

    after = seen(edited(before, schedule="0 3 * * *"), later(hours=-1))

    assert made(decide(after, now=NOON)) == [DUE]


def test_a_schedule_that_an_older_operator_has_left_loses_no_run() -> None:
    assert made(decide(nightly(lastScheduleTime=NOW - timedelta(days=1)), now=NOON)) == [DUE]


def test_of_many_missed_times_only_the_newest_is_run() -> None:
    plan = decide(nightly(), now=later(days=3, hours=1))

    assert made(plan) == [f"nightly-{int(later(days=3).timestamp()) // 60}"]


def test_a_time_that_is_missed_by_too_much_is_told_and_skipped() -> None:
    what = nightly({"startingDeadlineSeconds": 60})

    assert made(decide(what, now=later(seconds=60))) == [DUE]
    late = decide(what, now=later(seconds=61))
    assert made(late) == []
    assert [event.reason for event in late.events] == ["MissedSchedule"]
    assert late.status.last_schedule_time == NOW


def test_a_run_waits_for_the_one_before_unless_allowed() -> None:
    running = a_run("before", Phase.CAPTURING)

    waiting = decide(nightly(), running)
    assert made(waiting) == []
    assert waiting.status.last_schedule_time is None
    assert waiting.status.active == ("before",)
    assert made(decide(nightly({"concurrencyPolicy": "Allow"}), running)) == [DUE]
    assert made(decide(nightly({"concurrencyPolicy": "Allow"}), a_run("before", Phase.PENDING))) == []
    assert made(decide(nightly(), a_run("before", Phase.SUCCEEDED, ended=NOW), now=later(hours=1))) == [DUE]


def test_a_suspended_schedule_makes_nothing_and_still_clears_away() -> None:
    old = [a_run(f"b{n}", Phase.FAILED, ended=later(minutes=n)) for n in range(4)]

    plan = decide(nightly({"suspend": True}), *old)

    assert (made(plan), deleted(plan)) == ([], ["b0"])
    assert told(plan) == ("True", "Suspended")
    assert plan.status.next_schedule_time is None


@pytest.mark.parametrize(
    "spec",
    [
        {"schedule": "nonsense"},
        {"schedule": "61 * * * *"},
        {"timeZone": "Mars/Olympus"},
        {"timeZone": ""},
        {"timeZone": "../etc/passwd"},
        {"timeZone": "Europe"},
    ],
)
def test_what_makes_no_sense_is_told(spec: dict[str, Any]) -> None:
    plan = decide(nightly(spec))

    assert told(plan) == ("False", "InvalidSchedule")
    assert made(plan) == []


def test_a_time_that_never_comes_is_no_error() -> None:
    plan = decide(nightly({"schedule": "0 0 30 2 *"}))

    assert made(plan) == []


@pytest.mark.parametrize(
    ("expression", "owed"),
    [
        ("0 * * * *", timedelta(hours=1)),
        ("0 3 * * *", timedelta(days=1)),
        ("0 3 * * 5", timedelta(weeks=1)),
        ("0 0 30 2 *", timedelta()),
        ("once a day", timedelta()),
    ],
)
def test_a_schedule_owes_a_backup_from_its_first_time_after_the_last_success(
    expression: str, owed: timedelta
) -> None:
    made_then = a_schedule({"schedule": expression})
    succeeded_then = a_schedule({"schedule": expression}, meta=BEFORE, last_successful_time=NOW)

    assert NOW.isoweekday() == 5
    assert owed_since(made_then) == owed_since(succeeded_then) == NOW + owed


def test_a_deleted_schedule_is_left_alone() -> None:
    assert decide(a_schedule(meta={"deletionTimestamp": NOW})).actions == ()


def test_the_newest_failure_is_told_until_one_succeeds() -> None:
    failed = a_run("b1", Phase.FAILED, ended=NOW)
    better = a_run("b2", Phase.SUCCEEDED, ended=later(hours=1))

    assert told(decide(nightly(lastScheduleTime=NOW), failed)) == ("False", "LastBackupFailed")
    plan = decide(nightly(lastScheduleTime=NOW), failed, better)
    assert told(plan) == ("True", "Scheduled")
    assert plan.status.last_successful_time == later(hours=1)


def test_the_last_success_outlives_its_backup() -> None:
    assert decide(nightly(lastSuccessfulTime=NOW)).status.last_successful_time == NOW


def test_finished_backups_beyond_the_limits_are_deleted_the_oldest_first() -> None:
    good = [a_run(f"g{n}", Phase.SUCCEEDED, ended=later(minutes=n)) for n in range(5)]
    bad = [a_run(f"f{n}", Phase.FAILED, ended=later(minutes=n)) for n in range(3)]
    what = nightly({"successfulBackupsHistoryLimit": 2, "failedBackupsHistoryLimit": 0}, lastScheduleTime=NOW)

    assert deleted(decide(what, *good, *bad)) == ["g0", "g1", "g2", "f0", "f1", "f2"]


# --- clocks

BERLIN = {"schedule": "30 2 * * *", "timeZone": "Europe/Berlin"}


def times(spec: dict[str, Any], start: datetime, count: int) -> list[str]:
    clock, found, at = clock_of(a_schedule(spec)), list[str](), start
    for _ in range(count):
        following = clock.after(at)
        assert following is not None
        found.append(f"{following:%m-%d %H:%M}")
        at = following
    return found


def test_times_are_meant_in_the_zone() -> None:
    assert times(BERLIN, datetime(2026, 1, 1, tzinfo=UTC), 1) == ["01-01 01:30"]
    assert times(BERLIN, datetime(2026, 7, 1, tzinfo=UTC), 1) == ["07-01 00:30"]


def test_a_time_that_the_clock_change_skips_comes_once_all_the_same() -> None:
    found = times(BERLIN, datetime(2026, 3, 28, 12, tzinfo=UTC), 2)

    assert [one[:5] for one in found] == ["03-29", "03-30"]


def test_a_time_that_the_clock_change_repeats_comes_once() -> None:
    found = times(BERLIN, datetime(2026, 10, 24, 12, tzinfo=UTC), 2)

    assert [one[:5] for one in found] == ["10-25", "10-26"]


def test_jitter_is_the_same_for_one_schedule_and_within_its_bound() -> None:
    spec = {"jitter": "10m"}
    jitters = {clock_of(a_schedule(spec, meta={"uid": f"u{n}"})).jitter for n in range(50)}

    # were it another with every start of the operator, a Backup could be due twice
    assert clock_of(a_schedule(spec, meta={"uid": "u1"})).jitter == timedelta(seconds=147)
    assert clock_of(a_schedule(spec, meta={"uid": "u2"})).jitter == timedelta(seconds=541)
    assert all(timedelta() <= jitter <= timedelta(minutes=10) for jitter in jitters)
    assert len(jitters) > 10


def test_an_unknown_zone_is_an_error_of_its_own() -> None:
    with pytest.raises(InvalidScheduleError, match="Mars"):
        clock_of(a_schedule({"timeZone": "Mars/Olympus"}))


EXPRESSIONS = st.sampled_from(["0 3 * * *", "*/15 * * * *", "@daily", "@hourly", "30 2 * * 1", "0 0 1 * *"])
ZONES = st.sampled_from(
    ["Etc/UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
MOMENTS = st.integers(0, 400_000_000).map(
    lambda seconds: datetime(2019, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
JITTERS = st.sampled_from(["0s", "59s", "1h"])


@given(EXPRESSIONS, ZONES, JITTERS, MOMENTS)
def test_the_newest_time_until_the_next_one_is_that_one(
    expression: str, zone: str, jitter: str, now: datetime
) -> None:
    clock = clock_of(a_schedule({"schedule": expression, "timeZone": zone, "jitter": jitter}))

    coming = clock.after(now)

    assert coming is not None
    assert coming > now
    assert clock.newest(now, coming) == coming
    assert clock.newest(now, coming - timedelta(seconds=1)) is None
    assert clock.newest(coming, coming) is None


@given(EXPRESSIONS, ZONES, st.lists(st.integers(0, 100_000), min_size=1, max_size=12))
def test_however_often_it_is_looked_at_no_time_gives_two_backups(
    expression: str, zone: str, waits: list[int]
) -> None:
    what = nightly({"schedule": expression, "timeZone": zone, "concurrencyPolicy": "Allow"})
    names_made: list[str] = []
    now = NOW
    for wait in waits:
        now += timedelta(seconds=wait)
        plan = decide(what, now=now)
        names_made += made(plan)
        what = what.model_copy(update={"status": plan.status})
        assert made(decide(what, now=now)) == []

    assert len(names_made) == len(set(names_made))


EDITS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"schedule": EXPRESSIONS}, optional={"jitter": JITTERS, "timeZone": ZONES, "suspend": st.booleans()}
)


@given(st.lists(st.tuples(EDITS, st.integers(0, 100_000)), min_size=1, max_size=8))
def test_no_time_is_run_that_had_passed_when_a_schedule_became_what_it_is(
    edits: list[tuple[dict[str, Any], int]],
) -> None:
    what, now, since, clock = nightly(), NOW, NOW - timedelta(days=1), ""
    for edit, wait in edits:
        now += timedelta(seconds=wait)
        what = edited(what, **edit)
        goes_by = "none" if what.spec.suspend else str(clock_of(what))
        since = since if not clock or goes_by == clock else now
        clock = goes_by
        plan = decide(what, now=now)
        what = what.model_copy(update={"status": plan.status})

        assert not made(plan) or (plan.status.last_schedule_time or since) > since


@given(EXPRESSIONS, MOMENTS)
def test_a_schedule_is_looked_at_again_before_it_is_due(expression: str, now: datetime) -> None:
    plan = decide(a_schedule({"schedule": expression}, meta={"creationTimestamp": now}), now=now)

    assert plan.again_seconds is not None
    assert 0 < plan.again_seconds <= 300
    assert plan.status.next_schedule_time is not None
    assert plan.again_seconds <= (plan.status.next_schedule_time - now).total_seconds()
