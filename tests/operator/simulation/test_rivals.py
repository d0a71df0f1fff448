"""Two operators at once: one stood still at a call, another has taken over, and then the first one's call goes out.

The Lease makes sure that the first does nothing else: it finds at its next look that it has lost it, and ends. What was
under way nobody can take back: it is guarded by resourceVersions, UIDs and names. A Job or a VolumeSnapshot for a run
that is over is not, and who has stood still for so long does not make it: that is `Lease.require`, and tested with it.
"""

import asyncio

import pytest

from tests.operator.fake.controllers import tick
from tests.operator.fake.wrapped import OperatorDiedError, Stalling, only_reads
from tests.operator.simulation.invariants import check_always, check_end
from tests.operator.simulation.scenario import Scenario, begin, calls_of, check_single_stops, follow
from tests.operator.simulation.shop import Operator
from tests.operator.simulation.test_crashes import SCENARIOS

_TO_THE_END = 400
_MAKES = ("apply ApplyJob", "apply ApplyHookJob", "apply MakeSnapshot")
_LATER_TICKS = 120
"""Long enough for the sweep to come by."""


async def late_call(scenario: Scenario, at: int, ticks: int) -> None:
    """Let an operator stand still at a call while another works for some ticks; then let the call go out."""
    shop = await begin(scenario)
    stalling = Stalling(shop.cluster, at)
    first = asyncio.create_task(follow(shop, Operator(shop.state, stalling), scenario.key))
    await asyncio.wait(
        [first, asyncio.create_task(stalling.stalled.wait())], return_when=asyncio.FIRST_COMPLETED
    )
    assert stalling.stalled.is_set(), "nobody stood still"
    second = Operator(shop.state, shop.cluster)
    for _ in range(ticks):
        await second.work()
        check_always(shop)
        if shop.is_over(scenario.key) and shop.is_up():
            break
        tick(shop.state)
    stalling.resumed.set()
    with pytest.raises(OperatorDiedError):
        await first
    check_always(shop)
    await follow(shop, second, scenario.key)
    for _ in range(_LATER_TICKS):
        tick(shop.state)
        await second.work()
    check_end(shop, scenario.key)
    check_single_stops(shop)
    working = [job.name for job in shop.state.jobs.values() if job.phase in ("pending", "running")]
    assert not working, f"Jobs of a run that is over are still at work: {working}"


async def late_calls(scenario: Scenario, ticks: int) -> str:
    harm = []
    for at, call in enumerate(await calls_of(scenario)):
        if only_reads(call) or call.startswith("announce") or (ticks == _TO_THE_END and call in _MAKES):
            continue
        try:
            await late_call(scenario, at, ticks)
        except AssertionError as error:
            harm.append(f"{scenario}: call {at} ({call}) came {ticks} s late: {error}")
    return "\n".join(harm)


@pytest.mark.slow
@pytest.mark.parametrize(
    "ticks", [1, 5, _TO_THE_END], ids=["a step late", "some steps late", "after the end"]
)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_late_call_of_an_operator_that_was_replaced_does_no_harm(scenario: Scenario, ticks: int) -> None:
    harm = asyncio.run(late_calls(scenario, ticks))

    assert not harm, harm
