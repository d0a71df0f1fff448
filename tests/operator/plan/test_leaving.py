"""Movers that outlive their run."""

from dataclasses import replace

import pytest

from becalm_operator.api.backup import Phase, RunStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.plan import backup, quiesce, restore
from becalm_operator.plan.leaving import leaves
from becalm_operator.plan.world import Pod
from tests.operator.plan.worlds import (
    NOW,
    PODS,
    a_backup,
    a_pod,
    a_restore,
    a_world,
    all_captured,
    fails,
    held_db,
    held_web,
    later,
    opened,
    stopped,
    volumes,
)

GHOST = replace(
    a_pod("r-restore-uploads-x", "job/r-restore-uploads", "uploads", ours=True, written=("uploads",)),
    labels={"becalm.dev/owner-uid": "uid-ended"},
)
READER = replace(GHOST, written=())
ENDED = RunStatus(phase=Phase.FAILED, completion_time=NOW)


def test_no_backup_begins_while_a_mover_of_an_ended_restore_may_write() -> None:
    plan = backup.decide(a_backup(Phase.PREFLIGHT), a_world(jobs=[opened()], pods=(*PODS, GHOST)))

    assert GHOST.name in fails(plan, Reason.CLAIM_IN_USE)


def test_no_restore_begins_while_a_mover_of_an_ended_restore_may_write() -> None:
    wished = a_restore(Phase.PREFLIGHT, spec={"source": {"snapshotID": "ab" * 32}})
    plan = restore.decide(wished, a_world(jobs=[opened()], pods=(*PODS, GHOST)))

    assert GHOST.name in fails(plan, Reason.CLAIM_IN_USE)


def test_a_mover_of_another_backup_holds_up_nobody() -> None:
    plan = backup.decide(a_backup(Phase.PREFLIGHT), a_world(jobs=[opened()], pods=(*PODS, READER)))

    assert plan.status.phase is not Phase.FAILED


def test_what_another_run_may_have_written_is_not_published() -> None:
    world = a_world(held_web(), held_db(), jobs=all_captured(), pods=(GHOST,))
    taken = a_backup(Phase.CAPTURING, workloads=stopped(), volumes=volumes(), drained_at=NOW)

    fails(backup.decide(taken, world), Reason.TAINTED, phase=Phase.RESUMING)


def test_draining_waits_for_it() -> None:
    assert GHOST.name in quiesce.drained(a_world(pods=(GHOST,)), frozenset({"uploads"}))
    assert quiesce.drained(a_world(pods=(READER,)), frozenset({"uploads"})) == ""


@pytest.mark.parametrize(
    ("pod", "seconds", "expected"),
    [
        (GHOST, 0, True),
        (GHOST, 60, True),
        (GHOST, 61, False),
        (READER, 0, False),
        (replace(GHOST, ended=True), 0, False),
        (replace(GHOST, labels={"becalm.dev/owner-uid": "uid-of-another"}), 0, False),
    ],
)
def test_a_run_leaves_for_a_minute_at_most(pod: Pod, seconds: int, expected: bool) -> None:
    assert leaves("uid-ended", ENDED, [pod], later(seconds=seconds)) is expected


def test_a_run_that_has_not_ended_does_not_leave() -> None:
    assert not leaves("uid-ended", RunStatus(phase=Phase.RESTORING), [GHOST], NOW)
