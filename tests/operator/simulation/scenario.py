"""What is asked of an operator, and how it is followed to its end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from becalm_operator.api.backup import Phase
from becalm_operator.cluster.port import Key
from tests.operator.fake.controllers import tick
from tests.operator.fake.objects import Script
from tests.operator.fake.wrapped import Counting
from tests.operator.simulation.invariants import check_always, check_deadline, check_end, check_holders
from tests.operator.simulation.shop import Operator, Shop

_MOST_TICKS = 400


@dataclass(frozen=True)
class Scenario:
    """What is asked for, and how it ends when nobody dies."""

    name: str
    key: Key
    begin: Callable[[Shop], Awaitable[object]]
    scripts: dict[str, Script]
    ends: Phase
    stops: int = 2
    """How many workloads are up before, and so are stopped."""
    waits: bool = False
    """It looks again and again at the same: its reads are not worth a death each."""

    def __str__(self) -> str:
        return self.name


async def follow(shop: Shop, operator: Operator, key: Key) -> None:
    """Let the operator work until the run is over."""
    for _ in range(_MOST_TICKS):
        await operator.work()
        check_always(shop)
        check_holders(shop)
        check_deadline(shop, operator)
        if shop.is_over(key) and shop.is_up():
            return
        tick(shop.state)
    check_end(shop, key)
    raise AssertionError("the workloads did not become Ready")


async def begin(scenario: Scenario) -> Shop:
    shop = await Shop.open()
    await scenario.begin(shop)
    for role, script in scenario.scripts.items():
        shop.script(role, script)
    return shop


def check_single_stops(shop: Shop) -> None:
    stops = shop.cluster.stops
    assert len(stops) == len(set(stops)), f"a workload was stopped twice: {stops}"


async def calls_of(scenario: Scenario) -> list[str]:
    """Return all calls that a run makes when nobody dies."""
    shop = await begin(scenario)
    counting = Counting(shop.cluster)
    await follow(shop, Operator(shop.state, counting), scenario.key)
    check_end(shop, scenario.key)
    check_single_stops(shop)
    return counting.calls
