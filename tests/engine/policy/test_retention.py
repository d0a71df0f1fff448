from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import UsageError
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID
from becalm_engine.policy.retention import UNLIMITED, Policy, Span, Verdict, apply

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def snapshot(time: datetime, *tags: str) -> Snapshot:
    nanos = (time - EPOCH) // timedelta(microseconds=1) * 1000
    zone = time.tzinfo
    assert isinstance(zone, timezone)
    return Snapshot(nanos, BlobID(bytes(32)), ("/data",), tags=tags, zone=zone)


def at(*texts: str) -> list[tuple[str, Snapshot]]:
    """Snapshots at the times `texts`, in UTC unless they say otherwise; their keys are the texts."""
    times = ((text, datetime.fromisoformat(text)) for text in texts)
    return [(text, snapshot(time if time.tzinfo else time.replace(tzinfo=UTC))) for text, time in times]


def kept(snapshots: Iterable[tuple[str, Snapshot]], policy: Policy, now: datetime = NOW) -> list[str]:
    return [verdict.key for verdict in apply(snapshots, policy, now=now) if verdict.kept]


def reasons(verdicts: Iterable[Verdict[str]]) -> dict[str, tuple[str, ...]]:
    return {verdict.key: verdict.reasons for verdict in verdicts}


class TestCounting:
    def test_last_keeps_the_newest(self) -> None:
        snapshots = at("2026-01-01", "2026-01-02", "2026-01-03")

        assert kept(snapshots, Policy(last=2)) == ["2026-01-03", "2026-01-02"]

    def test_hourly_keeps_the_newest_of_each_hour(self) -> None:
        snapshots = at(
            "2026-01-01T08:00", "2026-01-01T09:10", "2026-01-01T09:50", "2026-01-01T10:05", "2026-01-01T10:55"
        )

        assert kept(snapshots, Policy(hourly=2)) == ["2026-01-01T10:55", "2026-01-01T09:50"]

    def test_daily_keeps_the_newest_of_each_day(self) -> None:
        snapshots = at(
            "2026-01-01", "2026-01-02T01:00", "2026-01-02T23:00", "2026-01-03T05:00", "2026-01-03T06:00"
        )

        assert kept(snapshots, Policy(daily=2)) == ["2026-01-03T06:00", "2026-01-02T23:00"]

    def test_weeks_are_iso_weeks(self) -> None:
        # Monday 29 December 2025 to Sunday 4 January 2026 is week 1 of 2026
        snapshots = at("2025-12-01", "2025-12-28", "2025-12-29", "2026-01-04")

        assert kept(snapshots, Policy(weekly=2)) == ["2026-01-04", "2025-12-28"]

    def test_monthly_keeps_the_newest_of_each_month(self) -> None:
        snapshots = at("2025-10-31", "2025-11-30", "2025-12-01", "2025-12-31")

        assert kept(snapshots, Policy(monthly=2)) == ["2025-12-31", "2025-11-30"]

    def test_yearly_keeps_the_newest_of_each_year(self) -> None:
        snapshots = at("2023-05-01", "2024-12-31", "2025-01-01", "2025-12-31")

        assert kept(snapshots, Policy(yearly=2)) == ["2025-12-31", "2024-12-31"]

    def test_days_without_a_snapshot_use_up_no_count(self) -> None:
        snapshots = at("2025-01-01", "2025-06-01", "2026-01-01", "2026-05-01")

        assert kept(snapshots, Policy(daily=3)) == ["2026-05-01", "2026-01-01", "2025-06-01"]

    def test_minus_one_keeps_one_of_every_period(self) -> None:
        snapshots = at("2024-01-01", "2025-01-01", "2025-01-01T05:00", "2026-01-01")

        assert kept(snapshots, Policy(daily=UNLIMITED)) == ["2026-01-01", "2025-01-01T05:00", "2024-01-01"]

    def test_rules_add_up_and_each_says_why(self) -> None:
        snapshots = at("2025-12-31", "2026-01-01", "2026-01-02", "2026-01-03")

        verdicts = apply(snapshots, Policy(last=1, daily=2, monthly=2), now=NOW)

        assert reasons(verdicts) == {
            "2026-01-03": ("last snapshot", "daily snapshot", "monthly snapshot"),
            "2026-01-02": ("daily snapshot",),
            "2026-01-01": (),
            "2025-12-31": ("monthly snapshot",),
        }


