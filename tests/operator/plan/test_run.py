"""How runs move, wait for each other, fail and end."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import BackupStatus, Phase, Quiesce
from becalm_operator.api.base import Metadata
from becalm_operator.api.conditions import Reason
from becalm_operator.api.limits import Needs
from becalm_operator.api.record import Holder
from becalm_operator.plan import quiesce, run
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.quiesce import Run
from becalm_operator.plan.steps import DeleteJob, Plan, ScaleUp
from becalm_operator.plan.world import JobState, OtherRun, Workload
from tests.operator.plan.worlds import (
    NOW,
    UID,
    a_metadata,
    a_world,
    an_other,
    at_gate,
    db,
    held_db,
    held_web,
    later,
    planned,
    stopped,
    web,
)

RUN = Run(Holder(kind="Backup", name="b", uid=UID), "shop", Quiesce())
WHY = Failure(Reason.TAINTED, "somebody")
METADATA = Metadata.model_validate(a_metadata("b"))


def test_a_failure_before_any_stop_ends_the_run() -> None:
    status = run.failing(BackupStatus(phase=Phase.PREFLIGHT, workloads=planned()), WHY, NOW)

    assert (status.phase, status.reason, status.message) == (Phase.FAILED, "Tainted", "somebody")
    assert (status.completion_time, status.downtime_seconds) == (NOW, None)


def test_a_failure_after_a_stop_starts_the_workloads_first() -> None:
    status = run.failing(BackupStatus(phase=Phase.CAPTURING, workloads=stopped()), WHY, later(seconds=9))

    assert (status.phase, status.phase_time) == (Phase.RESUMING, later(seconds=9))
    assert status.completion_time is None


def test_the_first_reason_stays() -> None:
    first = run.failing(BackupStatus(phase=Phase.CAPTURING, workloads=stopped()), WHY, NOW)

    assert run.failing(first, Failure(Reason.DELETED, "x"), later(hours=1)) == first


def test_the_end_tells_the_downtime() -> None:
    workloads = stopped(started_at=later(seconds=42))

    assert run.ended(BackupStatus(workloads=workloads), Phase.SUCCEEDED, NOW, "good").downtime_seconds == 42


def test_a_message_that_the_api_server_would_refuse_is_cut() -> None:
    status = run.reported(run.changed(BackupStatus(), message="x" * 5000), METADATA, NOW)

    assert len(status.message) == 4096
    assert BackupStatus.model_validate(status.model_dump()) == status


# --- giving up


def given_up(status: BackupStatus, *, deleted: bool = False, seconds: float = 0) -> BackupStatus | None:
    metadata = METADATA.model_copy(update={"deletion_timestamp": NOW if deleted else None})
    plan = run.given_up(status, RUN, metadata, "Backup", later(seconds=seconds))
    return plan.status if plan else None


def test_a_deletion_waits_until_the_snapshots_of_a_group_are_written() -> None:
    assert given_up(BackupStatus(phase=Phase.FINISHING), deleted=True) is None


@pytest.mark.parametrize(
    "phase", [phase for phase in Phase if not phase.finished and phase is not Phase.FINISHING]
)
def test_a_deletion_ends_a_run_that_holds_nothing(phase: Phase) -> None:
    status = given_up(BackupStatus(phase=phase), deleted=True)

    assert status is not None
    assert (status.phase, status.reason) == (Phase.FAILED, "Deleted")


@pytest.mark.parametrize(
    "phase", [Phase.QUIESCING, Phase.DRAINING, Phase.CAPTURING, Phase.RESTORING, Phase.RESUMING]
)
def test_a_deletion_starts_the_workloads_first(phase: Phase) -> None:
    status = given_up(BackupStatus(phase=phase, workloads=stopped()), deleted=True)

    assert status is not None
    assert (status.phase, status.reason) == (Phase.RESUMING, "Deleted")


def test_a_deletion_of_a_run_that_fails_already_changes_nothing() -> None:
    failing = BackupStatus(phase=Phase.RESUMING, reason="Tainted", workloads=stopped())

    assert given_up(failing, deleted=True) is None


@pytest.mark.parametrize("phase", [Phase.QUIESCING, Phase.DRAINING, Phase.CAPTURING, Phase.RESTORING])
def test_the_deadline_ends_a_run_at_its_very_second(phase: Phase) -> None:
    status = BackupStatus(phase=phase, workloads=stopped(), phase_time=NOW)

    assert given_up(status, seconds=30 * 60 - 1) is None
    late = given_up(status, seconds=30 * 60)
    assert late is not None
    assert (late.phase, late.reason) == (Phase.RESUMING, "DowntimeExceeded")


def test_a_run_that_is_given_up_says_where_it_stood() -> None:
    waiting = "waiting for the end of web-1 on node-1"
    status = BackupStatus(phase=Phase.DRAINING, workloads=stopped(), phase_time=NOW, message=waiting)

    late = given_up(status, seconds=30 * 60)

    assert late is not None
    assert late.message == f"the run did not end within maxDowntime (30m); it stood at Draining, {waiting}"


def test_the_deadline_counts_from_the_first_stop() -> None:
    workloads = planned(web_stopped=NOW, db_stopped=later(minutes=20))

    assert given_up(BackupStatus(phase=Phase.CAPTURING, workloads=workloads), seconds=30 * 60) is not None


def test_a_run_whose_stop_was_swept_away_before_it_came_into_status_stops_nothing_again() -> None:
    swept = BackupStatus(phase=Phase.QUIESCING, phase_time=NOW, workloads=planned())

    status = given_up(swept, seconds=30 * 60)

    assert status is not None
    assert (status.phase, status.reason) == (Phase.FAILED, "DowntimeExceeded")


@pytest.mark.parametrize(
    "phase", [Phase.PENDING, Phase.PREFLIGHT, Phase.PREPARING, Phase.RESUMING, Phase.FINISHING]
)
def test_phases_that_use_no_downtime_have_no_deadline(phase: Phase) -> None:
    assert given_up(BackupStatus(phase=phase, workloads=stopped(), phase_time=NOW), seconds=9e6) is None


def completed(status: BackupStatus) -> BackupStatus:
    return run.completed(Plan(status), BackupStatus(), RUN, METADATA, "main", NOW).status


def test_the_deadline_is_told_while_workloads_are_down_and_not_after() -> None:
    going_on = BackupStatus(phase=Phase.CAPTURING, workloads=planned(web_stopped=NOW))
    over = BackupStatus(phase=Phase.FINISHING, workloads=stopped(started_at=NOW), deadline=later(minutes=30))

    assert completed(going_on).deadline == later(minutes=30)
    assert completed(BackupStatus(phase=Phase.PREPARING, workloads=planned())).deadline is None
    assert completed(over).deadline is None


def test_a_run_that_has_ended_needs_nothing_any_more() -> None:
    assert run.ended(BackupStatus(needs=Needs(movers=2)), Phase.SUCCEEDED, NOW, "good").needs is None


# --- what is shown while workloads start


def resuming(status: BackupStatus, *workloads: Workload) -> str:
    plan = run.resuming(status, RUN, a_world(*workloads), ())
    assert plan is not None
    return plan.status.message


def test_the_workload_that_is_waited_for_is_named() -> None:
    released = planned(web_stopped=NOW, released_at=NOW)
    status = BackupStatus(phase=Phase.RESUMING, phase_time=NOW, workloads=released)

    assert resuming(status, web(3, ready=1), db()) == (
        "starting workloads: 0 of 1 up, waiting until deployment/web is Ready"
    )


def test_why_a_run_fails_is_shown_while_its_workloads_start() -> None:
    failing = BackupStatus(
        phase=Phase.RESUMING, phase_time=NOW, reason="Tainted", message="somebody", workloads=stopped()
    )

    assert resuming(failing, held_web(), held_db()) == "somebody"


# --- movers that are in the way of what is owed


def failed_before_any_stop(seconds: float, *movers: JobState) -> Plan[BackupStatus] | None:
    status = BackupStatus(
        phase=Phase.RESUMING, phase_time=NOW, reason="HookFailed", message="locked", workloads=planned()
    )
    return run.resuming(status, RUN, a_world(now=later(seconds=seconds)), movers)


def test_where_nothing_is_down_movers_are_ended_first() -> None:
    plan = failed_before_any_stop(59, at_gate("uploads"))

    assert plan is not None
    assert list(plan.actions) == [DeleteJob(at_gate("uploads").name)]
    assert failed_before_any_stop(0) is None


def test_where_nothing_is_down_a_mover_on_a_dead_node_is_not_waited_for() -> None:
    assert failed_before_any_stop(60, at_gate("uploads")) is None


@pytest.mark.parametrize(("minutes", "starts"), [(29, False), (30, True)])
def test_what_is_down_waits_for_movers_until_its_deadline(*, minutes: int, starts: bool) -> None:
    status = BackupStatus(phase=Phase.RESUMING, phase_time=NOW, reason="Tainted", workloads=stopped())
    world = a_world(held_web(), held_db(), now=later(minutes=minutes))

    plan = run.resuming(status, RUN, world, [at_gate("uploads")])

    assert plan is not None
    assert any(isinstance(action, ScaleUp) for action in plan.actions) is starts


# --- waiting for others


def test_one_that_works_on_something_else_is_not_waited_for() -> None:
    assert run.waits_for([an_other("x", started=True, claims=["cache"])], an_other("b")) is None


def test_one_that_has_begun_is_waited_for_even_if_it_is_younger() -> None:
    younger = an_other("x", started=True, created=later(hours=1))

    assert run.waits_for([younger], an_other("b")) == younger


def test_an_older_one_that_waits_too_goes_first() -> None:
    older = an_other("x", created=NOW - timedelta(seconds=1))

    assert run.waits_for([older], an_other("b")) == older
    assert run.waits_for([an_other("b")], older) is None


def test_workloads_conflict_as_claims_do() -> None:
    mine = OtherRun("b", "uid-b", False, NOW, frozenset(), frozenset({"deployment/web"}))
    other = OtherRun("x", "uid-x", True, NOW, frozenset(), frozenset({"deployment/web"}))

    assert run.waits_for([other], mine) == other


RUNS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=6)
"""Seconds of creation, and the claim that each works on."""


def make_runs(drawn: Sequence[tuple[int, int]]) -> list[OtherRun]:
    return [
        an_other(f"r{at}", created=later(seconds=second), claims=[f"claim-{claim}"])
        for at, (second, claim) in enumerate(drawn)
    ]


@given(RUNS, st.randoms())
def test_in_any_order_of_looking_one_of_several_on_a_claim_proceeds_and_no_two(
    drawn: list[tuple[int, int]], random: Random
) -> None:
    pending = make_runs(drawn)
    started: list[OtherRun] = []
    for _ in range(3):
        random.shuffle(pending)
        for mine in list(pending):
            others = [other for other in (*pending, *started) if other.uid != mine.uid]
            if run.waits_for(others, mine) is None:
                pending.remove(mine)
                started.append(OtherRun(mine.name, mine.uid, True, mine.created, mine.claims, mine.workloads))

    assert not any(a.claims & b.claims for a, b in itertools.combinations(started, 2))
    assert {claim for one in started for claim in one.claims} == {f"claim-{claim}" for _, claim in drawn}


@given(RUNS, st.randoms())
def test_all_runs_get_their_turn(drawn: list[tuple[int, int]], random: Random) -> None:
    pending = make_runs(drawn)
    turns = 0
    while pending:
        going = [mine for mine in pending if run.waits_for([o for o in pending if o != mine], mine) is None]
        assert going, "all of them wait for each other"
        pending.remove(random.choice(going))
        turns += 1

    assert turns == len(drawn)


# --- how it ends


def test_the_end_is_told() -> None:
    good = run.ending_event("Backup", BackupStatus(phase=Phase.SUCCEEDED, downtime="42s"))
    bad = run.ending_event("Backup", BackupStatus(phase=Phase.FAILED, reason="Tainted", message="somebody"))

    assert (good.reason, good.type, good.message) == (
        "Succeeded",
        "Normal",
        "Backup succeeded; downtime 42s",
    )
    assert (bad.reason, bad.type, bad.message) == ("Tainted", "Warning", "Backup failed: somebody")


# --- how soon to look again


@pytest.mark.parametrize(("seconds", "expected"), [(0, run.WATCHED), (20, run.WATCHED), (28, 2 + run.SOON)])
def test_the_end_of_pods_is_told_by_a_watch_and_their_time_is_kept(seconds: float, expected: float) -> None:
    this = Run(RUN.holder, "shop", Quiesce(drain_timeout="30s"))
    status = BackupStatus(phase=Phase.DRAINING, phase_time=NOW)

    plan = run.draining(
        status, this, a_world(now=later(seconds=seconds)), frozenset({"uploads"}), Phase.CAPTURING, ""
    )

    assert plan.again_seconds == expected


def test_what_no_watch_tells_of_is_looked_for_often_while_a_phase_is_young() -> None:
    status = BackupStatus(phase=Phase.RESUMING, phase_time=NOW)

    assert [run.pace(status, later(seconds=at)) for at in (0, 30, 31)] == [
        run.WATCHING, run.WATCHING, run.WATCHED,
    ]  # fmt: skip


@given(rest=st.floats(0.001, 10000), again=st.none() | st.floats(0.1, 300), down=st.booleans())
def test_nobody_sleeps_beyond_a_deadline_that_is_still_to_come(
    rest: float, again: float | None, *, down: bool
) -> None:
    status = BackupStatus(phase=Phase.CAPTURING, workloads=stopped() if down else planned())
    deadline = quiesce.deadline_of(RUN, stopped())
    assert deadline is not None

    now = deadline - timedelta(seconds=rest)
    plan = run.completed(Plan(status, again_seconds=again), status, RUN, METADATA, "main", now)

    if again is None or not down:
        assert plan.again_seconds == again
    else:
        assert plan.again_seconds is not None
        assert plan.again_seconds == pytest.approx(min(again, rest), abs=1e-5)
    past = run.completed(Plan(status, again_seconds=again), status, RUN, METADATA, "main", deadline)
    assert past.again_seconds == again
