"""Two operators at once: one stood still at a call, another has taken over, and then the first one's call goes out.

The Lease makes sure that the first does nothing else: it finds at its next look that it has lost it, and ends. What was
under way nobody can take back: it is guarded by resourceVersions, UIDs and names. A Job or a VolumeSnapshot for a run
that is over is not, and who has stood still for so long does not make it: that is `Lease.require`, and tested with it.
"""

import asyncio
import contextlib
import pickle
from collections.abc import Awaitable
from dataclasses import dataclass

import pytest

from becalm_operator.cluster.port import Cluster
from becalm_operator.errors import ClusterError
from tests.operator.fake.controllers import tick
from tests.operator.fake.wrapped import Call, T, Wrapped, only_reads
from tests.operator.simulation.invariants import check_always, check_end
from tests.operator.simulation.scenario import Scenario, begin, check_single_stops, follow
from tests.operator.simulation.shop import Operator, Shop
from tests.operator.simulation.test_crashes import SCENARIOS

_TO_THE_END = 400
_MAKES = ("apply ApplyJob", "apply ApplyHookJob", "apply MakeSnapshot")
_LATER_TICKS = 120
"""Long enough for the sweep to come by."""


@dataclass(frozen=True)
class Late:
    """A call at which an operator stands still, and the shop as it is before it."""

    moment: str
    name: str
    before: bytes
    call: Call[object]

    def find(self) -> Shop:
        """Return the shop, a new one each time."""
        shop: Shop = pickle.loads(self.before)
        return shop

    def come(self, shop: Shop) -> Awaitable[object]:
        """Do the call now."""
        return self.call(shop.cluster)


class Noting(Wrapped):
    """Notes each call that changes something before it is done."""

    def __init__(self, inner: Cluster, shop: Shop) -> None:
        super().__init__(inner)
        self._shop = shop
        self._calls = 0
        self.noted: list[Late] = []

    async def around(self, name: str, call: Call[T]) -> T:
        self._calls += 1
        if not (only_reads(name) or name.startswith("announce")):
            self.noted.append(Late(f"call {self._calls} ({name})", name, pickle.dumps(self._shop), call))
        return await call(self._inner)


async def noted_in(scenario: Scenario) -> list[Late]:
    """Return the calls that change something in a run that nobody disturbs."""
    shop = await begin(scenario)
    noting = Noting(shop.cluster, shop)
    await follow(shop, Operator(shop.state, noting), scenario.key)
    check_end(shop, scenario.key)
    return noting.noted


async def late_call(scenario: Scenario, late: Late, ticks: int) -> None:
    """Let an operator stand still at a call while another works for some ticks; then let the call go out."""
    shop = late.find()
    second = Operator(shop.state, shop.cluster)
    for _ in range(ticks):
        await second.work()
        check_always(shop)
        if shop.is_over(scenario.key) and shop.is_up():
            break
        tick(shop.state)
    with contextlib.suppress(ClusterError):
        await late.come(shop)
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
    for late in await noted_in(scenario):
        if ticks == _TO_THE_END and late.name in _MAKES:
            continue
        try:
            await late_call(scenario, late, ticks)
        except AssertionError as error:
            harm.append(f"{scenario}: {late.moment} came {ticks} s late: {error}")
    return "\n".join(harm)


@pytest.mark.slow
@pytest.mark.parametrize(
    "ticks", [1, 5, _TO_THE_END], ids=["a step late", "some steps late", "after the end"]
)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_late_call_of_an_operator_that_was_replaced_does_no_harm(scenario: Scenario, ticks: int) -> None:
    harm = asyncio.run(late_calls(scenario, ticks))

    assert not harm, harm
