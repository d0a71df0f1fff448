"""Downtime: what it was spent on, and what to expect."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import BackupStatus, Phase, RunStatus
from becalm_operator.api.downtime import DowntimeParts, Forecast
from becalm_operator.plan import downtime, run
from tests.operator.plan.worlds import NOW, a_backup, a_former, later, planned, stopped

MOMENTS = st.integers(-20, 4000).map(lambda seconds: later(seconds=seconds))


def an_ended(**seconds: float) -> RunStatus:
    """Return a run that has stopped, drained, resumed and started so many seconds after now."""
    times = {name: later(seconds=value) for name, value in seconds.items()}
    started = times.pop("started")
    return RunStatus(workloads=stopped(started_at=started)).model_copy(update=times)


def test_downtime_is_from_the_first_stop_to_the_last_start() -> None:
    states = (
        planned(web_stopped=NOW)[0].model_copy(update={"started_at": later(seconds=50)}),
        planned(db_stopped=later(seconds=5))[1].model_copy(update={"started_at": later(seconds=40)}),
    )

    assert downtime.seconds(states) == 50
    assert downtime.seconds(planned()) is None
    assert downtime.seconds(stopped()) is None


def test_its_parts_are_draining_the_work_and_starting() -> None:
    found = downtime.parts(an_ended(drained_at=3, resumed_at=33, started=42))

    assert found == DowntimeParts(drain_seconds=3, capture_seconds=30, start_seconds=9)


def test_a_run_that_was_given_up_while_it_drained_has_captured_nothing() -> None:
    found = downtime.parts(an_ended(resumed_at=33, started=42))

    assert found == DowntimeParts(drain_seconds=33, start_seconds=9)


def test_a_run_that_the_sweep_has_released_was_draining_all_the_time() -> None:
    assert downtime.parts(an_ended(started=42)) == DowntimeParts(drain_seconds=42)


def test_a_run_that_has_stopped_nothing_has_no_parts() -> None:
    assert downtime.parts(RunStatus(workloads=planned())) is None


@given(
    stops=st.lists(MOMENTS, min_size=2, max_size=2),
    starts=st.lists(MOMENTS, min_size=2, max_size=2),
    drained=st.none() | MOMENTS,
    resumed=st.none() | MOMENTS,
)
def test_the_parts_add_up_to_the_whole_whatever_the_clocks_say(
    stops: list[datetime], starts: list[datetime], drained: datetime | None, resumed: datetime | None
) -> None:
    states = planned(web_stopped=stops[0], db_stopped=stops[1])
    workloads = tuple(s.model_copy(update={"started_at": t}) for s, t in zip(states, starts, strict=True))
    status = RunStatus(workloads=workloads).model_copy(update={"drained_at": drained, "resumed_at": resumed})

    found, total = downtime.parts(status), downtime.seconds(workloads)

    assert found is not None
    each = (found.drain_seconds, found.capture_seconds, found.start_seconds)
    assert sum(each) == total
    assert min(each) >= 0


@pytest.mark.parametrize("phase", [Phase.CAPTURING, Phase.RESTORING])
def test_the_phases_note_when_a_part_is_over(phase: Phase) -> None:
    status = run.entered(BackupStatus(), phase, NOW)
    status = run.entered(status, Phase.RESUMING, later(seconds=30))
    again = run.entered(status, Phase.RESUMING, later(seconds=60))

    assert (status.drained_at, status.resumed_at) == (NOW, later(seconds=30))
    assert again.resumed_at == later(seconds=30)


def test_the_end_sums_it_up() -> None:
    status = run.ended(an_ended(drained_at=3, resumed_at=33, started=182), Phase.SUCCEEDED, NOW, "good")

    assert status.downtime_parts == DowntimeParts(drain_seconds=3, capture_seconds=30, start_seconds=149)
    assert downtime.text("Backup", status) == "3m2s (drain 3s, capture 30s, start 2m29s)"
    assert downtime.text("Restore", status) == "3m2s (drain 3s, restore 30s, start 2m29s)"
    assert downtime.text("Backup", RunStatus()) == "none"


# --- forecast


def test_the_newest_five_runs_tell_what_to_expect() -> None:
    took = [900, 8, 15, 12, 9, 13]
    former = [a_former(f"b{at}", s, ended=NOW + timedelta(days=at)) for at, s in enumerate(took)]

    expected = downtime.forecast(a_backup(), reversed(former))

    assert expected == Forecast(downtime_seconds=12, shortest_seconds=8, longest_seconds=15, runs=5)
    told = "expect about 12s of downtime, as in the last 5 runs: 8s to 15s"
    assert downtime.forecast_event(expected).message == told


def test_one_run_is_told_as_one() -> None:
    expected = downtime.forecast(a_backup(), [a_former("b1", 12)])

    assert expected is not None
    told = downtime.forecast_event(expected).message
    assert told == "expect about 12s of downtime, as in the last run"


def test_runs_that_took_equally_long_are_told_without_a_span() -> None:
    expected = downtime.forecast(a_backup(), [a_former("b1", 12), a_former("b2", 12)])

    assert expected is not None
    told = downtime.forecast_event(expected).message
    assert told == "expect about 12s of downtime, as in the last 2 runs: 12s"


def test_runs_that_are_not_alike_tell_nothing() -> None:
    failed = a_backup(Phase.FAILED, completion_time=NOW, downtime_seconds=1)
    of_others = a_backup(
        Phase.SUCCEEDED,
        spec={"workloads": [{"kind": "Deployment", "name": "web"}]},
        completion_time=NOW,
        downtime_seconds=1,
    )
    without = a_backup(Phase.SUCCEEDED, completion_time=NOW)

    assert downtime.forecast(a_backup(), [failed, of_others, without]) is None


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=9))
def test_a_forecast_lies_within_what_was_seen(took: list[int]) -> None:
    former = [a_former(f"b{at}", s, ended=NOW + timedelta(days=at)) for at, s in enumerate(took)]

    expected = downtime.forecast(a_backup(), former)

    assert expected is not None
    seen = took[-downtime.MOST_RUNS :]
    assert min(seen) == expected.shortest_seconds <= expected.downtime_seconds
    assert expected.downtime_seconds <= expected.longest_seconds == max(seen)
    assert expected.runs == len(seen)
