"""What is refused before anything stops."""

from typing import Any

import pytest

from becalm_operator.api.conditions import Condition, Reason
from becalm_operator.plan import preflight
from becalm_operator.plan.preflight import RefusalError
from becalm_operator.plan.world import Claim
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