class TestOldest:
    def test_the_oldest_stays_while_a_count_is_left(self) -> None:
        snapshots = at("2026-01-01", "2026-01-10", "2026-01-20", "2026-02-20")

        verdicts = apply(snapshots, Policy(monthly=5), now=NOW)

        assert reasons(verdicts) == {
            "2026-02-20": ("monthly snapshot",),
            "2026-01-20": ("monthly snapshot",),
            "2026-01-10": (),
            "2026-01-01": ("oldest monthly snapshot",),
        }

    def test_the_oldest_goes_when_the_counts_are_used_up(self) -> None:
        snapshots = at("2026-01-01", "2026-01-20", "2026-02-20")

        assert kept(snapshots, Policy(monthly=2)) == ["2026-02-20", "2026-01-20"]

    def test_the_oldest_stays_for_a_span_that_reaches_it(self) -> None:
        snapshots = at("2026-01-01T01:00", "2026-01-01T02:00", "2026-01-01T03:00")

        verdicts = apply(snapshots, Policy(within_daily=Span(days=7)), now=NOW)

        assert reasons(verdicts)["2026-01-01T01:00"] == ("oldest daily within 7d",)
        assert reasons(verdicts)["2026-01-01T02:00"] == ()

    def test_the_oldest_goes_when_a_span_does_not_reach_it(self) -> None:
        snapshots = at("2025-01-01", "2026-01-01")

        assert kept(snapshots, Policy(within_daily=Span(days=7))) == ["2026-01-01"]


class TestWithin:
    def test_the_span_counts_back_from_the_newest_snapshot_not_from_now(self) -> None:
        snapshots = at("2020-01-01", "2020-01-05", "2020-01-08")

        assert kept(snapshots, Policy(within=Span(days=7))) == ["2020-01-08", "2020-01-05"]

    def test_a_snapshot_exactly_so_old_is_outside(self) -> None:
        snapshots = at("2020-01-01T00:00:00", "2020-01-01T00:00:01", "2020-01-08T00:00:00")

        assert kept(snapshots, Policy(within=Span(days=7))) == ["2020-01-08T00:00:00", "2020-01-01T00:00:01"]

    def test_a_nanosecond_decides_as_in_restic(self) -> None:
        newest, younger = at("2020-01-08T00:00:00", "2020-01-01T00:00:00")
        older = ("exactly", younger[1])
        by_a_nanosecond = replace(younger[1], time_nanos=younger[1].time_nanos + 1)

        for policy in (Policy(within=Span(days=7)), Policy(within_hourly=Span(days=7))):
            assert kept([newest, older], policy) == [newest[0]]
            assert kept([newest, ("inside", by_a_nanosecond), older], policy) == [newest[0], "inside"]

    def test_a_snapshot_from_the_future_does_not_age_the_others(self) -> None:
        snapshots = at("2026-05-01", "2026-05-30", "2099-01-01")

        assert kept(snapshots, Policy(within=Span(days=7))) == ["2099-01-01", "2026-05-30"]

    def test_snapshots_that_all_lie_in_the_future_are_kept(self) -> None:
        snapshots = at("2097-01-01", "2098-01-01", "2099-01-01")

        assert len(kept(snapshots, Policy(within=Span(hours=1)))) == 3

    @pytest.mark.parametrize(
        ("policy", "expected"),
        [
            (Policy(within_hourly=Span(days=1)), ["2026-01-09T12:50", "2026-01-09T11:50"]),
            (Policy(within_daily=Span(days=3)), ["2026-01-09T12:50", "2026-01-08T10:00"]),
            (Policy(within_weekly=Span(days=30)), ["2026-01-09T12:50", "2025-12-24T10:00"]),
            (Policy(within_monthly=Span(months=2)), ["2026-01-09T12:50", "2025-12-24T10:00"]),
            (
                Policy(within_yearly=Span(years=3)),
                ["2026-01-09T12:50", "2025-12-24T10:00", "2024-05-01T10:00"],
            ),
        ],
    )
    def test_one_of_each_period_within_a_span_stays(self, policy: Policy, expected: list[str]) -> None:
        snapshots = at(
            "2022-01-01T10:00",
            "2024-05-01T10:00",
            "2025-12-24T10:00",
            "2026-01-08T10:00",
            "2026-01-09T11:10",
            "2026-01-09T11:50",
            "2026-01-09T12:50",
        )

        assert kept(snapshots, policy) == expected


