"""The operator dies at every single call to the API server, and another one goes on from there.

What another one finds is how the cluster stands, and nothing else. So the run is played once, and a copy of the cluster
is taken at each call at which it stands otherwise than at the one before: deaths between which nothing has changed are
one.
"""

import pickle
from dataclasses import dataclass

from becalm_operator.cluster.port import Cluster
from tests.operator.fake.controllers import tick
from tests.operator.fake.wrapped import Call, T, Wrapped, only_reads
from tests.operator.simulation.invariants import check_always, check_end
from tests.operator.simulation.scenario import Scenario, begin, check_single_stops, follow
from tests.operator.simulation.shop import Operator, Shop


@dataclass(frozen=True)
class Death:
    """A call at which the operator dies, and the shop that it leaves behind."""

    moment: str
    left: bytes

    def leave(self) -> Shop:
        """Return the shop, a new one each time."""
        shop: Shop = pickle.loads(self.left)
        return shop


class Mortal(Wrapped):
    """Notes the deaths that an operator could die: before each call, or after each one that writes."""

    def __init__(self, inner: Cluster, shop: Shop, *, after: bool, writes_only: bool) -> None:
        super().__init__(inner)
        self._shop = shop
        self._after = after
        self._writes_only = writes_only
        self._calls = 0
        self.deaths: list[Death] = []

    async def around(self, name: str, call: Call[T]) -> T:
        self._calls += 1
        moment = f"{'after' if self._after else 'before'} call {self._calls} ({name})"
        if not self._after:
            self._note(name, moment)
        answer = await call(self._inner)
        if self._after:
            self._note(name, moment)
        return answer

    def _note(self, name: str, moment: str) -> None:
        if self._writes_only and only_reads(name):
            return
        left = pickle.dumps(self._shop)
        if not self.deaths or left != self.deaths[-1].left:
            self.deaths.append(Death(moment, left))


async def deaths_of(scenario: Scenario, *, after: bool, writes_only: bool) -> list[Death]:
    """Return the deaths that an operator could die of which something else is left each time."""
    shop = await begin(scenario)
    mortal = Mortal(shop.cluster, shop, after=after, writes_only=writes_only)
    await follow(shop, Operator(shop.state, mortal), scenario.key)
    return mortal.deaths


async def survive(scenario: Scenario, shop: Shop, *, outage: int, may_fail: bool) -> None:
    """Let another operator go on some ticks after a death."""
    check_always(shop)
    for _ in range(outage):
        tick(shop.state)
    await follow(shop, Operator(shop.state, shop.cluster), scenario.key)
    check_end(shop, scenario.key)
    check_single_stops(shop)
    run = shop.run(scenario.key)
    late = run is not None and (run.status.reason == "DowntimeExceeded" or may_fail)
    assert run is None or late or run.status.phase is scenario.ends, run.status


async def crash_everywhere(
    scenario: Scenario, *, after: bool, outage: int, writes_only: bool, may_fail: bool = False
) -> str:
    """Return the calls at which a death does harm, a line each. `may_fail`: a death may be why the run fails."""
    harm = []
    for death in await deaths_of(scenario, after=after, writes_only=writes_only):
        try:
            await survive(scenario, death.leave(), outage=outage, may_fail=may_fail)
        except AssertionError as error:
            harm.append(f"{scenario}: died {death.moment}, out for {outage} s: {error}")
    return "\n".join(harm)
