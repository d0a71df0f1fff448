"""What is refused before anything stops."""

from contextlib import nullcontext
from typing import Any, Literal

import pytest

from becalm_operator.api.backup import Quiesce, WorkloadReference
from becalm_operator.api.conditions import Condition, Reason
from becalm_operator.api.switches import KEDA_PAUSE, SUSPENSION
from becalm_operator.plan import preflight
from becalm_operator.plan.preflight import RefusalError
from becalm_operator.plan.world import Claim, Workload
from tests.operator.plan.worlds import (
    DB,
    PODS,
    WEB,
    a_backup,
    a_condition,
    a_pod,
    a_record,
    a_repository,
    a_world,
    db,
    web,
)


@pytest.mark.parametrize(
    ("condition", "ready", "reason"),
    [
        (a_condition("True", Reason.READY), True, None),
        (a_condition("Unknown", Reason.PROBING), False, None),
        (a_condition("False", Reason.STORAGE_UNAVAILABLE), False, None),
        (a_condition("False", Reason.REPOSITORY_LOCKED), False, None),
        (a_condition("False", Reason.WRONG_PASSWORD), False, Reason.WRONG_PASSWORD),
        (a_condition("False", Reason.REPOSITORY_REPLACED), False, Reason.REPOSITORY_REPLACED),
        (a_condition("True", Reason.READY, generation=0), False, None),
        (a_condition("False", Reason.WRONG_PASSWORD, generation=0), False, None),
    ],
)
def test_a_repository_is_ready_or_coming_or_refused(
    condition: Condition, ready: bool, reason: Reason | None
) -> None:
    state = preflight.repository_state(a_world(repository=a_repository(condition)), "main")

    assert state.ready is ready
    assert (state.failure.reason if state.failure else None) is reason


def test_a_repository_that_does_not_exist_is_refused() -> None:
    state = preflight.repository_state(a_world(repository=None), "main")

    assert state.failure is not None
    assert (state.failure.reason, state.failure.message) == (
        Reason.REPOSITORY_NOT_READY,
        "BackupRepository main does not exist",
    )


def test_a_repository_that_nobody_has_looked_at_is_waited_for() -> None:
    state = preflight.repository_state(a_world(repository=a_repository(conditions=())), "main")

    assert (state.ready, state.failure) == (False, None)


@pytest.mark.parametrize(
    ("changes", "reason", "text"),
    [
        (
            {"record": a_record(uid="uid-x")},
            Reason.WORKLOAD_ALREADY_STOPPED_BY_OTHER,
            "held down by Backup b",
        ),
        ({"unreadable_record": True}, Reason.WORKLOAD_ALREADY_STOPPED_BY_OTHER, "cannot be read; remove it"),
        ({"owner": "Rollout/web"}, Reason.WORKLOAD_OWNED, "owned by Rollout/web"),
        (
            {"unfit": "has no number at spec.size"},
            Reason.WORKLOAD_NOT_SCALABLE,
            "web has no number at spec.size",
        ),
        ({"deletes_claims": True}, Reason.WORKLOAD_DELETES_CLAIMS, "Set it to Retain first"),
    ],
)
def test_a_workload_that_must_not_be_scaled_is_refused(
    changes: dict[str, Any], reason: Reason, text: str
) -> None:
    with pytest.raises(RefusalError) as refused:
        preflight.resolve_workloads(a_world(web(**changes), db()), [WEB, DB])

    assert refused.value.failure.reason is reason
    assert text in refused.value.failure.message


PRESS = WorkloadReference(kind="Press", name="one", api_version="example.org/v1")


def _of(*references: WorkloadReference) -> list[dict[str, Any]]:
    return [reference.model_dump(by_alias=True) for reference in references]


@pytest.mark.parametrize(
    ("there", "gone", "refused"), [(2, 0, True), (2, 1, True), (3, 0, False), (4, 0, False)]
)
def test_a_kind_whose_claims_only_pods_tell_needs_all_of_them(there: int, gone: int, refused: bool) -> None:
    pods = [a_pod(f"press-{i}", str(PRESS), f"p{i}", ended=i >= there) for i in range(there + gone)]
    world = a_world(Workload(PRESS, "uid-p", "7", 3), web(), pods=tuple(pods))

    with pytest.raises(RefusalError) if refused else nullcontext() as found:
        preflight.refuse_untold_claims(world, a_backup(spec={"workloads": _of(WEB, PRESS)}))

    if found is not None:
        assert found.value.failure.reason is Reason.CLAIMS_UNKNOWN
        assert "2 of 3 are there" in found.value.failure.message


def test_named_claims_need_no_pods() -> None:
    world = a_world(Workload(PRESS, "uid-p", "7", 3), pods=())

    preflight.refuse_untold_claims(
        world, a_backup(spec={"workloads": _of(PRESS), "claims": {"names": ["p0"]}})
    )


