"""Parts of pods that make no sense: told before anything stops, and no reason to stay down for a run under way."""

from collections.abc import Callable
from typing import Any

import pytest

from becalm_operator.api.backup import Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.api.dumps import DumpStatus
from becalm_operator.api.repository import BackupRepository
from becalm_operator.manifests.jobs import ACCESS, INIT
from becalm_operator.plan import backup, conditions, repository, restore
from becalm_operator.plan.steps import DeleteJob, Plan
from becalm_operator.plan.world import Claim, RepositoryWorld
from tests.operator.plan import worlds
from tests.operator.plan.worlds import (
    IMAGE,
    NOW,
    a_backup,
    a_record,
    a_repository,
    a_restore,
    a_schedule,
    a_world,
    all_at_gate,
    all_captured,
    committed,
    fails,
    held_db,
    held_web,
    jobs_made,
    opened,
    planned,
    stopped,
    targets,
    told,
    volumes,
)

UNFIT = a_repository(mover={"tolerations": [{"key": "backup", "tolerationSeconds": "30"}]})
WHERE = (
    "spec.mover.tolerations[0].tolerationSeconds of the BackupRepository is not what Kubernetes takes there"
)
UP = stopped(started_at=NOW, released_at=NOW)
ALONE = {name: Claim(name, bound=True, one_pod=True) for name in ("uploads", "data-db-0")}


def edited(spec: BackupRepository, **status: Any) -> BackupRepository:
    """Return a repository that was Ready and got another spec."""
    metadata = spec.metadata.model_copy(update={"generation": 2})
    return spec.model_copy(update={"metadata": metadata, "status": spec.status.model_copy(update=status)})


# --- repositories


def test_a_repository_whose_movers_make_no_sense_is_not_ready_and_says_what_to_correct() -> None:
    world = RepositoryWorld(NOW, IMAGE)

    begun = repository.decide(edited(UNFIT), world).status
    plan = repository.decide(
        UNFIT.model_copy(update={"status": begun, "metadata": edited(UNFIT).metadata}), world
    )

    assert told(plan) == ("False", "MoverNotStarted")
    ready = conditions.find(plan.status.conditions, "Ready")
    assert ready is not None
    assert ready.message.startswith(WHERE)
    assert ready.observed_generation == 2
    assert not plan.status.probing
    assert plan.again_seconds


def test_a_repository_that_cannot_be_made_says_so_too() -> None:
    missing = worlds.failed(ACCESS, part="1", owner=("main", "uid-main"), exit_code=10)
    empty = UNFIT.model_copy(
        update={"status": UNFIT.status.model_copy(update={"repository_id": "", "probing": True, "probe": 1})}
    )

    plan = repository.decide(empty, RepositoryWorld(NOW, IMAGE, {missing.name: missing}))

    assert told(plan) == ("False", "MoverNotStarted")
    assert INIT not in jobs_made(plan)


def test_whole_numbers_are_quantities() -> None:
    fit = a_repository(mover={"resources": {"limits": {"cpu": 2}}})

    plan = repository.decide(edited(fit, probing=True, probe=1), RepositoryWorld(NOW, IMAGE))

    assert jobs_made(plan) == [ACCESS]


# --- Preflight


def a_dump(**container: Any) -> dict[str, Any]:
    made = {"image": "postgres", "command": ["pg_dump"], **container}
    return {"dumps": [{"name": "main", "filename": "all.sql", "container": made}]}


def test_a_dump_that_makes_no_sense_is_refused_before_anything_begins() -> None:
    run = a_backup(Phase.PREFLIGHT, spec=a_dump(securityContext={"runAsUser": "postgres"}))

    plan = backup.decide(run, a_world(jobs=[opened()]))

    message = fails(plan, Reason.MOVER_NOT_STARTED)
    assert message.startswith(
        "container.securityContext.runAsUser of dump main is not what Kubernetes takes there"
    )
    assert jobs_made(plan) == []


def test_a_repository_that_was_edited_meanwhile_is_told_in_preflight() -> None:
    for decide in (
        lambda world: backup.decide(a_backup(Phase.PREFLIGHT), world),
        lambda world: restore.decide(
            a_restore(Phase.PREFLIGHT, spec={"source": {"snapshotID": "cd" * 32}}), world
        ),
    ):
        plan: Plan[Any] = decide(a_world(repository=UNFIT))
        assert fails(plan, Reason.MOVER_NOT_STARTED).startswith(WHERE)


# --- under way


def preparing() -> Plan[Any]:
    run = a_backup(Phase.PREPARING, workloads=planned(), volumes=volumes(tree=""))
    return backup.decide(run, a_world(repository=UNFIT))


def dumping() -> Plan[Any]:
    dumps = (DumpStatus(name="main", path="/dumps/main/all.sql"),)
    run = a_backup(Phase.PREPARING, spec=a_dump(), workloads=planned(), dumps=dumps)
    return backup.decide(run, a_world(repository=UNFIT))


def uploading() -> Plan[Any]:
    run = a_backup(Phase.UPLOADING, workloads=UP, volumes=volumes(tree=""))
    return backup.decide(run, a_world(repository=UNFIT))


def finishing() -> Plan[Any]:
    run = a_backup(Phase.FINISHING, workloads=UP, volumes=volumes())
    return backup.decide(run, a_world(repository=UNFIT))


@pytest.mark.parametrize("decide", [preparing, dumping, uploading, finishing])
def test_a_run_that_holds_nothing_down_fails(decide: Callable[[], Plan[Any]]) -> None:
    assert fails(decide(), Reason.MOVER_NOT_STARTED).startswith(WHERE)


def capturing() -> Plan[Any]:
    late = volumes(tree="", not_pre_copied="alone")
    run = a_backup(Phase.CAPTURING, workloads=stopped(), volumes=late, drained_at=NOW)
    return backup.decide(run, a_world(held_web(), held_db(), repository=UNFIT, claims=ALONE))


def restoring() -> Plan[Any]:
    run = a_restore(Phase.RESTORING, workloads=stopped()[:1], targets=targets(), drained_at=NOW)
    return restore.decide(run, a_world(held_web(record=a_record(uid="uid-r")), repository=UNFIT))


@pytest.mark.parametrize("decide", [capturing, restoring])
def test_a_run_that_holds_workloads_down_starts_them(decide: Callable[[], Plan[Any]]) -> None:
    assert fails(decide(), Reason.MOVER_NOT_STARTED, phase=Phase.RESUMING).startswith(WHERE)


def test_a_backup_that_is_published_is_good_though_retention_cannot_be_applied() -> None:
    run = a_backup(Phase.FINISHING, workloads=UP, volumes=volumes())
    schedule = a_schedule({"retention": {"keepLast": 1}})
    world = a_world(repository=UNFIT, jobs=[*all_captured(), committed()], schedule=schedule)

    status = backup.decide(run, world).status

    assert status.phase is Phase.SUCCEEDED
    assert f"retention was not applied: {WHERE}" in status.message
    assert all(volume.snapshot_id for volume in status.volumes)


def test_movers_at_their_gates_go_with_the_run() -> None:
    late = (*volumes(tree="")[:1], *volumes(tree="", not_pre_copied="alone")[1:])
    run = a_backup(Phase.CAPTURING, workloads=stopped(), volumes=late, drained_at=NOW)
    gate = all_at_gate()[:1]
    world = a_world(held_web(), held_db(), repository=UNFIT, claims=ALONE, jobs=gate)

    failed = backup.decide(run, world).status
    plan = backup.decide(run.model_copy(update={"status": failed}), world)

    assert DeleteJob(gate[0].name) in plan.actions
