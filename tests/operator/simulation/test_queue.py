"""Runs that would take too much at once wait for their turn, and get it, wherever the operator dies."""

import asyncio
from dataclasses import dataclass

import pytest

from becalm_operator.api.backup import Phase, WorkloadReference
from becalm_operator.api.limits import RepositoryLimits
from becalm_operator.api.repository import BackupRepository
from becalm_operator.cluster.port import Cluster, Key
from becalm_operator.plan.world import Caps
from tests.operator.fake.controllers import tick
from tests.operator.fake.lab import SHOP
from tests.operator.fake.wrapped import Counting, Dying, OperatorDiedError, only_reads
from tests.operator.simulation.invariants import check_always, check_end
from tests.operator.simulation.shop import DB, IDLE, WEB, Operator, Shop

_MOST_TICKS = 600
_IDLE_PHASES = (Phase.PENDING, Phase.RESUMING, Phase.FINISHING, Phase.SUCCEEDED, Phase.FAILED)


@dataclass(frozen=True)
class Rush:
    """Some Backups that are asked for at once, and what there is for them."""

    wanted: tuple[tuple[WorkloadReference, ...], ...]
    movers: int = 4
    down: int = 0
    at_once: int = 1
    """How many of them may work at the same time."""


NARROW = Rush(((WEB,), (DB,), (IDLE,)), movers=1)
WIDE = Rush(((WEB,), (WEB, DB, IDLE), (DB,)), movers=2)
DOWN = Rush(((WEB,), (DB,)), down=1)
ROOMY = Rush(((WEB,), (DB,), (IDLE,)), movers=2, at_once=2)


async def open_shop(rush: Rush) -> Shop:
    shop = await Shop.open()
    shop.cluster.caps = Caps(per_namespace=rush.down)
    key = Key("BackupRepository", SHOP, "main")
    repository = shop.state.resources[key]
    assert isinstance(repository, BackupRepository)
    limits = RepositoryLimits(max_concurrent_movers=rush.movers)
    spec = repository.spec.model_copy(update={"limits": limits})
    shop.state.resources[key] = repository.model_copy(update={"spec": spec})
    for at, workloads in enumerate(rush.wanted):
        await shop.back_up(f"b{at}", workloads)
        tick(shop.state)
    return shop


def check_limits(shop: Shop, rush: Rush) -> None:
    """See that no more is taken than there is, but by one that runs alone."""
    at_work = [one for one in shop.backups if one.status.phase not in _IDLE_PHASES]
    names = [one.metadata.name for one in at_work]
    assert len(at_work) <= rush.at_once, f"{names} are at work at once"
    down = {one.record.by.name for one in shop.state.workloads.values() if one.record is not None}
    assert not rush.down or len(down) <= rush.down, f"{down} hold workloads down at once"


async def follow(shop: Shop, operator: Operator, rush: Rush) -> None:
    for _ in range(_MOST_TICKS):
        await operator.work()
        check_always(shop)
        check_limits(shop, rush)
        if all(shop.is_over(Key("Backup", SHOP, one.metadata.name)) for one in shop.backups):
            return
        tick(shop.state)
    told = {one.metadata.name: one.status.message for one in shop.backups}
    raise AssertionError(f"not all came to an end: {told}")


async def play(rush: Rush, at: int | None = None) -> tuple[Shop, list[str]]:
    """Let all Backups run; the first operator dies after a call."""
    shop = await open_shop(rush)
    counting = Counting(shop.cluster)
    first: Cluster = counting if at is None else Dying(counting, at, after=True)
    try:
        await follow(shop, Operator(shop.state, first), rush)
    except OperatorDiedError:
        await follow(shop, Operator(shop.state, shop.cluster), rush)
    for one in shop.backups:
        check_end(shop, Key("Backup", SHOP, one.metadata.name))
        assert one.status.phase is Phase.SUCCEEDED, one.status
    return shop, counting.calls


@pytest.mark.parametrize("rush", [NARROW, WIDE, DOWN, ROOMY], ids=["narrow", "wide", "down", "roomy"])
def test_all_get_their_turn_and_no_more_is_taken_than_there_is(rush: Rush) -> None:
    shop, _ = asyncio.run(play(rush))

    assert len(shop.backups) == len(rush.wanted)


def test_a_run_that_needs_much_is_not_passed_by() -> None:
    shop, _ = asyncio.run(play(WIDE))

    begun = [one.status.start_time for one in shop.backups]
    assert all(begun)
    assert begun == sorted(begun, key=str)


async def die_everywhere(rush: Rush) -> str:
    _, calls = await play(rush)
    harm = []
    for at, call in enumerate(calls):
        if only_reads(call):
            continue
        try:
            await play(rush, at)
        except AssertionError as error:
            harm.append(f"died after call {at} ({call}): {error}")
    return "\n".join(harm)


@pytest.mark.slow
def test_a_death_after_any_write_breaks_no_limit_and_loses_no_turn() -> None:
    harm = asyncio.run(die_everywhere(NARROW))

    assert not harm, harm


def test_one_that_is_deleted_in_the_queue_lets_the_others_pass() -> None:
    async def play_it() -> Shop:
        shop = await open_shop(NARROW)
        operator = Operator(shop.state, shop.cluster)
        for _ in range(3):
            await operator.work()
            tick(shop.state)
        waiting = [one for one in shop.backups if one.status.queued_since]
        shop.state.delete(Key("Backup", SHOP, waiting[0].metadata.name))
        await follow(shop, operator, NARROW)
        return shop

    shop = asyncio.run(play_it())

    assert [one.status.phase for one in shop.backups] == [Phase.SUCCEEDED] * 2
