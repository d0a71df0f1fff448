"""Snapshots that the API server refuses: told while they are waited for, and no reason to stay down for long."""

from datetime import datetime

from becalm_operator.api.backup import BackupStatus, Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.plan import unmade
from becalm_operator.plan.snapshot_world import Snapshots
from becalm_operator.plan.steps import MakeSnapshot, Plan
from tests.operator.plan.snapshot_worlds import CLAIMS, a_claim, act, name_of, taken, volumes
from tests.operator.plan.worlds import NOW, a_world, fails, held_db, held_web, later, stopped

QUOTA = "making volumesnapshots shop/x: exceeded quota: count/volumesnapshots=9"
NONE = Snapshots()


def capture(
    status: BackupStatus | None, snapshots: Snapshots = NONE, now: datetime = NOW
) -> Plan[BackupStatus]:
    world = a_world(
        held_web(),
        held_db(),
        snapshots=snapshots,
        claims={name: a_claim(name) for name in CLAIMS},
        now=now,
    )
    known = status.volumes if status else volumes()
    return act(Phase.CAPTURING, world, workloads=stopped(), volumes=known, drained_at=NOW)


def refused(now: datetime = NOW) -> BackupStatus:
    """Return what is written when the first snapshot was refused."""
    return unmade.refused(capture(None, now=now), {name_of("uploads"): QUOTA}).status


def test_a_refusal_is_told_and_the_snapshot_asked_for_again() -> None:
    plan = capture(refused(), taken("data-db-0", ready=True), now=later(minutes=5))

    assert [volume.error for volume in refused().volumes] == [QUOTA, ""]
    assert plan.status.phase is Phase.CAPTURING
    assert plan.status.message == f"no snapshot of claim uploads: {QUOTA}"
    assert [type(action) for action in plan.actions] == [MakeSnapshot]


def test_one_that_is_refused_for_longer_fails_the_run_in_the_words_of_the_api_server() -> None:
    plan = capture(refused(), now=later(minutes=5, seconds=1))

    message = fails(plan, Reason.SNAPSHOT_FAILED, phase=Phase.RESUMING)
    assert message == f"no snapshot of claim uploads: {QUOTA}"
    assert plan.status.volumes[0].error == QUOTA
    assert not plan.actions


def test_a_refusal_that_passes_leaves_no_trace() -> None:
    plan = capture(refused(), taken("uploads"), now=later(minutes=6))
    done = capture(refused(), taken(*CLAIMS, ready=True), now=later(minutes=6))

    assert plan.status.message == "making snapshots: 0 of 2 ready"
    assert done.status.phase is Phase.RESUMING
    assert not any(volume.error for status in (plan.status, done.status) for volume in status.volumes)
