"""Whatever happens, in any order: what becalm stops, starts again."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from becalm_operator.api.backup import Phase
from becalm_operator.cluster.port import Key
from becalm_operator.errors import ConflictError, RefusedError, UnavailableError
from becalm_operator.handlers.sweep import Sweep
from becalm_operator.manifests.jobs import ACCESS, COMMIT, MOVER, RESTORE
from tests.operator.fake import movers
from tests.operator.fake.controllers import tick
from tests.operator.fake.objects import Script
from tests.operator.fake.wrapped import Doubling
from tests.operator.simulation.invariants import check_always, check_end
from tests.operator.simulation.plays import Crash, Disturbance, Faults, Play, perform
from tests.operator.simulation.shop import (
    DOWNTIME_SECONDS,
    DRAIN_SECONDS,
    RESTORED,
    RUN,
    SWEEP_SECONDS,
    WEB,
    Operator,
    Shop,
)

_SCRIPTS = st.sampled_from(
    [
        movers.WELL,
        Script(ticks=1),
        Script(ticks=30),
        movers.HANGS,
        movers.EVICTED,
        movers.NO_REPORT,
        movers.CANNOT_START,
        movers.REFUSED,
        movers.UNREADABLE,
        movers.EMPTY_VOLUME,
        movers.WRONG_PASSWORD,
    ]
)
_ENDING_SCRIPTS = _SCRIPTS.filter(lambda script: not script.hangs)
"""Beside the volumes nothing holds a run to a time, so what hangs there hangs for good."""
_CRASHES = st.builds(
    Crash, at=st.integers(0, 40), after=st.booleans(), outage=st.sampled_from([0, 5, 30, 70, 150])
)
_FAULTS = st.builds(
    Faults,
    st.lists(
        st.tuples(st.sampled_from([ConflictError, RefusedError, UnavailableError]), st.booleans()),
        min_size=1,
        max_size=8,
    ).map(tuple),
)
_DEEDS: st.SearchStrategy[Disturbance] = st.sampled_from(
    ["scale up", "undo", "delete the run", "hold pods", "let pods go", "delete the repository"]
)
_INTERFERENCE: st.SearchStrategy[Disturbance] = st.sampled_from(["scale up", "undo"])
DISTURBANCES: st.SearchStrategy[Disturbance] = st.one_of(_CRASHES, _CRASHES, _FAULTS, _DEEDS)


def plays(key: Key, mover: str) -> st.SearchStrategy[Play]:
    scripts = st.fixed_dictionaries(
        {},
        optional={
            mover: _SCRIPTS,
            f"{mover}/uploads": _SCRIPTS,
            COMMIT: _ENDING_SCRIPTS,
            ACCESS: _ENDING_SCRIPTS,
        },
    )
    return st.builds(
        Play,
        key=st.just(key),
        scripts=scripts,
        disturbances=st.dictionaries(st.integers(0, 60), DISTURBANCES, max_size=6),
    )


def assert_all_is_well_at_the_end(play: Play) -> Shop:
    shop = asyncio.run(perform(play))
    check_end(shop, play.key)
    return shop


@pytest.mark.slow
@settings(max_examples=150)
@given(plays(RUN, MOVER))
def test_no_disturbance_of_a_backup_leaves_anything_down(play: Play) -> None:
    assert_all_is_well_at_the_end(play)


_SNAPSHOT_SCRIPTS = st.sampled_from(
    [movers.WELL, Script(ticks=1), Script(ticks=30), movers.HANGS, Script(stuck="the array is full")]
)


@pytest.mark.slow
@settings(max_examples=100)
@given(plays(RUN, MOVER), st.fixed_dictionaries({}, optional={"snapshot": _SNAPSHOT_SCRIPTS}))
def test_no_disturbance_of_a_backup_by_snapshots_leaves_anything_down(
    play: Play, scripts: dict[str, Script]
) -> None:
    # nothing is down while copies are read, so a mover may hang for good there, and wait for hours to start
    ending = {role: one for role, one in play.scripts.items() if not (one.hangs or one.stuck)}
    assert_all_is_well_at_the_end(replace(play, scripts={**ending, **scripts}, snapshots=True))


@pytest.mark.slow
@settings(max_examples=100)
@given(plays(RESTORED, RESTORE))
def test_no_disturbance_of_a_restore_leaves_anything_down(play: Play) -> None:
    assert_all_is_well_at_the_end(play)


@pytest.mark.slow
@given(st.integers(0, 60), st.sampled_from([RUN, RESTORED]))
def test_a_repository_that_is_deleted_at_any_moment_leaves_nothing_down(at: int, key: Key) -> None:
    shop = assert_all_is_well_at_the_end(Play(key, {}, {at: "delete the repository"}))

    run = shop.run(key)
    assert run is not None
    assert run.status.phase.finished


@pytest.mark.slow
@given(st.integers(0, 60), _INTERFERENCE)
def test_interference_at_any_moment_keeps_the_others_count(at: int, deed: Disturbance) -> None:
    shop = assert_all_is_well_at_the_end(Play(RUN, {}, {at: deed}))

    assert shop.state.workload("shop", WEB).replicas == (5 if deed == "scale up" else 3)


def test_every_action_may_be_done_twice() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.back_up()
        operator = Operator(shop.state, Doubling(shop.cluster))
        while not (shop.is_over(RUN) and shop.is_up()):
            await operator.work()
            check_always(shop)
            tick(shop.state)
        return shop

    shop = asyncio.run(play())

    check_end(shop)
    run = shop.run()
    assert run is not None
    assert run.status.phase is Phase.SUCCEEDED
    assert shop.cluster.stops == [(run.metadata.uid, "deployment/web"), (run.metadata.uid, "statefulset/db")]
    assert shop.cluster.starts == ["statefulset/db", "deployment/web"]


def test_pods_that_do_not_end_use_up_the_drain_timeout_and_no_more() -> None:
    shop = asyncio.run(perform(Play(RUN, {}, {0: "hold pods", 120: "let pods go"})))

    run = shop.run()
    assert run is not None
    assert run.status.reason == "DrainTimeout"
    released = [event for _, event in shop.state.events if event.reason == "Released"]
    assert released
    assert shop.cluster.starts == ["deployment/web"]
    check_end(shop)


def test_a_mover_whose_node_is_gone_does_not_keep_workloads_down() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.back_up()
        shop.script(MOVER, movers.FROZEN)
        operator = Operator(shop.state, shop.cluster)
        for _ in range(DOWNTIME_SECONDS + SWEEP_SECONDS):
            await operator.work()
            check_always(shop)
            tick(shop.state)
        return shop

    assert asyncio.run(play()).is_up()


def test_the_sweep_alone_starts_everything_beyond_the_deadline() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.back_up()
        shop.script(MOVER, movers.HANGS)
        operator = Operator(shop.state, shop.cluster)
        while len(shop.cluster.stops) < 2:
            await operator.work()
            tick(shop.state)
        sweep = Sweep(shop.cluster, lambda: shop.state.now)  # no run is looked at any more
        for _ in range(DOWNTIME_SECONDS + DRAIN_SECONDS):
            await sweep.once()
            check_always(shop)
            tick(shop.state)
        return shop

    shop = asyncio.run(play())

    assert shop.is_up()
    assert shop.cluster.starts == ["deployment/web", "statefulset/db"]


def test_workloads_come_back_without_any_run_once_their_holder_is_gone() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.back_up()
        shop.script(MOVER, movers.HANGS)
        operator = Operator(shop.state, shop.cluster)
        while len(shop.cluster.stops) < 2:
            await operator.work()
            tick(shop.state)
        del shop.state.resources[RUN]  # its finalizer was taken off by hand
        for _ in range(SWEEP_SECONDS + DRAIN_SECONDS):
            await operator.work()
            check_always(shop)
            tick(shop.state)
        return shop

    shop = asyncio.run(play())

    assert shop.is_up()
