"""A volume that has lost much is not believed, and nothing is deleted on the strength of it."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import CaptureReport
from becalm_operator.api.backup import Backup, BackupStatus, Phase, VolumeStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.manifests.jobs import COMMIT, FORGET
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import backup, conditions, guards, publishing, schedule
from becalm_operator.plan.steps import DeleteBackup, Plan
from becalm_operator.plan.world import ScheduleWorld
from tests.operator.plan.worlds import (
    NOW,
    a_former,
    a_schedule,
    a_world,
    captured,
    committed,
    held_db,
    held_web,
    jobs_made,
    later,
    stopped,
    volumes,
)
from tests.operator.plan.worlds import a_backup as plain_backup

GIB = 1 << 30


def a_backup(phase: Phase = Phase.CAPTURING, *, guard: dict[str, Any] | None = None, **status: Any) -> Backup:
    return plain_backup(phase, spec={"guards": guard or {}}, **status)


def before(
    size: int, name: str = "b1", *, ended: datetime = NOW, suspect: str = "", claim: str = "uploads"
) -> Backup:
    volume = VolumeStatus(claim=claim, bytes_processed=size, suspect=suspect, snapshot_id="cd" * 32)
    return a_former(name, 9, ended=ended, volumes=(volume,))


def shrinkage(now: int, *former: Backup, percent: int = 50, **report: Any) -> str:
    run = a_backup(guard={"maxShrinkPercent": percent})
    return guards.shrinkage(run, "uploads", CaptureReport(bytes_processed=now, **report), former)


def test_a_volume_that_lost_more_than_half_is_suspect_and_it_is_said_why_and_what_to_do() -> None:
    assert shrinkage(GIB, before(10 * GIB)) == (
        "the volume shrank from 10.0 GiB (Backup b1) to 1.0 GiB, by 90 %, which is more than "
        "guards.maxShrinkPercent (50) allows. If that is right, make a Backup with maxShrinkPercent: 100"
    )


@pytest.mark.parametrize(
    ("now", "percent", "suspect"),
    [(50, 50, False), (49, 50, True), (100, 0, False), (99, 0, True), (0, 100, False), (300, 50, False)],
)
def test_the_limit_itself_is_allowed(now: int, percent: int, suspect: bool) -> None:
    assert bool(shrinkage(now, before(100), percent=percent)) is suspect


def test_the_newest_that_nobody_doubts_counts() -> None:
    old = before(10, "old", ended=later(days=-3))
    good = before(1000, "good", ended=later(days=-2))
    doubted = before(20, "doubted", suspect="shrank", ended=later(days=-1))

    assert "Backup good" in shrinkage(15, doubted, good, old)
    assert shrinkage(900, doubted, good, old) == ""


@pytest.mark.parametrize(
    "other",
    [
        before(1000, claim="data-db-0"),
        before(1000).model_copy(update={"status": BackupStatus(phase=Phase.FAILED, completion_time=NOW)}),
        before(1000).model_copy(
            update={"spec": plain_backup(spec={"repositoryRef": {"name": "elsewhere"}}).spec}
        ),
        before(1000).model_copy(update={"spec": plain_backup(spec={"paths": {"exclude": ["cache"]}}).spec}),
    ],
    ids=["another claim", "failed", "another repository", "other files"],
)
def test_what_is_not_comparable_raises_no_doubt(other: Backup) -> None:
    assert shrinkage(1, other) == ""


def test_without_any_backup_the_parent_snapshot_counts() -> None:
    assert "snapshot abcdef01" in shrinkage(1, parent="abcdef0123", parent_bytes=1000)
    assert shrinkage(900, parent="abcdef0123", parent_bytes=1000) == ""
    assert shrinkage(1, parent="abcdef0123") == ""


def test_what_a_person_has_accepted_is_the_new_measure() -> None:
    accepted = before(10, "accepted", ended=later(days=1))

    assert shrinkage(9, before(1000), accepted) == ""


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(0, 100))
def test_growth_is_never_suspect_and_less_is_never_better(earlier: int, now: int, percent: int) -> None:
    found = shrinkage(now, before(earlier), percent=percent)

    assert not (found and now >= earlier)
    if found and now > 0:
        assert shrinkage(now - 1, before(earlier), percent=percent)


# --- in a run


def capture(guard: dict[str, Any] | None = None) -> Plan[BackupStatus]:
    run = a_backup(guard=guard, workloads=stopped(), volumes=volumes())
    jobs = captured("uploads", bytes_processed=10), captured("data-db-0")
    return backup.decide(run, a_world(held_web(), held_db(), jobs=jobs, former=(before(1000),)))


def test_a_suspect_volume_is_marked_and_told_of() -> None:
    plan = capture()

    assert plan.status.phase is Phase.RESUMING
    marks = {volume.claim: bool(volume.suspect) for volume in plan.status.volumes}
    assert marks == {"uploads": True, "data-db-0": False}
    condition = conditions.find(plan.status.conditions, "Suspect")
    assert condition is not None
    assert (condition.status, condition.reason) == ("True", "VolumeShrank")
    assert [(event.reason, event.type) for event in plan.events] == [("VolumeShrank", "Warning")]


def test_a_suspect_volume_may_fail_the_run_instead() -> None:
    plan = capture({"onShrink": "Fail"})

    assert (plan.status.phase, plan.status.reason) == (Phase.RESUMING, Reason.VOLUME_SHRANK.value)
    assert plan.status.message.startswith("claim uploads: the volume shrank")
    assert conditions.find(plan.status.conditions, "Suspect") is None


def finishing(suspect: str) -> Backup:
    of_two = volumes()
    doubted = (of_two[0].model_copy(update={"suspect": suspect}), of_two[1])
    started = stopped(started_at=later(seconds=9))
    return a_backup(Phase.FINISHING, workloads=started, volumes=doubted)


def test_nothing_is_forgotten_on_the_strength_of_a_suspect_snapshot() -> None:
    retained = a_schedule({"retention": {"keepLast": 1}})
    world = a_world(jobs=[committed()], schedule=retained)

    plan = backup.decide(finishing("it shrank"), world)

    assert plan.status.phase is Phase.SUCCEEDED
    assert jobs_made(plan) == []
    assert plan.status.message.endswith(
        "but retention was not applied: it is suspect: claim uploads: it shrank"
    )
    assert [event.reason for event in plan.events] == ["RetentionFailed", "Succeeded"]
    assert jobs_made(backup.decide(finishing(""), world)) == [FORGET]


@pytest.mark.parametrize("retention", [None, {}])
def test_the_message_of_a_run_without_retention_names_the_doubt_too(retention: dict[str, Any] | None) -> None:
    world = a_world(jobs=[committed()], schedule=None if retention is None else a_schedule(retention))

    plan = backup.decide(finishing("it shrank"), world)

    assert plan.status.phase is Phase.SUCCEEDED
    assert plan.status.message.endswith("added; but it is suspect: claim uploads: it shrank")
    assert conditions.find(plan.status.conditions, "RetentionFailed") is None


def test_suspect_snapshots_carry_a_tag() -> None:
    run = finishing("it shrank")
    owner = Owner(run.kind, run.metadata.name, run.metadata.namespace, run.metadata.uid)
    plan = publishing.commit_plan(run, run.status, owner, a_world())

    assert [guards.SUSPECT_TAG in snapshot.tags for snapshot in plan.snapshots] == [True, False]
    assert jobs_made(backup.decide(finishing("it shrank"), a_world())) == [COMMIT]


# --- history


def deleted(limit: int, *former: Backup) -> list[str]:
    plan = schedule.decide(
        a_schedule({"successfulBackupsHistoryLimit": limit, "suspend": True}), ScheduleWorld(NOW, former)
    )
    return [action.name for action in plan.actions if isinstance(action, DeleteBackup)]


def test_the_backup_that_others_are_measured_by_stays_in_the_history() -> None:
    def run(day: int, suspect: str = "") -> Backup:
        return before(1000, f"b{day}", ended=NOW + timedelta(days=day), suspect=suspect)

    good, better, bad, worse = run(1), run(2), run(3, "shrank"), run(4, "shrank")

    assert deleted(2, good, better, bad, worse) == ["b1"]
    assert deleted(2, good, better, bad, run(5)) == ["b1", "b2"]
    assert deleted(0, good, better, bad) == ["b1", "b3"]
    assert deleted(0, good, better) == ["b1"]


def test_of_failed_backups_none_has_to_stay() -> None:
    failed = before(1000).model_copy(update={"status": BackupStatus(phase=Phase.FAILED, completion_time=NOW)})
    limited = a_schedule({"failedBackupsHistoryLimit": 0, "suspend": True})

    plan = schedule.decide(limited, ScheduleWorld(NOW, (failed,)))

    assert [action.name for action in plan.actions if isinstance(action, DeleteBackup)] == ["b1"]


def test_a_doubt_stands_night_after_night_whatever_the_history_keeps() -> None:
    kept = [before(1000, "b0")]
    for night in range(1, 5):
        suspect = shrinkage(10, *kept, parent="abcdef0123", parent_bytes=10)
        assert "Backup b0" in suspect
        kept.append(before(10, f"b{night}", ended=later(days=night), suspect=suspect))
        gone = deleted(0, *kept)
        kept = [one for one in kept if one.metadata.name not in gone]
