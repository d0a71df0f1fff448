"""Conditions keep the time of their last change."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import BackupStatus, Phase
from becalm_operator.api.conditions import Condition, Reason
from becalm_operator.plan import conditions
from tests.operator.plan.worlds import NOW, later, planned, stopped

TRUTHS = st.sampled_from([True, False, None])


def merge(
    before: tuple[Condition, ...],
    holds: bool | None,
    *,
    kind: str = "Ready",
    hours: float = 0,
    message: str = "",
) -> tuple[Condition, ...]:
    return conditions.merged(
        before, kind, holds=holds, reason=Reason.READY, message=message, generation=4, now=later(hours=hours)
    )


def test_a_new_condition_begins_now() -> None:
    (made,) = merge((), True)

    assert (made.type, made.status, made.observed_generation) == ("Ready", "True", 4)
    assert made.last_transition_time == NOW


def test_what_is_not_known_is_unknown() -> None:
    assert merge((), None)[0].status == "Unknown"


def test_another_message_moves_no_time() -> None:
    (made,) = merge(merge((), True, message="old"), True, hours=1, message="new")

    assert (made.last_transition_time, made.message) == (NOW, "new")


def test_another_status_moves_the_time() -> None:
    (made,) = merge(merge((), True), False, hours=1)

    assert made.last_transition_time == later(hours=1)


def test_other_conditions_stay_as_they_are() -> None:
    before = merge((), True, kind="Complete")

    after = merge(before, False, kind="Ready", hours=1)

    assert before[0] in after
    assert [condition.type for condition in after] == ["Complete", "Ready"]


@given(st.lists(TRUTHS, min_size=1))
def test_the_time_is_when_the_present_status_began(truths: list[bool | None]) -> None:
    found: tuple[Condition, ...] = ()
    for hour, holds in enumerate(truths):
        found = merge(found, holds, hours=hour)

    began = len(truths) - 1
    while began and truths[began - 1] == truths[-1]:
        began -= 1
    assert found[0].last_transition_time == NOW + timedelta(hours=began)


def of_run(status: BackupStatus, *, quiesced: bool = False) -> dict[str, Condition]:
    made = conditions.of_run(status, quiesced=quiesced, generation=1, now=NOW)
    return {condition.type: condition for condition in made}


def test_a_run_that_goes_on_is_neither_complete_nor_failed() -> None:
    found = of_run(BackupStatus(phase=Phase.CAPTURING), quiesced=True)

    assert {kind: condition.status for kind, condition in found.items()} == {
        "Complete": "False",
        "Failed": "False",
        "Quiesced": "True",
    }
    assert found["Complete"].reason == "Running"


def test_a_run_that_succeeded_is_complete() -> None:
    found = of_run(
        BackupStatus(phase=Phase.SUCCEEDED, message="2 volumes", workloads=stopped(started_at=NOW))
    )

    assert (found["Complete"].status, found["Complete"].reason) == ("True", "Succeeded")
    assert found["Failed"].status == "False"
    assert (found["Quiesced"].status, found["Quiesced"].reason) == ("False", "Released")


def test_a_run_that_failed_says_why() -> None:
    found = of_run(BackupStatus(phase=Phase.FAILED, reason="Tainted", message="somebody"))

    assert (found["Failed"].status, found["Failed"].reason, found["Failed"].message) == (
        "True",
        "Tainted",
        "somebody",
    )
    assert found["Complete"].status == "False"


def test_a_run_that_has_not_begun_waits() -> None:
    assert of_run(BackupStatus())["Complete"].reason == "Waiting"


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.PREPARING, Phase.FAILED])
def test_what_was_never_stopped_is_not_called_released(phase: Phase) -> None:
    found = of_run(BackupStatus(phase=phase, workloads=planned()))["Quiesced"]

    assert (found.status, found.reason, found.message) == (
        "False",
        "NothingStopped",
        "nothing has been stopped",
    )


def test_what_is_held_down_is_named_with_the_time_when_it_is_started_whatever_happens() -> None:
    status = BackupStatus(
        phase=Phase.CAPTURING, workloads=planned(web_stopped=NOW), deadline=later(minutes=30)
    )

    found = of_run(status, quiesced=True)["Quiesced"]

    assert found.message == "held down: deployment/web; started by 2026-11-27T03:30:00Z at the latest"


def test_a_condition_is_found_by_its_type() -> None:
    made = merge((), False)

    assert conditions.find(made, "Ready") == made[0]
    assert conditions.find(made, "Other") is None


def test_a_message_is_cut_to_what_the_api_server_takes() -> None:
    found = conditions.merged(
        (), "Quiesced", holds=True, reason=Reason.QUIESCED, message="x" * 40000, generation=1, now=NOW
    )

    assert len(found[0].message) == 32768
    assert found[0].message.endswith("x…")
