"""Whose turn it is."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import Phase
from becalm_operator.api.limits import Needs
from becalm_operator.plan import backup, limits, restore, wording
from becalm_operator.plan.world import Caps, Share, World
from tests.operator.plan.worlds import (
    NOW,
    a_backup,
    a_metadata,
    a_repository,
    a_restore,
    a_world,
    an_other,
    later,
    planned,
    stopped,
    web,
)

MOVERS = 4


def a_share(name: str, movers: int = 1, workloads: int = 1, **more: Any) -> Share:
    made = Share(name, f"uid-{name}", "shop", "main", NOW, movers=movers, workloads=workloads)
    return replace(made, **more)


def a_shop(*shares: Share, movers: int = MOVERS, **caps: int) -> World:
    made = a_repository()
    allowed = made.spec.limits.model_copy(update={"max_concurrent_movers": movers})
    spec = made.spec.model_copy(update={"limits": allowed})
    repository = made.model_copy(update={"spec": spec})
    return a_world(repository=repository, shares=shares, caps=Caps(**caps))


def place(mine: Share, *others: Share, movers: int = MOVERS, **caps: int) -> str:
    return limits.place_in_queue(mine, a_shop(*others, movers=movers, **caps))


ME = a_share("me", created=later(minutes=5))


def test_a_run_begins_when_there_is_room() -> None:
    assert place(ME, a_share("a", 3, started=True)) == ""


def test_a_run_waits_when_all_movers_are_in_use_and_says_so() -> None:
    others = (a_share("a", 3, started=True), a_share("b", started=True))

    assert place(ME, *others) == "1st in the queue of repository main: 4 of 4 movers are in use"


def test_those_who_came_before_go_first() -> None:
    waiting = [a_share(f"w{at}", queued=True, created=later(minutes=at)) for at in (1, 2, 9)]

    found = place(ME, a_share("a", 4, started=True), *waiting)

    assert found == "3rd in the queue of repository main: 4 of 4 movers are in use"


def test_of_two_that_came_in_one_second_the_uid_decides() -> None:
    one, other = a_share("a", queued=True), a_share("b", queued=True)

    assert place(one, other, movers=1) == ""
    assert place(other, one, movers=1)


def test_a_run_that_needs_much_is_not_passed_by() -> None:
    busy, wide = a_share("a", 2, started=True), a_share("wide", 3, queued=True)

    assert place(ME, busy, wide) == "2nd in the queue of repository main: 2 of 4 movers are in use"
    assert (
        place(wide, busy) == "1st in the queue of repository main: 2 of 4 movers are in use, and it needs 3"
    )


def test_one_that_waits_leaves_what_it_does_not_need() -> None:
    busy, wide = a_share("a", 2, started=True), a_share("wide", 3, queued=True)

    assert place(ME, busy, wide, movers=6) == ""


def test_a_run_that_needs_more_than_there_is_runs_alone() -> None:
    wide = a_share("wide", 9)

    assert place(wide) == ""
    assert place(wide, a_share("a", started=True)).endswith("1 of 4 movers are in use, and it needs 4")
    assert place(ME, replace(wide, started=True)).endswith("4 of 4 movers are in use")


def test_a_restore_goes_before_backups_that_wait() -> None:
    waiting = a_share("old", 4, queued=True)

    assert place(replace(ME, urgent=True), waiting) == ""
    assert place(waiting, replace(ME, urgent=True, queued=True)).startswith("2nd in the queue")


def test_a_run_that_waits_for_something_else_keeps_nobody_waiting() -> None:
    assert place(ME, a_share("elsewhere", 4)) == ""


def test_repositories_have_a_queue_each() -> None:
    assert place(ME, a_share("a", 4, started=True, repository="other")) == ""
    assert place(ME, a_share("a", 4, started=True, namespace="office")) == ""


def test_workloads_that_are_down_are_counted_in_the_namespace() -> None:
    others = (a_share("a", 0, 2, started=True), a_share("far", 0, 9, started=True, namespace="office"))

    assert place(ME, *others, per_namespace=3) == ""
    found = place(ME, *others, per_namespace=2)
    assert found == "1st in the queue of namespace shop: 2 of 2 workloads are down"


def test_workloads_that_are_down_are_counted_in_the_cluster() -> None:
    others = (a_share("a", 0, 2, started=True), a_share("far", 0, 1, started=True, namespace="office"))

    assert place(ME, *others, per_cluster=4) == ""
    found = place(ME, *others, per_cluster=3)
    assert found == "1st in the queue of the cluster: 3 of 3 workloads are down"


def test_a_run_that_stops_nothing_waits_for_no_workload() -> None:
    assert place(a_share("me", 1, 0), a_share("a", 0, 5, started=True), per_namespace=5) == ""


# --- what nobody can see


def a_blind_world(**caps: int) -> World:
    return replace(a_shop(**caps), unseen=("gone", "office"))


def test_what_cannot_be_seen_may_be_all_that_the_limit_for_the_cluster_allows() -> None:
    needs = Needs(movers=1, workloads=1)

    assert limits.hidden(needs, a_blind_world(per_cluster=9)) == (
        "waiting until runs of gone, office can be listed: what they hold down counts against the limit of the "
        "cluster; restore the operator's role there, or take a namespace that is gone off watchNamespaces"
    )
    assert limits.hidden(needs, a_shop(per_cluster=9)) == ""


def test_what_cannot_be_seen_concerns_no_run_that_stops_nothing_and_no_other_limit() -> None:
    assert limits.hidden(Needs(movers=1, workloads=0), a_blind_world(per_cluster=9)) == ""
    assert limits.hidden(Needs(movers=1, workloads=1), a_blind_world(per_namespace=1)) == ""


@pytest.mark.parametrize("unseen", [(), ("gone",)])
def test_a_run_does_not_begin_while_it_cannot_be_seen_how_much_is_down(unseen: tuple[str, ...]) -> None:
    world = replace(a_shop(per_cluster=9), unseen=unseen)

    for status in (backup.decide(a_backup(), world).status, restore.decide(a_restore(), world).status):
        assert status.phase is (Phase.PENDING if unseen else Phase.PREFLIGHT)
        assert status.message.startswith("waiting until runs of gone can be listed") is bool(unseen)
        assert status.queued_since is None


# --- all together

SHARES = st.lists(
    st.tuples(
        st.integers(1, 6), st.integers(0, 4), st.booleans(),
        st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 3),
    ),
    max_size=8,
)  # fmt: skip


def drawn_shares(drawn: Sequence[tuple[int, int, bool, str, str, int]]) -> list[Share]:
    return [
        Share(f"r{at}", f"uid-{at}", namespace, repository, later(minutes=minute), urgent=urgent,
              movers=movers, workloads=workloads)
        for at, (movers, workloads, urgent, namespace, repository, minute) in enumerate(drawn)
    ]  # fmt: skip


def turn_of(mine: Share, others: Sequence[Share]) -> bool:
    return not place(mine, *others, per_namespace=3, per_cluster=5)


def overfull(started: Sequence[Share]) -> list[list[int]]:
    """Return what is taken of each limit that is broken by more than one run."""
    takes: dict[tuple[int, str, str], list[int]] = {}
    for share in started:
        takes.setdefault((4, share.namespace, share.repository), []).append(share.movers)
        takes.setdefault((3, share.namespace, ""), []).append(share.workloads)
        takes.setdefault((5, "", ""), []).append(share.workloads)
    found = [(size, [one for one in each if one]) for (size, _, _), each in takes.items()]
    return [each for size, each in found if len(each) > 1 and sum(each) > size]


@given(SHARES, st.randoms(use_true_random=False))
def test_everybody_gets_a_turn_and_no_limit_is_broken(drawn: list[Any], random: Any) -> None:
    waiting = [replace(share, queued=True) for share in drawn_shares(drawn)]
    started: list[Share] = []
    for _ in range(len(waiting) + 1):
        for share in random.sample(waiting, len(waiting)):
            others = [*started, *(w for w in waiting if w is not share)]
            if turn_of(share, others):
                waiting.remove(share)
                started.append(replace(share, queued=False, started=True))
                assert overfull(started) == []
        if started:
            started.remove(random.choice(started))

    assert waiting == []


@given(SHARES)
def test_the_first_in_line_waits_for_nobody_who_waits(drawn: list[Any]) -> None:
    waiting = [replace(share, queued=True) for share in drawn_shares(drawn)]
    first = min(waiting, key=lambda share: share.rank, default=None)

    assert first is None or turn_of(first, [share for share in waiting if share is not first])


# --- what a run takes


def test_a_run_that_waits_in_the_queue_says_what_for() -> None:
    needs = Needs(movers=2, workloads=3)
    queued = a_backup(needs=needs, queued_since=NOW)

    share = limits.share_of(queued)

    assert (share.queued, share.started, share.movers, share.workloads) == (True, False, 2, 3)
    assert limits.share_of(a_backup()).queued is False
    assert limits.share_of(a_restore(needs=needs, queued_since=NOW)).urgent


def test_a_run_that_is_being_deleted_leaves_the_queue() -> None:
    gone = a_backup(meta=a_metadata("b", deletionTimestamp=NOW), needs=Needs(movers=1), queued_since=NOW)

    assert not limits.share_of(gone).queued


@pytest.mark.parametrize(
    ("status", "takes"),
    [
        ({"phase": Phase.CAPTURING, "workloads": stopped()}, (2, 2)),
        ({"phase": Phase.RESUMING, "workloads": stopped(), "resumed_at": NOW}, (1, 2)),
        ({"phase": Phase.FINISHING, "workloads": stopped(started_at=NOW), "resumed_at": NOW}, (1, 0)),
    ],
)
def test_a_run_gives_back_what_it_is_done_with(status: dict[str, Any], takes: tuple[int, int]) -> None:
    share = limits.share_of(a_backup(needs=Needs(movers=2, workloads=2), **status))

    assert share.started
    assert (share.movers, share.workloads) == takes


def test_a_run_by_snapshots_has_its_movers_before_it_when_it_starts_its_workloads() -> None:
    status: dict[str, Any] = {
        "workloads": stopped(),
        "resumed_at": NOW,
        "needs": Needs(movers=2, workloads=2),
    }
    wished = {"capture": "Snapshot"}

    takes = [
        limits.share_of(a_backup(phase, spec=wished, **status)).movers
        for phase in (Phase.RESUMING, Phase.UPLOADING, Phase.FINISHING)
    ]
    failed = a_backup(Phase.RESUMING, spec=wished, reason="SnapshotFailed", **status)

    assert takes == [2, 2, 1]
    assert limits.share_of(failed).movers == 1


def test_a_run_of_an_earlier_version_counts_with_what_is_known() -> None:
    share = limits.share_of(a_backup(Phase.CAPTURING, workloads=planned()))

    assert (share.movers, share.workloads) == (1, 2)


# --- in a run


def test_a_run_whose_turn_it_is_not_is_parked_with_its_place() -> None:
    plan = backup.decide(a_backup(), a_shop(a_share("a", 4, started=True)))

    status = plan.status
    assert (status.phase, status.queued_since, status.needs) == (
        Phase.PENDING,
        NOW,
        Needs(movers=2, workloads=2),
    )
    told = "1st in the queue of repository main: 4 of 4 movers are in use, and it needs 2"
    assert status.message == told
    assert (list(plan.actions), plan.again_seconds) == ([], 15.0)


def test_the_time_in_the_queue_counts_from_its_beginning() -> None:
    world = a_shop(a_share("a", 4, started=True))
    first = backup.decide(a_backup(), world).status

    again = backup.decide(a_backup(**dict(first)), replace(world, now=later(minutes=9))).status

    assert again.queued_since == NOW


def test_a_run_whose_turn_has_come_leaves_the_queue_and_takes_its_share() -> None:
    status = backup.decide(a_backup(queued_since=NOW, needs=Needs(movers=2)), a_shop()).status

    assert (status.phase, status.queued_since, status.needs) == (
        Phase.PREFLIGHT,
        None,
        Needs(movers=2, workloads=2),
    )


def test_a_run_that_finds_its_claims_in_use_leaves_the_queue() -> None:
    queued = a_backup(queued_since=NOW, needs=Needs(movers=2))

    status = backup.decide(queued, replace(a_shop(), others=(an_other("o", started=True),))).status

    assert (status.phase, status.queued_since, status.needs) == (Phase.PENDING, None, None)


def test_what_is_down_already_takes_no_place() -> None:
    status = backup.decide(a_backup(), replace(a_shop(), workloads={
        **a_world().workloads, "deployment/web": web(0),
    })).status  # fmt: skip

    assert status.needs == Needs(movers=2, workloads=1)


def test_a_restore_goes_before_a_backup_in_the_queue() -> None:
    waiting = a_share("old", 4, queued=True, created=later(days=-1))

    assert restore.decide(a_restore(), a_shop(waiting)).status.phase is Phase.PREFLIGHT
    assert backup.decide(a_backup(), a_shop(waiting)).status.phase is Phase.PENDING


def test_places_are_told_as_people_do() -> None:
    told = [wording.ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)]

    assert told == ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th"]


def test_ranks_are_different_for_different_runs() -> None:
    shares = [a_share(name, urgent=urgent) for name, urgent in itertools.product("ab", (True, False))]

    assert len({share.rank for share in shares}) == 4
