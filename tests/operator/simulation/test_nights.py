"""What goes wrong at night: each has one outcome, and nothing stays down."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_operator.api.backup import BackupStatus, Phase
from becalm_operator.cluster.port import Key
from becalm_operator.errors import RefusedError
from tests.operator.fake.controllers import tick
from tests.operator.fake.lab import SHOP
from tests.operator.fake.movers import NO_OWNERS
from tests.operator.fake.objects import Script
from tests.operator.fake.wrapped import Call, T, Wrapped
from tests.operator.simulation.invariants import check_always, check_end
from tests.operator.simulation.shop import RESTORED, RUN, WEB, Operator, Shop

_MOST_TICKS = 500
_CANNOT_START = [
    'FailedCreate: pods "x" is forbidden: exceeded quota: shop, requested: memory=256Mi, used: 1Gi, limited: 1Gi',
    "Unschedulable: 0/3 nodes are available: 3 Insufficient memory.",
    "ImagePullBackOff: Back-off pulling image registry.example.org/becalm:0.1.0",
]


async def _begun(key: Key, ticks: int) -> tuple[Shop, Operator]:
    """Return a shop in which a run has gone on for some ticks."""
    shop = await Shop.open()
    await (shop.back_up() if key == RUN else shop.restore())
    operator = Operator(shop.state, shop.cluster)
    for _ in range(ticks):
        await operator.work()
        tick(shop.state)
    return shop, operator


async def _ended(shop: Shop, operator: Operator, key: Key = RUN) -> None:
    for _ in range(_MOST_TICKS):
        await operator.work()
        check_always(shop)
        if shop.is_over(key) and shop.is_up():
            return
        tick(shop.state)
    check_end(shop, key)
    raise AssertionError("the workloads did not become Ready")


@pytest.mark.slow
@given(st.integers(0, 40), st.sampled_from([RUN, RESTORED]))
def test_a_namespace_that_is_deleted_at_any_moment_does_not_hang_on_us(ticks: int, key: Key) -> None:
    async def play() -> Shop:
        shop, operator = await _begun(key, ticks)
        await shop.lab.delete_namespace()
        for _ in range(60):
            await operator.work()
            tick(shop.state)
        return shop

    shop = asyncio.run(play())

    assert shop.state.resources == {}, "a finalizer keeps the namespace"
    assert shop.state.jobs == {}
    assert shop.state.workloads == {}


def _told_before_anything_stops(job: str, why: str) -> Shop:
    """Play a night in which a Job cannot start, see that nothing was stopped for it, and return the shop."""

    async def play() -> Shop:
        shop = await Shop.open()
        shop.script(job, Script(stuck=why))
        await shop.back_up()
        await _ended(shop, Operator(shop.state, shop.cluster))
        return shop

    shop = asyncio.run(play())

    run = shop.run()
    assert run is not None
    assert (run.status.phase, run.status.reason) == (Phase.FAILED, "MoverNotStarted")
    assert why in run.status.message
    assert shop.cluster.stops == []
    return shop


@pytest.mark.parametrize("why", _CANNOT_START)
def test_what_cannot_start_is_told_before_anything_stops(why: str) -> None:
    _told_before_anything_stops("access", why)


@pytest.mark.parametrize("why", _CANNOT_START)
def test_a_mover_that_cannot_start_stops_nothing(why: str) -> None:
    shop = _told_before_anything_stops("mover/uploads", why)

    assert all(job.deleting is not None for job in shop.state.jobs.values() if job.role == "mover")


_NO_ROOM = (
    "Unschedulable: 0/3 nodes are available: 1 Insufficient memory, 2 node(s) didn't satisfy plugin(s)."
)


@pytest.mark.parametrize("claims", [["uploads"], ["uploads", "data-db-0"]])
def test_a_mover_that_has_room_only_when_all_is_down_comes_then(claims: list[str]) -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        for claim in claims:
            shop.script(f"mover/{claim}", Script(stuck=_NO_ROOM, crowded=True, memory=128 << 20))
        await shop.back_up()
        await _ended(shop, Operator(shop.state, shop.cluster))
        return shop

    shop = asyncio.run(play())

    run = shop.run()
    assert run is not None
    assert run.status.phase is Phase.SUCCEEDED, run.status.message
    assert isinstance(run.status, BackupStatus)
    told = {volume.claim: volume.not_pre_copied for volume in run.status.volumes if volume.not_pre_copied}
    assert told == dict.fromkeys(claims, f"its mover had no room on node-1 beside the workload: {_NO_ROOM}")


@pytest.mark.parametrize("why", _CANNOT_START)
def test_a_mover_that_cannot_start_when_all_is_down_uses_up_the_downtime_and_no_more(why: str) -> None:
    async def play() -> tuple[Shop, list[str]]:
        shop = await Shop.open()
        for claim in shop.state.claims.values():
            claim.one_pod = True  # no mover can be started before
        shop.script("mover", Script(stuck=why))
        await shop.back_up()
        operator, messages = Operator(shop.state, shop.cluster), list[str]()
        for _ in range(40):
            await operator.work()
            run = shop.run()
            messages.append(run.status.message if run else "")
            tick(shop.state)
        await _ended(shop, operator)
        return shop, messages

    shop, messages = asyncio.run(play())

    run = shop.run()
    assert run is not None
    assert why in messages, "while it waits, the status says for what"
    assert run.status.reason == "DowntimeExceeded"
    assert shop.state.store.groups == []


@pytest.mark.parametrize(("ticks", "reason"), [(10, ""), (60, "DrainTimeout")])
def test_pods_that_ignore_the_signal_are_waited_for_until_the_drain_timeout(ticks: int, reason: str) -> None:
    """A pod that ignores SIGTERM is gone when its grace period ends; one on a dead node never is."""

    async def play() -> Shop:
        shop = await Shop.open()
        shop.state.held_pods.add(str(WEB))
        await shop.back_up()
        operator = Operator(shop.state, shop.cluster)
        while not shop.cluster.stops:
            await operator.work()
            tick(shop.state)
        for _ in range(ticks):
            await operator.work()
            check_always(shop)
            tick(shop.state)
        shop.state.held_pods.clear()
        await _ended(shop, operator)
        return shop

    shop = asyncio.run(play())

    run = shop.run()
    assert run is not None
    assert run.status.reason == reason
    assert run.status.phase is (Phase.FAILED if reason else Phase.SUCCEEDED)
    if reason:
        assert "pods of deployment/web (web-" in run.status.message


def _in_the_middle_of_a_rollout(shop: Shop) -> Awaitable[object]:
    stored = shop.state.workload(SHOP, WEB)
    for pod in list(shop.state.pods.values())[:2]:
        pod.age = 0
    stored.ready = 1
    return shop.lab.edit(WEB)


def test_a_rolling_update_under_way_is_stopped_and_goes_on_afterwards() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await _in_the_middle_of_a_rollout(shop)
        await shop.back_up()
        await _ended(shop, Operator(shop.state, shop.cluster))
        return shop

    shop = asyncio.run(play())

    run = shop.run()
    assert run is not None
    assert run.status.phase is Phase.SUCCEEDED
    assert shop.state.workload(SHOP, WEB).ready == 3


@pytest.mark.parametrize(("ticks", "reason"), [(10, ""), (60, "SnapshotsUnavailable")])
def test_a_role_that_is_taken_away_while_all_is_down_lets_no_snapshot_be_made_too_early(
    ticks: int, reason: str
) -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.snap()
        operator = Operator(shop.state, shop.cluster)
        shop.state.no_attachments = "the operator must not list VolumeAttachments"
        while (run := shop.run()) and run.status.phase is not Phase.DRAINING:
            await operator.work()
            tick(shop.state)
        for _ in range(ticks):
            await operator.work()
            check_always(shop)
            tick(shop.state)
        shop.state.no_attachments = ""
        await _ended(shop, operator)
        return shop

    shop = asyncio.run(play())

    run = shop.run()
    assert run is not None
    assert run.status.reason == reason, run.status.message
    assert run.status.phase is (Phase.FAILED if reason else Phase.SUCCEEDED)
    check_end(shop)


def test_a_restore_that_could_not_set_owners_says_so() -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        shop.script("restore", NO_OWNERS)
        await shop.restore()
        await _ended(shop, Operator(shop.state, shop.cluster), RESTORED)
        return shop

    shop = asyncio.run(play())

    run = shop.run(RESTORED)
    assert run is not None
    assert run.status.phase is Phase.SUCCEEDED
    assert run.status.message == "14 files in 2 claims; but the owner could not be set on 6 files"
    assert "MetadataNotSet" in {event.reason for _, event in shop.state.events}


class _Webhook(Wrapped):
    """An admission webhook that refuses one kind of write for a while."""

    def __init__(self, shop: Shop, refused: str) -> None:
        super().__init__(shop.cluster)
        self.refused: str | None = refused

    async def around(self, name: str, call: Call[T]) -> T:
        if name == self.refused:
            raise RefusedError("admission webhook denied the request")
        return await call(self._inner)


@pytest.mark.parametrize("refused", ["apply ScaleDown", "apply ScaleUp", "release"])
def test_a_webhook_that_refuses_a_change_delays_and_loses_nothing(refused: str) -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        await shop.back_up()
        webhook = _Webhook(shop, refused)
        operator = Operator(shop.state, webhook)
        for _ in range(40):
            await operator.work()
            check_always(shop)
            tick(shop.state)
        webhook.refused = None
        await _ended(shop, operator)
        return shop

    check_end(asyncio.run(play()))


def _deeds() -> dict[str, Callable[[Shop], Awaitable[object]]]:
    return {
        "the repository is deleted": lambda shop: shop.lab.delete(
            shop.state.resources[Key("BackupRepository", SHOP, "main")]
        ),
        "the run is deleted": lambda shop: shop.lab.delete(shop.state.resources[RUN]),
    }


@pytest.mark.parametrize("deed", _deeds())
def test_what_is_deleted_while_all_is_down_starts_everything(deed: str) -> None:
    async def play() -> Shop:
        shop = await Shop.open()
        shop.script("mover", Script(ticks=30))
        await shop.back_up()
        operator = Operator(shop.state, shop.cluster)
        while len(shop.cluster.stops) < 2:
            await operator.work()
            tick(shop.state)
        await _deeds()[deed](shop)
        await _ended(shop, operator)
        return shop

    shop = asyncio.run(play())

    assert shop.is_up()
    assert shop.state.store.groups == []
