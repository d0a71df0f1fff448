"""Jobs that Kubernetes clears away a day after their end: what they have done is not done again."""

from becalm_operator.api.backup import Phase
from becalm_operator.manifests.jobs import MOVER, RESTORE
from becalm_operator.plan import restore
from becalm_operator.plan.world import JobState
from tests.operator.plan import snapshot_worlds as snapped
from tests.operator.plan.worlds import (
    NOW,
    a_job,
    a_record,
    a_restore,
    a_world,
    captured,
    held_db,
    held_web,
    jobs_made,
    stopped,
    targets,
)

READ, UNREAD = snapped.volumes(ready_time=NOW)
VOLUMES = (READ.model_copy(update={"tree": "tree-uploads"}), UNREAD)


def test_a_volume_that_is_read_needs_its_job_no_more() -> None:
    for gone in ([], [a_job(MOVER, "uploads", refused=True, stuck="quota")]):
        jobs = [*gone, a_job(MOVER, "data-db-0", active=True)]
        world = a_world(jobs=jobs, snapshots=snapped.taken(*snapped.CLAIMS, ready=True))

        plan = snapped.act(Phase.UPLOADING, world, workloads=snapped.UP, volumes=VOLUMES)

        assert jobs_made(plan) == []
        assert gone or plan.status.message == "reading volumes: 1 of 2 done"


def test_the_last_volume_ends_the_upload_though_the_first_ones_job_is_gone() -> None:
    world = a_world(jobs=[captured("data-db-0")], snapshots=snapped.taken(*snapped.CLAIMS, ready=True))

    plan = snapped.act(Phase.UPLOADING, world, workloads=snapped.UP, volumes=VOLUMES)

    assert plan.status.phase is Phase.FINISHING
    assert [volume.tree for volume in plan.status.volumes] == ["tree-uploads", "tree-data-db-0"]


def test_a_snapshot_that_is_gone_after_it_was_read_is_not_missed() -> None:
    world = a_world(jobs=[captured("data-db-0")], snapshots=snapped.taken("data-db-0", ready=True))

    plan = snapped.act(Phase.UPLOADING, world, workloads=snapped.UP, volumes=VOLUMES)

    assert plan.status.phase is Phase.FINISHING


def test_a_claim_that_is_restored_is_not_restored_again() -> None:
    done, rest = targets(done=True), targets()[0].model_copy(update={"claim": "data-db-0", "to": "data-db-0"})
    writing: JobState = a_job(RESTORE, "data-db-0", owner=("r", "uid-r"), active=True)
    record = a_record(uid="uid-r")
    world = a_world(held_web(record=record), held_db(record=record), jobs=[writing])

    run = a_restore(Phase.RESTORING, workloads=stopped(), targets=(*done, rest), drained_at=NOW)
    plan = restore.decide(run, world)

    assert jobs_made(plan) == []
    assert plan.status.message == "restoring claims: 1 of 2 done"
