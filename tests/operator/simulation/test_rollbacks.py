"""`kubectl rollout undo` puts back the record that a ReplicaSet has kept from an old backup."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.cluster.port import Key, Resource
from becalm_operator.handlers.releasing import release_everything
from becalm_operator.handlers.sweep import Sweep
from becalm_operator.handlers.watchdog import watch_once
from becalm_operator.plan.steps import Action, ScaleDown
from tests.operator.fake.controllers import tick
from tests.operator.fake.lab import SHOP
from tests.operator.fake.objects import Script, StoredWorkload
from tests.operator.simulation.invariants import check_always, check_end
from tests.operator.simulation.shop import DOWNTIME_SECONDS, RUN, SWEEP_SECONDS, WEB, Operator, Shop

OLD = Key("Backup", SHOP, "nightly-old")
_MOST_TICKS = 400


async def _worked(shop: Shop, until: Callable[[], bool]) -> Operator:
    operator = Operator(shop.state, shop.cluster)
    for _ in range(_MOST_TICKS):
        await operator.work()
        if until():
            return operator
        tick(shop.state)
    raise AssertionError("not in time")


async def _with_a_past(*, forget: bool = True) -> Shop:
    """Return a shop whose front end was backed up at one replica, got a new revision, and has three now."""
    shop = await Shop.open()
    await shop.lab.scale(WEB, 1)
    await shop.back_up(OLD.name, workloads=[WEB])
    await _worked(shop, lambda: shop.is_over(OLD) and shop.is_up())
    if forget:
        shop.state.delete(OLD)
    await shop.lab.edit(WEB)
    await shop.lab.scale(WEB, 3)
    for _ in range(5):
        tick(shop.state)
    shop.cluster.starts.clear()
    shop.cluster.stops.clear()
    return shop


async def _held(shop: Shop) -> None:
    shop.script("mover", Script(ticks=30))
    await shop.back_up(workloads=[WEB])
    await _worked(shop, lambda: shop.is_read)


def _web(shop: Shop) -> StoredWorkload:
    return shop.state.workload(SHOP, WEB)


def played(play: Callable[[Shop], Awaitable[None]], *, forget: bool = True) -> Shop:
    async def scenario() -> Shop:
        shop = await _with_a_past(forget=forget)
        await play(shop)
        return shop

    return asyncio.run(scenario())


def sweep(shop: Shop) -> Awaitable[bool]:
    return Sweep(shop.cluster, lambda: shop.state.now).once()


def watch(shop: Shop) -> Awaitable[bool]:
    return watch_once(shop.cluster, lambda: shop.state.now)


def told(shop: Shop, reason: str) -> list[str]:
    return [event.message for _, event in shop.state.events if event.reason == reason]


@pytest.mark.parametrize("forget", [True, False], ids=["the old run is gone", "it has ended"])
@pytest.mark.parametrize("sweep_first", [True, False])
def test_undone_while_a_run_holds_it_the_workload_has_its_own_count_again(
    sweep_first: bool, forget: bool
) -> None:
    async def play(shop: Shop) -> None:
        await _held(shop)
        await shop.lab.roll_back(WEB)
        record = _web(shop).record
        assert record is not None
        assert (record.by.name, record.replicas) == (OLD.name, 1)
        if sweep_first:
            assert await sweep(shop)
            assert _web(shop).replicas == 0, "its run looks after it"
        await _worked(shop, lambda: shop.is_over(RUN) and shop.is_up())

    shop = played(play, forget=forget)

    check_end(shop)
    run = shop.run()
    assert isinstance(run, Backup)
    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "Tainted")
    assert "deployment/web was robbed of its record by somebody" in run.status.message
    assert _web(shop).replicas == 3
    assert shop.state.store.groups[1:] == []


@pytest.mark.parametrize("has_a_past", [True, False], ids=["an old record comes back", "no record is left"])
def test_undone_before_anybody_looks_again_the_workload_has_its_count_again(
    monkeypatch: pytest.MonkeyPatch,
    has_a_past: bool,
) -> None:
    """Without its record it would pass for one that was at zero before, and stay there."""

    async def scenario() -> Shop:
        shop = await (_with_a_past() if has_a_past else Shop.open())
        await shop.lab.edit(WEB)
        tick(shop.state)
        really = shop.cluster.apply

        async def apply(owner: Resource, action: Action) -> None:
            await really(owner, action)
            if isinstance(action, ScaleDown):
                await shop.lab.roll_back(WEB)

        monkeypatch.setattr(shop.cluster, "apply", apply)
        await shop.back_up(workloads=[WEB])
        await _worked(shop, lambda: shop.is_over(RUN))
        return shop

    shop = asyncio.run(scenario())

    run = shop.run()
    assert isinstance(run, Backup)
    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "WorkloadChanged")
    assert "deployment/web was robbed of its record by somebody" in run.status.message
    assert (_web(shop).replicas, _web(shop).record) == (3, None)
    assert shop.state.store.groups[int(has_a_past) :] == []


def test_with_no_operator_the_watchdog_starts_it_at_the_runs_deadline_with_the_runs_count() -> None:
    async def play(shop: Shop) -> None:
        await _held(shop)
        await shop.lab.roll_back(WEB)
        for at in range(DOWNTIME_SECONDS + SWEEP_SECONDS):
            if at % 10 == 0:
                assert await watch(shop)
            tick(shop.state)

    shop = played(play)

    assert _web(shop).replicas == 3
    assert shop.is_up()
    assert any("Backup b held it down beyond its deadline" in text for text in told(shop, "Released"))


def test_with_no_run_left_what_becalm_has_stopped_is_started_all_the_same() -> None:
    async def play(shop: Shop) -> None:
        await _held(shop)
        await shop.lab.roll_back(WEB)
        del shop.state.resources[RUN]
        assert await watch(shop)

    shop = played(play)

    assert _web(shop).replicas == 1, "nobody knows better: it is what the record says"
    assert _web(shop).record is None


async def _stopped_in_an_incident(shop: Shop) -> None:
    await shop.lab.scale(WEB, 0)
    await shop.lab.roll_back(WEB)
    assert _web(shop).record is not None


@pytest.mark.parametrize("forget", [True, False], ids=["the old run is gone", "it has ended"])
@pytest.mark.parametrize("who", [sweep, watch])
def test_what_a_person_has_stopped_and_undone_stays_at_zero(
    who: Callable[[Shop], Awaitable[bool]], forget: bool
) -> None:
    async def play(shop: Shop) -> None:
        await _stopped_in_an_incident(shop)
        assert await who(shop)

    shop = played(play, forget=forget)

    assert (_web(shop).replicas, _web(shop).record) == (0, None)
    (message,) = told(shop, "RecordPutBack")
    assert "freed deployment/web of an old record of Backup nightly-old" in message
    check_always(shop)


def test_uninstalling_leaves_it_at_zero_too() -> None:
    async def play(shop: Shop) -> None:
        await _stopped_in_an_incident(shop)
        assert await release_everything(shop.cluster, lambda _: None)

    shop = played(play)

    assert (_web(shop).replicas, _web(shop).record) == (0, None)


def test_the_next_run_finds_it_at_zero_and_leaves_it_there() -> None:
    async def play(shop: Shop) -> None:
        await _stopped_in_an_incident(shop)
        assert await sweep(shop)
        await shop.back_up(workloads=[WEB])
        await _worked(shop, lambda: shop.is_over(RUN))

    shop = played(play)

    run = shop.run()
    assert run is not None
    assert run.status.phase is Phase.SUCCEEDED
    assert shop.cluster.stops == []
    assert _web(shop).replicas == 0


@pytest.mark.parametrize("who", [sweep, watch])
def test_undone_while_it_is_up_it_loses_the_record_alone(who: Callable[[Shop], Awaitable[bool]]) -> None:
    async def play(shop: Shop) -> None:
        await shop.lab.roll_back(WEB)
        assert _web(shop).record is not None
        assert await who(shop)

    shop = played(play)

    assert (_web(shop).replicas, _web(shop).record) == (3, None)
    assert any("found deployment/web scaled to 3 by somebody" in text for text in told(shop, "Released"))


def test_undone_to_a_revision_of_the_same_stop_it_is_held_as_before() -> None:
    async def play(shop: Shop) -> None:
        await _held(shop)
        await shop.lab.edit(WEB)
        tick(shop.state)
        await shop.lab.roll_back(WEB)
        record = _web(shop).record
        assert record is not None
        assert record.by.name == "b"
        await _worked(shop, lambda: shop.is_over(RUN) and shop.is_up())

    assert _web(played(play)).replicas == 3