def test_a_workload_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RefusalError, match="statefulset/db does not exist") as refused:
        preflight.resolve_workloads(a_world(web()), [WEB, DB])

    assert refused.value.failure.reason is Reason.WORKLOAD_NOT_FOUND


def test_workloads_are_planned_with_their_counts_in_the_listed_order() -> None:
    found = preflight.resolve_workloads(a_world(), [DB, WEB])

    assert [(state.name, state.uid, state.replicas) for state in found] == [
        ("db", "uid-db", 1),
        ("web", "uid-web", 3),
    ]


def claims_of(spec: dict[str, Any], **world: Any) -> tuple[str, ...]:
    return preflight.resolve_claims(a_world(**world), a_backup(spec={"claims": spec}))


def test_the_claims_are_those_that_the_workloads_mount() -> None:
    assert claims_of({}) == ("uploads", "data-db-0")


def test_named_claims_are_taken_as_they_are() -> None:
    assert claims_of({"names": ["other", "other", "uploads"]}) == ("other", "uploads")


def test_excluded_claims_are_left_out() -> None:
    assert claims_of({"exclude": ["uploads"]}) == ("data-db-0",)


def test_a_selector_picks_among_the_mounted_ones_by_all_labels() -> None:
    labelled = {
        "uploads": Claim("uploads", bound=True, labels={"tier": "gold", "app": "web"}),
        "data-db-0": Claim("data-db-0", bound=True, labels={"tier": "gold"}),
        "unmounted": Claim("unmounted", bound=True, labels={"tier": "gold", "app": "web"}),
    }

    found = claims_of({"selector": {"matchLabels": {"tier": "gold", "app": "web"}}}, claims=labelled)

    assert found == ("uploads",)


@pytest.mark.parametrize(
    "spec", [{"exclude": ["uploads", "data-db-0"]}, {"selector": {"matchLabels": {"a": "b"}}}]
)
def test_a_backup_of_no_claims_is_refused(spec: dict[str, Any]) -> None:
    with pytest.raises(RefusalError) as refused:
        claims_of(spec)

    assert refused.value.failure.reason is Reason.NO_CLAIMS


def test_a_claim_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RefusalError, match="claim other does not exist") as refused:
        preflight.refuse_bad_claims(a_world(), ["uploads", "other"])

    assert refused.value.failure.reason is Reason.CLAIM_NOT_FOUND


def test_a_claim_without_a_volume_is_refused() -> None:
    with pytest.raises(RefusalError) as refused:
        preflight.refuse_bad_claims(a_world(claims={"uploads": Claim("uploads", bound=False)}), ["uploads"])

    assert refused.value.failure.reason is Reason.CLAIM_NOT_BOUND


def test_a_claim_that_is_a_device_is_refused_with_what_to_do() -> None:
    claims = {name: Claim(name, bound=True, block=name == "uploads") for name in ("data-db-0", "uploads")}

    with pytest.raises(
        RefusalError, match=r"claim uploads has volumeMode: Block.*spec\.claims\.exclude"
    ) as refused:
        preflight.refuse_bad_claims(a_world(claims=claims), ["data-db-0", "uploads"])

    assert refused.value.failure.reason is Reason.CLAIM_IS_BLOCK_DEVICE


@pytest.mark.parametrize("owner", ["", "deployment/other", "job/report"])
def test_strangers_on_a_claim_are_refused_by_name(owner: str) -> None:
    world = a_world(web(), db(), pods=(*PODS, a_pod("shell", owner, "uploads")))

    with pytest.raises(RefusalError, match="shell") as refused:
        preflight.refuse_strangers(world, frozenset({"uploads"}), [WEB, DB])

    assert refused.value.failure.reason is Reason.CLAIM_IN_USE
    assert owner in refused.value.failure.message


def test_pods_that_have_ended_or_are_ours_or_elsewhere_are_no_strangers() -> None:
    harmless = (
        a_pod("done", "job/x", "uploads", ended=True),
        a_pod("mover", "job/y", "uploads", ours=True),
        a_pod("elsewhere", "deployment/other", "cache"),
    )

    preflight.refuse_strangers(
        a_world(web(), db(), pods=(*PODS, *harmless)), frozenset({"uploads"}), [WEB, DB]
    )


def test_a_mover_goes_where_the_claim_is_mounted() -> None:
    assert preflight.node_of(a_world(), "uploads") == "node-1"


def test_a_mover_goes_anywhere_if_nobody_mounts_the_claim_or_many_nodes_may() -> None:
    shared = {"uploads": Claim("uploads", bound=True, node_bound=False)}

    assert preflight.node_of(a_world(pods=()), "uploads") == ""
    assert preflight.node_of(a_world(claims=shared), "uploads") == ""
    assert preflight.node_of(a_world(), "unknown") == ""


def test_the_consumers_of_claims_are_found_by_name() -> None:
    found = preflight.consumers_of(a_world(), frozenset({"uploads", "data-db-0"}))

    assert [str(workload.reference) for workload in found] == ["deployment/web", "statefulset/db"]


