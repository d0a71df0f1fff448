"""A Restore that ends while its mover lives: whoever comes next on its claims reads nothing that still moves."""

import asyncio

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.cluster.port import Key
from tests.operator.fake.controllers import ENDING, tick
from tests.operator.fake.objects import Script
from tests.operator.fake.state import State
from tests.operator.simulation.invariants import check_always
from tests.operator.simulation.shop import DOWNTIME_SECONDS, RESTORED, RUN, Operator, Shop

_MOST_TICKS = 900
_GRACE_SECONDS = 20


async def follow(shop: Shop, operator: Operator, key: Key) -> None:
    for _ in range(_MOST_TICKS):
        await operator.work()
        check_always(shop)
        if shop.is_over(key):
            return
        tick(shop.state)
    raise AssertionError(f"{key} did not come to an end")


async def backed_up_after(script: Script, *, queued: bool = False, seconds: int = 0) -> tuple[Shop, Backup]:
    """Have a Restore run out of time, and a Backup that waits for its end, or comes so much later."""
    shop = await Shop.open()
    shop.script("restore", script)
    if queued:
        shop.state.rivals.append(end_slowly)
    await shop.restore()
    operator = Operator(shop.state, shop.cluster)
    if queued:
        tick(shop.state)
        await shop.back_up()
    await follow(shop, operator, RESTORED)
    for _ in range(seconds):
        await operator.work()
        tick(shop.state)
    if not queued:
        await shop.back_up()
    await follow(shop, operator, RUN)
    found = shop.run()
    assert isinstance(found, Backup)
    return shop, found


def test_nothing_is_read_beside_a_mover_that_does_not_end() -> None:
    shop, made = asyncio.run(backed_up_after(Script(hangs=True, frozen=True), seconds=60))

    assert (made.status.phase, made.status.reason) == (Phase.FAILED, "ClaimInUse")
    assert not any(state.stopped_at for state in made.status.workloads)
    assert shop.state.store.groups == []


def end_slowly(state: State) -> None:
    """Let a mover that is told to end take all the time that it has for it."""
    for job in state.jobs.values():
        if job.role == "restore" and job.deleting is not None and job.age < DOWNTIME_SECONDS + _GRACE_SECONDS:
            job.deleting = ENDING


def test_who_waits_for_a_restore_waits_for_the_end_of_its_movers_too() -> None:
    shop, made = asyncio.run(backed_up_after(Script(hangs=True), queued=True))

    restored = shop.run(RESTORED)
    assert restored is not None
    assert restored.status.phase is Phase.FAILED
    assert made.status.phase is Phase.SUCCEEDED, made.status.message
