"""Hooks, while the operator dies at every call: none is begun twice, and whoever was locked is unlocked."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from becalm_operator.api.backup import Backup, BackupWorkload, Phase
from becalm_operator.api.hooks import Outcome, RunHooks
from tests.operator.fake import movers
from tests.operator.fake.controllers import tick
from tests.operator.fake.objects import Script
from tests.operator.simulation.deaths import crash_everywhere
from tests.operator.simulation.invariants import check_end
from tests.operator.simulation.plays import Disturbance, Play, perform
from tests.operator.simulation.scenario import Scenario, calls_of, follow
from tests.operator.simulation.shop import DB, IDLE, RUN, Operator, Shop
from tests.operator.simulation.test_disturbances import DISTURBANCES

_JOB = {"template": {"spec": {"containers": [{"name": "own", "image": "own:1"}]}}}
_AT_DB = {"kind": "StatefulSet", "name": "db"}
_OF_RUN = RunHooks.model_validate(
    {
        "before": [
            {"name": "lock", "exec": {"workload": _AT_DB, "command": ["lock"]}, "timeout": "20s"},
            {"name": "prepare", "job": _JOB, "timeout": "20s", "onError": "Continue"},
        ],
        "after": [
            {"name": "unlock", "exec": {"workload": _AT_DB, "command": ["unlock"]}, "timeout": "20s"},
            {"name": "tell", "http": {"url": "http://bell/"}, "timeout": "20s"},
        ],
    }
)
_WEB = BackupWorkload.model_validate(
    {
        "kind": "Deployment",
        "name": "web",
        "hooks": {
            "before": [{"name": "flush", "exec": {"command": ["flush"]}, "timeout": "20s"}],
            "after": [{"name": "warm", "job": _JOB, "timeout": "20s"}],
        },
    }
)
_ALL = ["before.lock", "before.prepare", "before.flush.0", "after.warm.0", "after.unlock", "after.tell"]
HOOK_SCRIPTS = st.sampled_from(
    [
        movers.WELL,
        Script(ticks=15),
        movers.HANGS,
        movers.FROZEN,
        movers.EVICTED,
        movers.CANNOT_START,
        movers.NO_REPORT,
    ]
)
_FAILS = Script(exit_code=3, report="no such table\x1b[2J")


async def a_backup(shop: Shop) -> None:
    await shop.back_up(workloads=(_WEB, DB, IDLE), hooks=_OF_RUN)


async def a_deleted_backup(shop: Shop) -> None:
    """Delete the Backup when the application was locked and nothing is stopped yet."""
    await a_backup(shop)
    operator = Operator(shop.state, shop.cluster)
    while not shop.state.hooks.begun:
        tick(shop.state)
        await operator.work()
    shop.state.delete(RUN)


def scenario(
    name: str,
    ends: Phase,
    scripts: dict[str, Script] | None = None,
    begin: Callable[[Shop], Awaitable[object]] = a_backup,
) -> Scenario:
    return Scenario(name, RUN, begin, scripts or {}, ends)


async def ended(scripts: dict[str, Script]) -> tuple[Shop, Backup]:
    """Return a shop where a Backup with hooks has ended, with nobody dying."""
    shop = await Shop.open()
    await a_backup(shop)
    for role, script in scripts.items():
        shop.script(role, script)
    await follow(shop, Operator(shop.state, shop.cluster), RUN)
    check_end(shop)
    run = shop.run()
    assert isinstance(run, Backup)
    return shop, run


def begun(shop: Shop) -> list[str]:
    return [part for _, part in shop.state.hooks.begun]


def test_all_hooks_are_done_once_and_in_order() -> None:
    shop, run = asyncio.run(ended({}))

    assert begun(shop) == _ALL
    assert run.status.phase is Phase.SUCCEEDED
    assert {hook.outcome for hook in run.status.hooks} == {Outcome.SUCCEEDED}


def test_a_failing_before_hook_stops_nothing_and_the_application_is_unlocked() -> None:
    shop, run = asyncio.run(ended({"hook/before.lock": _FAILS}))

    assert shop.cluster.stops == []
    assert begun(shop) == ["before.lock", "after.unlock", "after.tell"]
    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "HookFailed")
    assert run.status.message == (
        "before-hook lock: the command in pod db-0 ended with exit code 3: no such table\\x1b[2J"
    )


def test_a_failing_before_hook_of_a_workload_leaves_it_up() -> None:
    shop, run = asyncio.run(ended({"hook/before.flush.0": _FAILS}))

    assert shop.cluster.stops == []
    assert set(begun(shop)) == set(_ALL)
    assert run.status.reason == "HookFailed"


def test_movers_on_a_dead_node_keep_no_application_locked() -> None:
    shop, run = asyncio.run(ended({"mover": movers.FROZEN, "hook/before.flush.0": _FAILS}))

    assert shop.cluster.stops == []
    assert set(begun(shop)) == set(_ALL)
    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "HookFailed")
    unlocked = next(hook.started_at for hook in run.status.hooks if hook.name == "unlock")
    assert run.status.resumed_at is not None
    assert unlocked - run.status.resumed_at <= timedelta(seconds=65)


def test_after_hooks_of_the_run_wait_until_its_movers_have_let_go() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await a_backup(shop)
        shop.script("hook/before.flush.0", _FAILS)
        operator = Operator(shop.state, shop.cluster)
        while "after.unlock" not in begun(shop):
            await operator.work()
            tick(shop.state)
        return shop

    shop = asyncio.run(play())

    assert not [job for job in shop.state.jobs.values() if job.role == "mover" and job.has_pod]


@pytest.mark.parametrize(
    "script", [_FAILS, movers.HANGS, movers.CANNOT_START], ids=["fails", "hangs", "stuck"]
)
def test_a_before_hook_that_may_fail_keeps_nothing(script: Script) -> None:
    shop, run = asyncio.run(ended({"hook/before.prepare": script}))

    assert run.status.phase is Phase.SUCCEEDED
    assert begun(shop) == _ALL


@pytest.mark.parametrize("part", ["after.warm.0", "after.unlock", "after.tell"])
@pytest.mark.parametrize("script", [_FAILS, movers.HANGS], ids=["fails", "hangs"])
def test_an_after_hook_that_fails_is_told_and_the_backup_is_good(part: str, script: Script) -> None:
    shop, run = asyncio.run(ended({f"hook/{part}": script}))

    assert run.status.phase is Phase.SUCCEEDED
    assert "added; but after-hook " in run.status.message
    assert "HookFailed" in {event.reason for _, event in shop.state.events}


def test_after_hooks_are_done_after_a_failed_run_too() -> None:
    shop, run = asyncio.run(ended({"mover": movers.EVICTED}))

    assert run.status.phase is Phase.FAILED
    assert begun(shop) == _ALL


def test_a_hook_that_hangs_does_not_lengthen_the_downtime() -> None:
    _, calm = asyncio.run(ended({}))
    _, hanging = asyncio.run(ended({"hook/after.warm.0": movers.HANGS, "hook/after.unlock": movers.HANGS}))

    assert hanging.status.downtime_seconds == calm.status.downtime_seconds


SCENARIOS = [
    scenario("hooks", Phase.SUCCEEDED),
    scenario("a failing before-hook", Phase.FAILED, {"hook/before.lock": _FAILS}),
    scenario("failing movers", Phase.FAILED, {"mover": movers.EVICTED}),
    scenario(
        "frozen movers, and a failing before-hook",
        Phase.FAILED,
        {"mover": movers.FROZEN, "hook/before.flush.0": _FAILS},
    ),
    scenario("a deleted backup", Phase.FAILED, begin=a_deleted_backup),
]


def crash_at_all_calls(one: Scenario, *, after: bool, outage: int) -> str:
    """Return where a death does harm. A lost command is a failure of its run, so all may end in one."""
    return asyncio.run(crash_everywhere(one, after=after, outage=outage, writes_only=after, may_fail=True))


@pytest.mark.slow
@pytest.mark.parametrize("one", SCENARIOS, ids=str)
def test_a_death_before_any_call_repeats_no_hook_and_owes_none(one: Scenario) -> None:
    harm = crash_at_all_calls(one, after=False, outage=0)

    assert not harm, harm


@pytest.mark.slow
@pytest.mark.parametrize("outage", [15, 90], ids=["back in time", "back after the deadline"])
@pytest.mark.parametrize("one", SCENARIOS, ids=str)
def test_a_death_after_any_write_repeats_no_hook_and_owes_none(one: Scenario, outage: int) -> None:
    harm = crash_at_all_calls(one, after=True, outage=outage)

    assert not harm, harm


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from([f"hook/{part}" for part in _ALL] + ["mover"]), HOOK_SCRIPTS, max_size=3),
    st.dictionaries(st.integers(0, 60), DISTURBANCES, max_size=5),
)
def test_no_disturbance_repeats_a_hook_or_owes_one(
    scripts: dict[str, Script], disturbances: dict[int, Disturbance]
) -> None:
    shop = asyncio.run(perform(Play(RUN, scripts, disturbances, begin=a_backup)))

    check_end(shop)


def test_what_is_locked_is_unlocked_before_a_deleted_backup_goes() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await a_deleted_backup(shop)
        await follow(shop, Operator(shop.state, shop.cluster), RUN)
        return shop

    shop = asyncio.run(play())

    assert shop.run() is None
    assert {"before.lock", "after.unlock", "after.tell"} <= set(begun(shop))


@given(st.sampled_from(_ALL), st.sampled_from([_FAILS, movers.HANGS, movers.EVICTED, movers.CANNOT_START]))
def test_however_one_hook_fares_all_is_up_in_the_end(part: str, script: Script) -> None:
    asyncio.run(ended({f"hook/{part}": script}))


def test_hooks_cost_a_run_no_call_that_reads_more() -> None:
    calls = asyncio.run(calls_of(SCENARIOS[0]))

    assert calls.count("apply RunCommand") == 3
    assert calls.count("apply ApplyHookJob") == 3