# --- other kinds

WIDGET = WorkloadReference(api_version="example.org/v1", kind="Widget", name="press")
REPORTS = WorkloadReference(kind="CronJob", name="reports")
SCALER = WorkloadReference(api_version="keda.sh/v1alpha1", kind="ScaledObject", name="scaler")


def a_scaler(replicas: int = 1, **more: Any) -> Workload:
    return Workload(SCALER, "uid-scaler", "7", replicas=replicas, switch=KEDA_PAUSE, **more)


def test_a_kind_that_the_operator_was_not_told_of_is_refused_with_what_to_do() -> None:
    with pytest.raises(RefusalError, match="extraKinds of the chart") as refused:
        preflight.refuse_missing(a_world(), [WIDGET])

    assert refused.value.failure.reason is Reason.WORKLOAD_NOT_SCALABLE


def test_an_object_that_does_not_exist_is_refused_as_such_if_its_kind_is_known() -> None:
    with pytest.raises(RefusalError, match=r"widget.example.org/press does not exist") as refused:
        preflight.refuse_missing(a_world(kinds=frozenset({"widget.example.org"})), [WIDGET])

    assert refused.value.failure.reason is Reason.WORKLOAD_NOT_FOUND


def test_an_autoscaler_rests_before_what_it_scales_and_is_resumed_after_it() -> None:
    world = a_world(web(), db(), a_scaler(scales="statefulset/db"))

    resolved = preflight.resolve_workloads(world, [WEB, DB])

    assert [state.reference for state in resolved] == [WEB, SCALER, DB]
    assert (resolved[1].uid, resolved[1].replicas) == ("uid-scaler", 1)


def test_an_autoscaler_rests_also_where_it_has_scaled_its_target_to_zero() -> None:
    world = a_world(web(0), a_scaler(scales="deployment/web"))

    assert [state.name for state in preflight.resolve_workloads(world, [WEB])] == ["scaler", "web"]


def test_an_autoscaler_that_rests_already_or_scales_another_is_left_alone() -> None:
    paused = a_world(web(), a_scaler(0, scales="deployment/web"))
    of_another = a_world(web(), a_scaler(scales="deployment/other"))

    for world in (paused, of_another):
        assert [state.name for state in preflight.resolve_workloads(world, [WEB])] == ["web"]


def test_an_autoscaler_that_pins_its_target_is_refused() -> None:
    world = a_world(web(), a_scaler(0, scales="deployment/web", unfit="holds its target at 5 replicas"))

    with pytest.raises(RefusalError, match="holds its target at 5 replicas"):
        preflight.resolve_workloads(world, [WEB])


def test_an_autoscaler_that_another_run_has_paused_is_refused() -> None:
    world = a_world(web(), a_scaler(1, scales="deployment/web", record=a_record(uid="uid-x")))

    with pytest.raises(RefusalError, match="is held down by Backup b"):
        preflight.resolve_workloads(world, [WEB])


def test_one_that_is_named_beside_what_brings_it_along_is_stopped_once() -> None:
    world = a_world(web(), a_scaler(scales="deployment/web"))

    assert [state.name for state in preflight.resolve_workloads(world, [SCALER, WEB])] == ["scaler", "web"]


@pytest.mark.parametrize(
    ("running_jobs", "claim", "refused"),
    [("Wait", "data", False), ("Refuse", "data", True), ("Refuse", "elsewhere", False)],
)
def test_a_running_job_of_a_cron_job_is_waited_for_or_refused_as_asked(
    running_jobs: Literal["Wait", "Refuse"], claim: str, refused: bool
) -> None:
    reports = Workload(REPORTS, "uid-reports", "7", replicas=1, switch=SUSPENSION, claims=("data",))
    world = a_world(reports, pods=(a_pod("reports-1-x", "cronjob/reports", claim),))
    states = preflight.resolve_workloads(world, [REPORTS])
    quiesce = Quiesce(running_jobs=running_jobs)

    with pytest.raises(RefusalError, match="reports-1-x") if refused else nullcontext():
        preflight.refuse_running_jobs(world, frozenset({"data"}), states, quiesce)


def test_the_consumers_of_a_claim_are_those_at_the_top_and_each_once() -> None:
    old, new = (
        Workload(
            WorkloadReference(kind="ReplicaSet", name=name),
            name,
            "7",
            replicas=0,
            owner="deployment/web",
            claims=("uploads",),
        )
        for name in ("web-1", "web-2")
    )

    found = preflight.consumers_of(a_world(old, new, web(), db()), frozenset({"uploads"}))

    assert [workload.reference for workload in found] == [WEB]


def test_workloads_that_own_each_other_are_no_endless_loop() -> None:
    one, other = web(owner="statefulset/db"), db(owner="deployment/web")

    assert len(preflight.consumers_of(a_world(one, other), frozenset({"uploads"}))) == 1
