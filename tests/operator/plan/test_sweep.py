"""What the sweep starts, because nobody else will."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import Backup, Phase, RunStatus
from becalm_operator.plan.steps import ScaleUp
from becalm_operator.plan.sweep import Release, release_all, releases, truly_held
from becalm_operator.plan.world import Held
from tests.operator.plan.worlds import (
    NOW,
    WEB,
    a_backup,
    a_metadata,
    a_record,
    held_web,
    later,
    planned,
    stopped,
    web,
)

RUNNING = RunStatus(phase=Phase.CAPTURING)


def sweep(run: RunStatus | None = RUNNING, *, minutes: float = 1, **workload: Any) -> list[Release]:
    held = Held("shop", held_web(**workload), run)
    return list(releases([held], later(minutes=minutes)))


def test_a_run_that_looks_after_its_workload_is_left_alone() -> None:
    assert sweep() == []
    assert sweep(minutes=29.99) == []


def test_beyond_the_deadline_the_workload_is_started() -> None:
    (release,) = sweep(minutes=30)

    assert (release.namespace, release.uid) == ("shop", "uid-web")
    assert release.action == ScaleUp(WEB, "uid-web", "7", 3)
    assert "beyond its deadline" in release.event.message
    assert release.event.workload == WEB


def test_the_workload_of_a_run_that_is_gone_is_started() -> None:
    (release,) = sweep(None)

    assert release.action is not None
    assert "Backup b, which had stopped it, is gone" in release.event.message


def test_the_workload_of_a_run_that_has_ended_is_started() -> None:
    for phase in (Phase.SUCCEEDED, Phase.FAILED):
        (release,) = sweep(RunStatus(phase=phase))
        assert "has ended" in release.event.message


def test_a_run_that_goes_on_is_named_and_one_that_has_ended_is_not() -> None:
    (late,) = sweep(minutes=30)
    (ended,) = sweep(RunStatus(phase=Phase.FAILED))
    (gone,) = sweep(None)

    assert late.run is not None
    assert (late.run.kind, late.run.name) == ("Backup", "b")
    assert (ended.run, gone.run) == (None, None)


def test_what_was_scaled_up_by_hand_keeps_its_count_and_loses_its_record() -> None:
    (release,) = sweep(None, replicas=2)

    assert release.action == ScaleUp(WEB, "uid-web", "7", 2)


def test_what_was_scaled_up_by_hand_is_not_said_to_be_started() -> None:
    (release,) = sweep(None, replicas=2)

    assert "found deployment/web scaled to 2 by somebody, and took its record off" in release.event.message


# --- records that somebody has put back


def test_what_somebody_else_has_stopped_stays_down_and_loses_the_record_that_was_put_back() -> None:
    (release,) = sweep(None, put_back=True)

    assert release.action == ScaleUp(WEB, "uid-web", "7", 0)
    assert (release.event.reason, release.event.type) == ("RecordPutBack", "Warning")
    assert "an old record of Backup b, which somebody had put back" in release.event.message
    assert release.run is None


def test_a_record_that_was_put_back_on_what_is_up_is_taken_off_alone() -> None:
    (release,) = sweep(None, put_back=True, replicas=2)

    assert release.action == ScaleUp(WEB, "uid-web", "7", 2)


def test_a_run_that_still_holds_its_workload_is_believed_whoever_has_written_the_record() -> None:
    states = planned(web_stopped=NOW)
    holding = RUNNING.model_copy(update={"workloads": states})

    (release,) = sweep(holding, minutes=30, put_back=True)

    assert release.action == ScaleUp(WEB, "uid-web", "7", 3)
    assert release.run is not None


def a_stop(*, name: str = "later", phase: Phase = Phase.CAPTURING, **state: Any) -> Backup:
    """Return a Backup that has stopped both workloads five minutes after the record was written."""
    states = stopped(later(minutes=5), **state)
    return a_backup(phase, meta=a_metadata(name), workloads=states)


def held_truly(*runs: Backup, **workload: Any) -> Held:
    return truly_held(Held("shop", held_web(record=a_record(1, uid="uid-gone"), **workload), None), runs)


def test_a_record_older_than_the_stop_of_a_run_is_replaced_by_what_the_run_knows() -> None:
    held = held_truly(a_stop(), put_back=True)

    assert held.workload.record is not None
    assert (held.workload.record.by.name, held.workload.record.replicas) == ("later", 3)
    assert held.run is not None
    assert list(releases([held], later(minutes=34.99))) == []
    (release,) = releases([held], later(minutes=35))
    assert release.action == ScaleUp(WEB, "uid-web", "7", 3)
    assert "Backup later held it down beyond its deadline" in release.event.message
    assert release.run == held.workload.record.by


def test_of_two_runs_the_one_that_has_stopped_it_last_holds_it() -> None:
    late, early = a_stop(), a_backup(meta=a_metadata("early"), workloads=stopped(later(minutes=4)))

    for runs in ((late, early), (early, late)):
        record = held_truly(*runs).workload.record
        assert record is not None
        assert record.by.name == "later"


def test_a_run_that_has_ended_without_starting_its_workload_still_knows_the_count() -> None:
    (release,) = releases([held_truly(a_stop(phase=Phase.FAILED))], later(minutes=6))

    assert release.action == ScaleUp(WEB, "uid-web", "7", 3)
    assert release.run is None


@pytest.mark.parametrize(
    "run",
    [a_stop(released_at=NOW), a_stop(started_at=NOW), a_backup(workloads=planned()), a_backup()],
    ids=["released it", "started it", "has not stopped it", "has not begun"],
)
def test_a_run_that_does_not_hold_a_workload_says_nothing_about_its_record(run: Backup) -> None:
    held = held_truly(run)

    assert held.workload.record == a_record(1, uid="uid-gone")
    assert held.run is None


def test_a_record_newer_than_the_stop_of_a_run_is_another_runs() -> None:
    taken = held_web(record=a_record(1, uid="uid-gone", at=later(minutes=6)))

    assert truly_held(Held("shop", taken, None), [a_stop()]).workload == taken


def test_the_stop_of_a_workload_made_anew_is_not_this_ones() -> None:
    assert held_truly(a_stop(), uid="uid-new").run is None


def test_a_record_that_cannot_be_read_is_told_of_and_nothing_is_guessed() -> None:
    (release,) = releases([Held("shop", web(0, unreadable_record=True))], NOW)

    assert release.action is None
    assert (release.event.reason, release.event.type) == ("RecordUnreadable", "Warning")
    assert "remove the annotation becalm.dev/quiesced" in release.event.message


def test_on_request_what_somebody_else_has_stopped_stays_down() -> None:
    (release,) = release_all([Held("shop", held_web(put_back=True), None)])

    assert release.action == ScaleUp(WEB, "uid-web", "7", 0)


def test_on_request_everything_is_started_whoever_holds_it() -> None:
    held = [Held("shop", held_web(), RUNNING), Held("shop", web(0, unreadable_record=True))]

    first, second = release_all(held)

    assert first.action == ScaleUp(WEB, "uid-web", "7", 3)
    assert second.action is None


@given(
    st.sampled_from([None, *(RunStatus(phase=phase) for phase in Phase)]), st.floats(0, 60), st.integers(0, 5)
)
def test_only_what_nobody_looks_after_is_started_and_to_its_own_count(
    run: RunStatus | None, minutes: float, replicas: int
) -> None:
    found = sweep(run, minutes=minutes, replicas=replicas)

    assert bool(found) == (run is None or run.phase.finished or later(minutes=minutes) >= later(minutes=30))
    for release in found:
        assert release.action is not None
        assert release.action.replicas == (replicas or 3)
