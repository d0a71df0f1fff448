"""What the sweep starts, because nobody else will."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import Phase, RunStatus
from becalm_operator.plan.steps import ScaleUp
from becalm_operator.plan.sweep import Release, release_all, releases
from becalm_operator.plan.world import Held
from tests.operator.plan.worlds import NOW, WEB, held_web, later, web

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


def test_a_record_that_cannot_be_read_is_told_of_and_nothing_is_guessed() -> None:
    (release,) = releases([Held("shop", web(0, unreadable_record=True))], NOW)

    assert release.action is None
    assert (release.event.reason, release.event.type) == ("RecordUnreadable", "Warning")
    assert "remove the annotation becalm.dev/quiesced" in release.event.message


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
