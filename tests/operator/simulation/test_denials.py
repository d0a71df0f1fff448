"""What the API server denies a run beside its Jobs and its starts: told in its words, and nothing hangs on it."""

import asyncio

import pytest

from becalm_engine.contract import Problem, RestoreReport
from becalm_operator.api.backup import Backup, BackupQuiesce, BackupStatus, Phase
from becalm_operator.errors import RefusedError
from tests.operator.fake import movers
from tests.operator.fake.controllers import tick
from tests.operator.fake.objects import Script
from tests.operator.fake.wrapped import Call, T, Wrapped
from tests.operator.simulation.invariants import check_end
from tests.operator.simulation.plays import work
from tests.operator.simulation.shop import RESTORED, RUN, Operator, Shop

_QUOTA = 'volumesnapshots "x" is forbidden: exceeded quota: shop, used: 9, limited: 9'
_LONG = BackupQuiesce(drain_timeout="20s", max_downtime="30m")


class _Denying(Wrapped):
    """An API server that denies one kind of action."""

    def __init__(self, shop: Shop, denied: str) -> None:
        super().__init__(shop.cluster)
        self.denied = denied

    async def around(self, name: str, call: Call[T]) -> T:
        if name == f"apply {self.denied}":
            raise RefusedError(_QUOTA)
        return await call(self._inner)


async def _snap_long(shop: Shop) -> None:
    made = await shop.snap()
    spec = made.spec.model_copy(update={"quiesce": _LONG})
    shop.state.resources[RUN] = made.model_copy(update={"spec": spec})


def _status(shop: Shop) -> BackupStatus:
    run = shop.run()
    assert isinstance(run, Backup)
    return run.status


async def _until(shop: Shop, operator: Operator, phase: Phase) -> None:
    for _ in range(400):
        if _status(shop).phase is phase:
            return
        await work(shop, operator, 1)
    raise AssertionError(f"it stands at {_status(shop).phase}")


def test_snapshots_that_are_denied_keep_nothing_down_for_long_and_are_told() -> None:
    async def play() -> tuple[Shop, str, float]:
        shop = await Shop.open()
        await _snap_long(shop)
        operator = Operator(shop.state, _Denying(shop, "MakeSnapshot"))
        await _until(shop, operator, Phase.CAPTURING)
        began = shop.state.now
        await work(shop, operator, 10)
        seen = _status(shop).message
        await _until(shop, operator, Phase.FAILED)
        await work(shop, operator, 5)
        return shop, seen, (shop.state.now - began).total_seconds()

    shop, seen, seconds = asyncio.run(play())

    assert _QUOTA in seen
    assert (_status(shop).reason, _QUOTA in _status(shop).message) == ("SnapshotFailed", True)
    assert 300 < seconds < 340
    check_end(shop)


def test_a_denial_that_passes_is_overcome() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await _snap_long(shop)
        cluster = _Denying(shop, "MakeSnapshot")
        operator = Operator(shop.state, cluster)
        await _until(shop, operator, Phase.CAPTURING)
        await work(shop, operator, 60)
        cluster.denied = ""
        await _until(shop, operator, Phase.SUCCEEDED)
        await work(shop, operator, 5)
        return shop

    shop = asyncio.run(play())

    assert not any(volume.error for volume in _status(shop).volumes)
    check_end(shop)


def test_a_probe_that_is_denied_keeps_no_run_from_failing() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        shop.script("access", movers.WRONG_PASSWORD)
        await shop.back_up()
        operator = Operator(shop.state, _Denying(shop, "RequestProbe"))
        for _ in range(60):
            await operator.work()
            tick(shop.state)
        return shop

    status = _status(asyncio.run(play()))

    assert (status.phase, status.reason) == (Phase.FAILED, "WrongPassword")


@pytest.mark.parametrize("denied", ["OpenGate", "DeleteJob"])
def test_what_movers_are_denied_ends_with_the_downtime(denied: str) -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        shop.script("mover", movers.HANGS)
        await shop.back_up()
        operator = Operator(shop.state, _Denying(shop, denied))
        await _until(shop, operator, Phase.FAILED)
        await work(shop, operator, 5)
        return shop

    shop = asyncio.run(play())

    assert _status(shop).reason == "DowntimeExceeded"
    assert shop.is_up()
    assert shop.is_over(RUN)


def test_a_restore_of_a_snapshot_that_is_not_there_stops_nothing() -> None:
    missing = RestoreReport(exit_code=1, error=Problem("SnapshotMissing", "no snapshot has an id like that"))

    async def play() -> Shop:
        shop = await Shop.open()
        shop.script("preview", Script(exit_code=1, report=missing.to_json()))
        await shop.restore()
        operator = Operator(shop.state, shop.cluster)
        await work(shop, operator, 60)
        return shop

    shop = asyncio.run(play())

    run = shop.run(RESTORED)
    assert run is not None
    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "SnapshotNotFound")
    assert shop.cluster.stops == []
    check_end(shop, RESTORED)
