"""Lengths of time in a schedule that no date can bear: what is stored already is told of, and crashes nothing."""

import re

import pytest

from becalm_operator.api.schedule import LONGEST_JITTER_HOURS, BackupScheduleSpec
from becalm_operator.plan.schedule import decide, owed_since
from becalm_operator.plan.steps import MakeBackup
from becalm_operator.plan.world import ScheduleWorld
from tests.operator.plan.worlds import NOW, a_schedule, later, told

ABSURD = "9999999h" * 4


@pytest.mark.parametrize("uid", [f"uid-{at}" for at in range(10)])
@pytest.mark.parametrize("jitter", [ABSURD, f"{LONGEST_JITTER_HOURS}h1s"])
def test_a_jitter_beyond_the_longest_is_told_and_makes_no_backups(uid: str, jitter: str) -> None:
    plan = decide(a_schedule({"jitter": jitter}, meta={"uid": uid}), ScheduleWorld(later(hours=1)))

    assert told(plan) == ("False", "InvalidSchedule")
    (condition,) = plan.status.conditions
    assert condition.message == f"spec.jitter '{jitter}' is too long: at most 744h"
    assert plan.actions == ()


def test_the_longest_jitter_is_none_too_long() -> None:
    schedule = a_schedule({"jitter": f"{LONGEST_JITTER_HOURS}h"})

    assert told(decide(schedule, ScheduleWorld(NOW)))[0] == "True"


def test_what_a_schedule_with_such_a_jitter_owes_is_known() -> None:
    assert owed_since(a_schedule({"jitter": ABSURD})) == NOW


@pytest.mark.parametrize("seconds", [10**15, 2**63 - 1])
def test_a_missed_run_may_start_as_late_as_anybody_likes(seconds: int) -> None:
    schedule = a_schedule({"startingDeadlineSeconds": seconds}, meta={"creationTimestamp": NOW})

    plan = decide(schedule, ScheduleWorld(later(days=40)))

    assert any(isinstance(action, MakeBackup) for action in plan.actions)


@pytest.mark.parametrize(
    ("jitter", "guarded"), [(ABSURD, True), ("000001h999999h", True), ("744h", False), ("99999h9s", False)]
)
def test_the_api_server_is_asked_for_no_duration_that_it_cannot_hold(jitter: str, guarded: bool) -> None:
    (rule,) = BackupScheduleSpec.rules
    pattern = re.search(r"matches\('(.*?)'\)", rule)
    assert pattern is not None

    assert bool(re.search(pattern[1], jitter)) is guarded
    assert rule.endswith("&& duration(self.jitter) <= duration('744h')")
