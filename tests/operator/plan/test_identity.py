"""As whom movers run: root where it is allowed, else the workload's user, and nobody where that is not known."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import Phase
from becalm_operator.api.conditions import Reason
from becalm_operator.api.identity import Identity
from becalm_operator.plan import backup, restore
from becalm_operator.plan.identity import identity_of, what_to_set
from becalm_operator.plan.preflight import RefusalError
from becalm_operator.plan.world import World
from tests.operator.plan.worlds import (
    a_backup,
    a_pod,
    a_repository,
    a_restore,
    a_world,
    db,
    opened,
    previewed,
    succeeded,
    web,
)

USER = Identity(run_as_user=1000, fs_group=1000)
ROOT = Identity(run_as_user=0)
UNKNOWN = Identity()
CLAIM = {"persistentVolumeClaim": {"claimName": "backups"}}


def namespace(
    standard: str = "restricted",
    identity: Identity | None = USER,
    *,
    storage: dict[str, Any] | None = None,
    running: tuple[Identity, ...] = (),
    **mover: Any,
) -> World:
    known = {"uploads": identity} if identity else {}
    pods = tuple(
        a_pod(f"web-{n}", "deployment/web", "uploads", identities={"uploads": one})
        for n, one in enumerate(running)
    )
    return a_world(
        web(identities=known),
        db(identities={"data-db-0": USER}),
        pods=pods,
        pod_security=standard,
        repository=a_repository(mover=mover, storage=storage),
        jobs=[opened()],
    )


def refused(world: World, *claims: str) -> str:
    with pytest.raises(RefusalError) as caught:
        identity_of(world, claims or ("uploads",))
    assert caught.value.failure.reason is Reason.MOVER_USER_UNKNOWN
    return caught.value.failure.message


@pytest.mark.parametrize(
    ("standard", "mover", "identity"),
    [
        ("privileged", {}, None),
        ("baseline", {}, USER),
        ("restricted", {}, USER),
        ("privileged", {"privilege": "Inherit"}, USER),
        ("restricted", {"privilege": "Root"}, None),
        ("restricted", {"securityContext": {"runAsUser": 7}}, None),
        ("restricted", {"privilege": "Inherit", "securityContext": {"runAsUser": 7}}, None),
    ],
)
def test_root_unless_the_namespace_or_the_repository_says_otherwise(
    standard: str, mover: dict[str, Any], identity: Identity | None
) -> None:
    assert identity_of(namespace(standard, **mover), ["uploads"]) == identity


def test_what_runs_counts_before_what_a_template_says() -> None:
    injected = Identity(run_as_user=1_000_650_000)

    assert identity_of(namespace(identity=UNKNOWN, running=(injected, injected)), ["uploads"]) == injected


@pytest.mark.parametrize(
    ("world", "text"),
    [
        (
            namespace(identity=None),
            "no pod mounts it: set runAsUser in the pod template, or set mover.securityContext",
        ),
        (namespace(identity=UNKNOWN), "they say no runAsUser"),
        (namespace(running=(USER, Identity(run_as_user=7))), "or not the same"),
        (namespace(identity=ROOT), "root's, which their namespace forbids"),
        (namespace(storage=CLAIM), "a repository on a claim belongs to one user: set mover.securityContext"),
        (
            namespace("privileged", UNKNOWN, privilege="Inherit"),
            "mover.privilege of repository main is Inherit",
        ),
    ],
)
def test_where_nobody_knows_the_user_nothing_is_stopped(world: World, text: str) -> None:
    assert text in refused(world)
    plan = backup.decide(a_backup(Phase.PREFLIGHT), world)
    assert (plan.status.phase, plan.status.reason) == (Phase.FAILED, "MoverUserUnknown")
    assert not any(state.stopped_at for state in plan.status.workloads)


def test_the_root_of_a_workload_may_be_inherited_without_capabilities() -> None:
    assert identity_of(namespace("privileged", ROOT, privilege="Inherit"), ["uploads"]) == ROOT


def test_a_new_claim_is_written_as_whoever_uses_the_old_one() -> None:
    assert identity_of(namespace(), ["copy", "uploads"]) == USER


def test_the_user_stands_in_status_before_anything_stops() -> None:
    plan = backup.decide(a_backup(Phase.PREFLIGHT), namespace())

    assert [volume.identity for volume in plan.status.volumes] == [USER, USER]


def test_a_restore_knows_its_user_before_anything_stops() -> None:
    run = a_restore(Phase.PREFLIGHT, spec={"source": {"snapshotID": "ab" * 32}})
    done = succeeded("access", opened().report, owner=("r", "uid-r"))
    world = namespace()

    plan = restore.decide(
        run, a_world(*world.workloads.values(), pod_security="restricted", jobs=[done, previewed()])
    )

    assert [target.identity for target in plan.status.targets] == [USER]


@pytest.mark.parametrize(
    ("mover", "identity", "text"),
    [
        ({}, USER, "runs as user 1000, like the workload: mover.privilege Root"),
        ({}, None, "root_squash: mover.privilege Inherit"),
        ({"securityContext": {"runAsUser": 7}}, None, "as mover.securityContext of the repository says"),
    ],
)
def test_what_helps_is_told_with_what_could_not_be_read(
    mover: dict[str, Any], identity: Identity | None, text: str
) -> None:
    assert text in what_to_set(a_world(repository=a_repository(mover=mover)), identity)


@given(
    st.sampled_from(["privileged", "baseline", "restricted"]),
    st.sampled_from(["Auto", "Inherit"]),
    st.sampled_from([None, UNKNOWN, USER, ROOT]),
    st.lists(st.sampled_from([UNKNOWN, USER, ROOT]), max_size=2),
)
def test_root_is_never_asked_for_where_it_is_forbidden(
    standard: str, privilege: str, template: Identity | None, running: list[Identity]
) -> None:
    world = namespace(standard, template, running=tuple(running), privilege=privilege)

    try:
        identity = identity_of(world, ["uploads"])
    except RefusalError:
        return
    assert identity is not None or (standard, privilege) == ("privileged", "Auto")
    if standard != "privileged" and privilege == "Auto":
        assert identity is not None
        assert identity.run_as_user not in (None, 0)