class TestZones:
    def test_days_are_those_of_the_zone_the_snapshot_was_written_in(self) -> None:
        # 1 January 23:30 and 2 January 00:30 in Berlin are both 1 January in UTC
        snapshots = at("2026-01-01T00:10+01:00", "2026-01-01T23:30+01:00", "2026-01-02T00:30+01:00")

        assert kept(snapshots, Policy(daily=2)) == ["2026-01-02T00:30+01:00", "2026-01-01T23:30+01:00"]

    def test_the_same_instants_in_utc_are_one_day(self) -> None:
        snapshots = at("2025-12-31T23:10", "2026-01-01T22:30", "2026-01-01T23:30")

        assert kept(snapshots, Policy(daily=2)) == ["2026-01-01T23:30", "2025-12-31T23:10"]

    def test_order_is_by_instant_not_by_what_the_clock_showed(self) -> None:
        snapshots = at("2026-01-01T12:00+09:00", "2026-01-01T08:00")

        assert kept(snapshots, Policy(last=1)) == ["2026-01-01T08:00"]


class TestTags:
    TIMES = tuple(datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4))
    SNAPSHOTS = (
        ("none", snapshot(TIMES[0])),
        ("a", snapshot(TIMES[1], "a")),
        ("ab", snapshot(TIMES[2], "a", "b")),
        ("c", snapshot(TIMES[3], "c")),
    )

    @pytest.mark.parametrize(
        ("tags", "expected"),
        [
            ((("a",),), ["ab", "a"]),
            ((("a", "b"),), ["ab"]),
            ((("b",), ("c",)), ["c", "ab"]),
            ((("",),), ["none"]),
            ((("x",),), []),
        ],
    )
    def test_all_tags_of_any_list_keep(self, tags: tuple[tuple[str, ...], ...], expected: list[str]) -> None:
        assert kept(self.SNAPSHOTS, Policy(tags=tags)) == expected

    def test_the_reason_names_the_tags(self) -> None:
        verdicts = apply(self.SNAPSHOTS, Policy(tags=(("a", "b"),)), now=NOW)

        assert reasons(verdicts)["ab"] == ("has tags [a, b]",)


class TestSpan:
    @pytest.mark.parametrize(
        ("span", "time", "expected"),
        [
            (Span(months=1), "2026-03-31", "2026-03-03"),  # 31 February runs over
            (Span(months=1), "2024-03-31", "2024-03-02"),  # a leap year
            (Span(years=1), "2024-02-29", "2023-03-01"),
            (Span(months=14), "2026-01-15", "2024-11-15"),
            (Span(days=31), "2026-01-15", "2025-12-15"),
            (Span(hours=25), "2026-01-15T00:30", "2026-01-13T23:30"),
            (Span(years=1, months=1, days=1, hours=1), "2026-03-01T00:00", "2025-01-30T23:00"),
        ],
    )
    def test_going_back_is_go_s_calendar_arithmetic(self, span: Span, time: str, expected: str) -> None:
        start = datetime.fromisoformat(time).replace(tzinfo=UTC)

        assert span.before(start) == datetime.fromisoformat(expected).replace(tzinfo=UTC)

    @pytest.mark.parametrize("text", ["9999y", "99999m", "9999999d", "99999999999999999999h"])
    def test_a_span_longer_than_the_calendar_keeps_everything(self, text: str) -> None:
        snapshots = at("1990-01-01", "2026-01-01")

        assert len(kept(snapshots, Policy(within=Span.parse(text)))) == 2

    @pytest.mark.parametrize(
        ("text", "span"),
        [
            ("1y", Span(years=1)),
            ("2y5m7d3h", Span(2, 5, 7, 3)),
            ("3h7d", Span(days=7, hours=3)),
        ],
    )
    def test_durations_are_read(self, text: str, span: Span) -> None:
        assert Span.parse(text) == span

    @pytest.mark.parametrize("text", ["", "5", "d", "2w", "1.5d", "1y 2m", "1Y", "-2d", "1d-1h"])
    def test_other_texts_are_a_mistake_of_the_caller(self, text: str) -> None:
        with pytest.raises(UsageError):
            Span.parse(text)

    @given(st.builds(Span, *[st.integers(0, 500)] * 4).filter(bool))
    def test_a_span_shows_what_it_is_read_from(self, span: Span) -> None:
        assert Span.parse(str(span)) == span

    @given(st.builds(Span, *[st.integers(0, 50)] * 4), st.datetimes(timezones=st.just(UTC)))
    def test_before_is_never_after(self, span: Span, time: datetime) -> None:
        assert span.before(time) <= time


