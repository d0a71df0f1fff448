"""Backups with `capture: Snapshot`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import BackupStatus, Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.manifests.jobs import MOVER
from becalm_operator.manifests.names import job_name
from becalm_operator.plan.backup import decide
from becalm_operator.plan.run import WAITING
from becalm_operator.plan.snapshot_world import SnapshotClass, Snapshots, StorageKind
from becalm_operator.plan.steps import DeleteJob, DeleteSnapshot, MakeSnapshot, Plan, ScaleUp
from becalm_operator.plan.world import Claim, JobState, World
from tests.operator.plan.snapshot_worlds import (
    CLAIMS,
    CLASS,
    DRIVER,
    MEANS,
    UP,
    a_claim,
    a_volume,
    act,
    name_of,
    taken,
    volumes,
)
from tests.operator.plan.worlds import (
    NOW,
    UID,
    a_backup,
    a_job,
    a_pod,
    a_repository,
    a_world,
    all_captured,
    captured,
    committed,
    failed,
    held_db,
    held_web,
    jobs_made,
    later,
    opened,
    stopped,
)

# --- before anything stops


def preflight(snapshots: Snapshots = MEANS, *, claim: Claim | None = None, **spec: Any) -> Plan[BackupStatus]:
    claims = {name: a_claim(name) for name in CLAIMS}
    if claim is not None:
        claims[claim.name] = claim
    world = a_world(jobs=(opened(),), claims=claims, snapshots=snapshots)
    return act(Phase.PREFLIGHT, world, spec=spec)


def refused(plan: Plan[BackupStatus], reason: Reason) -> str:
    assert (plan.status.phase, plan.status.reason) == (Phase.FAILED, reason.value)
    assert list(plan.actions) == []
    return plan.status.message


def test_the_plan_of_each_claim_stands_in_status_before_anything_stops() -> None:
    plan = preflight()

    assert plan.status.phase is Phase.PREPARING
    assert plan.status.volumes == volumes()


def test_a_cluster_without_snapshots_is_refused() -> None:
    message = refused(preflight(Snapshots(problem="install the controller")), Reason.SNAPSHOTS_UNAVAILABLE)

    assert message == "install the controller"


def means(**more: Any) -> Snapshots:
    fields: dict[str, Any] = {"drivers": MEANS.drivers, "classes": MEANS.classes, "kinds": MEANS.kinds}
    return Snapshots(**{**fields, **more})


OTHER = SnapshotClass("other", "csi.example.com")


@pytest.mark.parametrize(
    ("snapshots", "spec", "text"),
    [
        (means(drivers={"uploads": DRIVER}), {}, "claim data-db-0 belongs to no CSI driver"),
        (means(classes=(OTHER,)), {}, f"no VolumeSnapshotClass for driver {DRIVER} of claim uploads"),
        (means(classes=(CLASS, SnapshotClass("b", DRIVER))), {}, "several classes (b, snap)"),
        (means(classes=(SnapshotClass("snap", DRIVER, retains=True),)), {}, "deletionPolicy Retain"),
        (means(), {"volumeSnapshotClassName": "gone"}, "VolumeSnapshotClass gone does not exist"),
        (
            means(classes=(CLASS, OTHER)),
            {"volumeSnapshotClassName": "other"},
            "is for driver csi.example.com",
        ),
        (means(kinds={}), {}, "and fast does not exist"),
        (means(), {"cloneStorageClassName": "slow"}, "and slow does not exist"),
        (means(kinds={"fast": StorageKind("x.example.org")}), {}, "StorageClass fast is of x.example.org"),
        (means(kinds={"fast": StorageKind(DRIVER, retains=True)}), {}, "reclaimPolicy Retain"),
    ],
)
def test_what_cannot_work_is_refused(snapshots: Snapshots, spec: dict[str, Any], text: str) -> None:
    assert text in refused(preflight(snapshots, **spec), Reason.SNAPSHOT_UNSUPPORTED)


def test_a_device_is_refused() -> None:
    plan = preflight(claim=a_claim("uploads", block=True))

    assert "claim uploads has volumeMode: Block" in refused(plan, Reason.CLAIM_IS_BLOCK_DEVICE)


@pytest.mark.parametrize(
    ("classes", "named", "chosen"),
    [
        ((CLASS, OTHER), None, "snap"),
        ((CLASS, SnapshotClass("best", DRIVER, default=True)), None, "best"),
        ((CLASS, SnapshotClass("best", DRIVER, default=True)), "snap", "snap"),
    ],
)
def test_the_class_is_the_named_one_or_the_default_or_the_only_one(
    classes: tuple[SnapshotClass, ...], named: str | None, chosen: str
) -> None:
    plan = preflight(means(classes=classes), volumeSnapshotClassName=named)

    assert {one.snapshot.class_name for one in plan.status.volumes if one.snapshot} == {chosen}


def test_the_copies_may_be_of_another_storage_class() -> None:
    plan = preflight(means(kinds={"copies": StorageKind(DRIVER)}), cloneStorageClassName="copies")

    assert {one.snapshot.storage_class_name for one in plan.status.volumes if one.snapshot} == {"copies"}


# --- while workloads are down


def drain(snapshots: Snapshots, **more: Any) -> Plan[BackupStatus]:
    world = a_world(held_web(), held_db(), snapshots=snapshots, **more)
    return act(Phase.DRAINING, world, workloads=stopped(), volumes=volumes())


def capture(snapshots: Snapshots, **more: Any) -> Plan[BackupStatus]:
    world = a_world(held_web(), held_db(), snapshots=snapshots, **more)
    return act(Phase.CAPTURING, world, workloads=stopped(), volumes=volumes())


def fails(plan: Plan[BackupStatus], reason: Reason) -> str:
    assert (plan.status.phase, plan.status.reason) == (Phase.RESUMING, reason.value)
    assert list(plan.actions) == []
    return plan.status.message


def test_no_snapshot_is_made_while_a_node_has_a_volume() -> None:
    plan = drain(Snapshots(attached=frozenset({"uploads", "of-somebody-else"})))

    assert plan.status.phase is Phase.DRAINING
    assert plan.status.message == "waiting until volumes of uploads are detached"
    assert drain(Snapshots(attached=frozenset({"of-somebody-else"}))).status.phase is Phase.CAPTURING


def test_a_volume_that_is_not_detached_in_time_fails_the_run() -> None:
    plan = drain(Snapshots(attached=frozenset({"uploads"})), now=later(minutes=6))

    assert "volumes of uploads were not detached" in fails(plan, Reason.DRAIN_TIMEOUT)


def test_no_snapshot_is_made_while_nobody_may_see_what_nodes_have() -> None:
    plan = drain(Snapshots(problem="it must not list VolumeAttachments"))

    assert plan.status.phase is Phase.DRAINING
    assert plan.status.message == (
        "waiting until it can be seen whether volumes are detached: it must not list VolumeAttachments"
    )


def test_a_refusal_that_lasts_fails_the_run() -> None:
    plan = drain(Snapshots(problem="it must not list VolumeAttachments"), now=later(minutes=6))

    assert fails(plan, Reason.SNAPSHOTS_UNAVAILABLE) == "it must not list VolumeAttachments"


def test_pods_are_told_of_before_a_refusal() -> None:
    plan = drain(Snapshots(problem="gone"), pods=(a_pod("web-1", "deployment/web", "uploads"),))

    assert plan.status.message == "waiting for the end of web-1 on node-1"


def test_all_snapshots_are_made_at_once() -> None:
    plan = capture(Snapshots())

    made = [action.document for action in plan.actions if isinstance(action, MakeSnapshot)]
    assert [one["spec"]["source"]["persistentVolumeClaimName"] for one in made] == list(CLAIMS)
    assert [one["metadata"]["name"] for one in made] == [name_of(claim) for claim in CLAIMS]
    assert all(one["metadata"]["ownerReferences"][0]["uid"] == UID for one in made)
    assert plan.status.phase is Phase.CAPTURING


def test_one_that_is_ready_is_noted_and_the_others_are_waited_for() -> None:
    plan = capture(taken("uploads", ready=True, size_bytes=120))

    first, second = (one.snapshot for one in plan.status.volumes)
    assert first is not None
    assert second is not None
    assert (first.ready_time, first.size_bytes) == (NOW, 120)
    assert second.ready_time is None
    assert plan.status.message == "making snapshots: 1 of 2 ready"


def test_workloads_are_started_when_all_are_ready_and_nothing_is_read_before() -> None:
    plan = capture(taken(*CLAIMS, ready=True))

    assert (plan.status.phase, plan.status.reason, plan.actions) == (Phase.RESUMING, "", [])


def test_a_pod_that_comes_before_all_are_ready_fails_the_run() -> None:
    stranger = a_pod("x", "deployment/web", "uploads")

    assert "pod x" in fails(capture(taken(*CLAIMS, ready=True), pods=(stranger,)), Reason.TAINTED)


def test_a_pod_that_comes_afterwards_is_none_of_our_business() -> None:
    stranger = a_pod("x", "", "uploads")
    world = a_world(held_web(), held_db(), snapshots=taken(*CLAIMS, ready=True), pods=(stranger,))

    plan = act(Phase.RESUMING, world, workloads=stopped(), volumes=volumes(ready_time=NOW))

    assert not plan.status.reason
    assert any(isinstance(action, ScaleUp) for action in plan.actions)


@pytest.mark.parametrize(("seconds", "gives_up"), [(15, False), (16, True)])
def test_an_error_has_its_drivers_next_tries_to_pass(*, seconds: int, gives_up: bool) -> None:
    plan = capture(taken(*CLAIMS, error="the array is full"), now=later(seconds=seconds))

    if not gives_up:
        assert plan.status.phase is Phase.CAPTURING
        return
    assert "no snapshot of claim uploads: the array is full" in fails(plan, Reason.SNAPSHOT_FAILED)
    assert [one.error for one in plan.status.volumes] == ["the array is full", ""]


def test_an_error_that_has_passed_does_no_harm() -> None:
    plan = capture(taken(*CLAIMS, ready=True, error="busy"), now=later(seconds=60))

    assert (plan.status.phase, plan.status.reason) == (Phase.RESUMING, "")


def test_one_that_was_ready_and_is_gone_is_not_made_again() -> None:
    world = a_world(held_web(), held_db(), snapshots=taken("data-db-0"))
    seen = (a_volume("uploads", ready_time=NOW), a_volume("data-db-0"))

    plan = act(Phase.CAPTURING, world, workloads=stopped(), volumes=seen)

    assert "claim uploads was deleted by somebody" in fails(plan, Reason.SNAPSHOT_FAILED)


def test_definitions_that_vanish_do_not_keep_workloads_down() -> None:
    assert fails(capture(Snapshots(problem="gone")), Reason.SNAPSHOTS_UNAVAILABLE) == "gone"


@pytest.mark.parametrize(("seconds", "gives_up"), [(6 * 3600, False), (6 * 3600 + 1, True)])
def test_snapshots_that_never_get_ready_end_a_run_that_has_stopped_nothing(
    seconds: int, gives_up: bool
) -> None:
    world = a_world(snapshots=taken("data-db-0"), pods=(), now=later(seconds=seconds))

    plan = act(Phase.CAPTURING, world, volumes=(a_volume("data-db-0"),))

    assert (plan.status.phase, plan.status.reason) == (
        (Phase.FAILED, Reason.SNAPSHOT_FAILED) if gives_up else (Phase.CAPTURING, "")
    )
    assert ("the snapshots of data-db-0 were not ready within 6h" in plan.status.message) is gives_up


def test_the_downtime_has_its_end_here_too() -> None:
    fails(capture(taken(*CLAIMS), now=later(minutes=31)), Reason.DOWNTIME_EXCEEDED)


# --- when they are up again


def upload(*jobs: JobState, snapshots: Snapshots | None = None, **more: Any) -> Plan[BackupStatus]:
    world = a_world(jobs=jobs, snapshots=snapshots or taken(*CLAIMS, ready=True), **more)
    return act(Phase.UPLOADING, world, workloads=UP, volumes=volumes(ready_time=NOW))


def test_after_the_start_copies_are_read() -> None:
    world = a_world(snapshots=taken(*CLAIMS, ready=True))

    plan = act(Phase.RESUMING, world, workloads=UP, volumes=volumes(ready_time=NOW))

    assert plan.status.phase is Phase.UPLOADING
    assert jobs_made(upload()) == [MOVER, MOVER]


def test_the_time_of_downtime_does_not_count_any_more() -> None:
    plan = upload(a_job(MOVER, "uploads"), a_job(MOVER, "data-db-0"), now=later(hours=9))

    assert (plan.status.phase, plan.status.reason) == (Phase.UPLOADING, "")
    assert plan.again_seconds == WAITING


def test_a_copy_may_take_long_to_be_filled_and_not_for_ever() -> None:
    stuck = a_job(MOVER, "uploads", stuck="Unschedulable: unbound claim"), captured("data-db-0")

    assert upload(*stuck, now=later(hours=5)).status.message == "Unschedulable: unbound claim"
    assert upload(*stuck, now=later(hours=7)).status.reason == Reason.MOVER_NOT_STARTED.value


def test_a_snapshot_that_is_deleted_before_it_is_read_fails_the_run() -> None:
    plan = upload(captured("data-db-0"), snapshots=taken("data-db-0", ready=True))

    assert plan.status.reason == Reason.SNAPSHOT_FAILED.value
    assert "deleted by somebody before it was read" in plan.status.message


def test_when_all_copies_are_read_the_group_is_committed() -> None:
    plan = upload(*all_captured())

    assert plan.status.phase is Phase.FINISHING
    assert [one.tree for one in plan.status.volumes] == ["tree-uploads", "tree-data-db-0"]


def test_a_mover_that_leaves_no_report_is_not_sent_after() -> None:
    plan = upload(failed(MOVER, part="uploads", exit_code=None), captured("data-db-0"))

    assert plan.status.message.endswith("ended without a report (killed, or evicted)")


# --- the end


def cleared(plan: Plan[BackupStatus]) -> set[str]:
    kinds = (DeleteJob, DeleteSnapshot)
    return {action.name for action in plan.actions if isinstance(action, kinds)}


ALL_OF_IT = {name_of(claim) for claim in CLAIMS} | {job_name("b", UID, MOVER, claim) for claim in CLAIMS}


def test_success_clears_everything_away() -> None:
    world = a_world(jobs=(*all_captured(), committed()), snapshots=taken(*CLAIMS, ready=True))

    plan = act(Phase.FINISHING, world, workloads=UP, volumes=volumes(ready_time=NOW))

    assert plan.status.phase is Phase.SUCCEEDED
    assert cleared(plan) == ALL_OF_IT


@pytest.mark.parametrize("repository", [True, False])
def test_a_failed_upload_clears_everything_away(*, repository: bool) -> None:
    jobs = (failed(MOVER, part="uploads"), captured("data-db-0"))
    more: dict[str, Any] = {} if repository else {"repository": None}
    plan = upload(*jobs, **more)
    world = a_world(jobs=jobs, snapshots=taken(*CLAIMS, ready=True), **more)
    while not plan.status.phase.finished:
        plan = decide(
            a_backup(spec={"capture": "Snapshot"}).model_copy(update={"status": plan.status}), world
        )

    assert plan.status.phase is Phase.FAILED
    assert cleared(plan) == ALL_OF_IT


_SNAPSHOTS = st.sampled_from(
    [
        Snapshots(),
        Snapshots(problem="gone"),
        MEANS,
        taken("uploads"),
        taken(*CLAIMS, ready=True),
        taken(*CLAIMS, error="full"),
        Snapshots(attached=frozenset(CLAIMS)),
    ]
)
_JOBS = st.sets(
    st.sampled_from([*all_captured(), failed(MOVER, part="uploads"), a_job(MOVER, "uploads"), committed()]),
    max_size=4,
)
_WORLDS = st.builds(
    lambda snapshots, jobs, seconds, repository: a_world(
        held_web(),
        held_db(),
        jobs=jobs,
        snapshots=snapshots,
        now=later(seconds=seconds),
        repository=repository,
    ),
    _SNAPSHOTS,
    _JOBS,
    st.integers(0, 30000),
    st.sampled_from([a_repository(), None]),
)
_PHASES = [p for p in Phase if p not in (Phase.PENDING, Phase.PREFLIGHT, Phase.RESTORING)]


@given(
    st.sampled_from([phase for phase in _PHASES if not phase.finished]),
    st.sampled_from([stopped(), UP]),
    _WORLDS,
    st.sampled_from([{}, {"deletionTimestamp": NOW}]),
)
def test_whatever_is_seen_there_is_a_next_step_and_no_end_leaves_anything(
    phase: Phase, workloads: Any, world: World, meta: dict[str, Any]
) -> None:
    plan = act(phase, world, meta=meta, workloads=workloads, volumes=volumes())

    assert BackupStatus.model_validate(plan.status.model_dump()) == plan.status
    assert plan.status.phase.finished or plan.again_seconds is not None
    if plan.status.phase.finished:
        # a commit that was never seen may be there all the same
        assert cleared(plan) - {committed().name} == set(world.snapshots.taken) | (
            ALL_OF_IT & set(world.jobs)
        )
    elif plan.status.phase is not Phase.PREPARING:
        assert plan.finalizer is True
    if any(isinstance(action, MakeSnapshot) for action in plan.actions):
        assert phase is Phase.CAPTURING
    if phase is Phase.DRAINING and plan.status.phase is Phase.CAPTURING:
        assert not world.snapshots.problem
        assert not world.snapshots.attached