counts = st.integers(-1, 5)
spans = st.just(Span()) | st.builds(
    Span, st.integers(0, 2), st.integers(0, 13), st.integers(0, 40), st.integers(0, 30)
)
policies = st.builds(
    Policy, *[counts] * 6, *[spans] * 6, st.sampled_from(((), (("a",),), (("",), ("a", "b"))))
)
groups = st.lists(
    st.builds(
        snapshot,
        st.datetimes(
            datetime(2023, 1, 1),  # noqa: DTZ001
            datetime(2026, 7, 1),  # noqa: DTZ001
            timezones=st.sampled_from((UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-5)))),
        ),
    ),
    max_size=12,
).map(lambda found: list(enumerate(found)))


@given(groups, policies)
def test_every_snapshot_gets_one_verdict_newest_first(
    group: list[tuple[int, Snapshot]], policy: Policy
) -> None:
    verdicts = apply(group, policy, now=NOW)

    times = [verdict.snapshot.time_nanos for verdict in verdicts]
    assert sorted(verdict.key for verdict in verdicts) == [key for key, _ in group]
    assert times == sorted(times, reverse=True)


@given(groups, policies)
def test_the_order_of_the_input_does_not_matter(group: list[tuple[int, Snapshot]], policy: Policy) -> None:
    distinct = list({found.time_nanos: (key, found) for key, found in group}.values())

    assert apply(distinct, policy, now=NOW) == apply(distinct[::-1], policy, now=NOW)


@given(groups)
def test_an_empty_policy_keeps_everything(group: list[tuple[int, Snapshot]]) -> None:
    assert all(verdict.kept for verdict in apply(group, Policy(), now=NOW))


@given(groups, policies)
def test_a_policy_that_counts_keeps_the_newest(group: list[tuple[int, Snapshot]], policy: Policy) -> None:
    verdicts = apply(group, replace(policy, daily=1), now=NOW)

    assert not verdicts or verdicts[0].kept


@given(groups, policies.filter(bool), policies)
def test_more_rules_never_keep_less(group: list[tuple[int, Snapshot]], policy: Policy, other: Policy) -> None:
    fewer = {v.key for v in apply(group, policy, now=NOW) if v.kept}

    both = replace(policy, tags=policy.tags + other.tags, within=policy.within or other.within)
    more = {v.key for v in apply(group, both, now=NOW) if v.kept}

    assert fewer <= more


@pytest.mark.parametrize(
    "rule",
    [
        lambda count: Policy(last=count),
        lambda count: Policy(hourly=count),
        lambda count: Policy(daily=count),
        lambda count: Policy(weekly=count),
        lambda count: Policy(monthly=count),
        lambda count: Policy(yearly=count),
    ],
    ids=["last", "hourly", "daily", "weekly", "monthly", "yearly"],
)
@given(group=groups, count=st.integers(1, 6))
def test_a_higher_count_never_keeps_less(
    rule: Callable[[int], Policy], group: list[tuple[int, Snapshot]], count: int
) -> None:
    few = {verdict.key for verdict in apply(group, rule(count), now=NOW) if verdict.kept}
    more = {verdict.key for verdict in apply(group, rule(count + 1), now=NOW) if verdict.kept}

    assert few <= more
    assert len(few) <= count


@given(groups, st.integers(1, 6))
def test_days_that_stay_are_different_days_except_the_oldest(
    group: list[tuple[int, Snapshot]], count: int
) -> None:
    verdicts = [verdict for verdict in apply(group, Policy(daily=count), now=NOW) if verdict.kept]

    days = [v.snapshot.local_time.date() for v in verdicts if v.reasons == ("daily snapshot",)]
    assert all(day != next_day for day, next_day in pairwise(days))


@given(groups, spans.filter(bool))
def test_a_span_keeps_exactly_what_lies_within(group: list[tuple[int, Snapshot]], span: Span) -> None:
    verdicts = apply(group, Policy(within=span), now=NOW)

    past = [verdict.snapshot.local_time for verdict in verdicts if verdict.snapshot.local_time <= NOW]
    for verdict in verdicts:
        assert verdict.kept == (not past or verdict.snapshot.local_time > span.before(max(past)))


@pytest.mark.parametrize("policy", [Policy(last=-1), Policy(within=Span(hours=1)), Policy(tags=(("",),))])
def test_a_policy_with_any_rule_is_not_empty(policy: Policy) -> None:
    assert policy
    assert not Policy()
