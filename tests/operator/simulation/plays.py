"""Plays: a run in a shop, and what goes wrong meanwhile."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from becalm_operator.cluster.port import Key
from becalm_operator.errors import ClusterError
from tests.operator.fake.controllers import tick
from tests.operator.fake.lab import SHOP
from tests.operator.fake.objects import Script
from tests.operator.fake.wrapped import Dying, Failing, OperatorDiedError
from tests.operator.simulation.invariants import check_always, check_deadline, check_holders
from tests.operator.simulation.shop import DB, RUN, WEB, Operator, Shop

_MOST_TICKS = 700
"""Longer than a mover may take to start."""


async def work(shop: Shop, operator: Operator, ticks: int) -> None:
    """Let an operator work for so many ticks, and look after each."""
    for _ in range(ticks):
        await operator.work()
        check_always(shop)
        tick(shop.state)


@dataclass(frozen=True)
class Crash:
    """The operator dies at one of its next calls, and another one begins after a while."""

    at: int
    after: bool
    outage: int


@dataclass(frozen=True)
class Faults:
    """The API server refuses the next calls; some have taken effect all the same."""

    kinds: tuple[tuple[type[ClusterError], bool], ...]


Deed = Literal["scale up", "undo", "delete the run", "hold pods", "let pods go", "delete the repository"]
Disturbance = Crash | Faults | Deed


@dataclass(frozen=True)
class Play:
    """What is run, how movers fare, and what happens at which tick."""

    key: Key
    scripts: dict[str, Script]
    disturbances: dict[int, Disturbance]
    snapshots: bool = False
    """The run is a Backup with `capture: Snapshot`."""
    begin: Callable[[Shop], Awaitable[object]] | None = None
    """Asks for the run; None for the usual one."""


class Crew:
    """The operators of a shop, one after the other."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._failing = Failing(shop.cluster)
        self._back_at = shop.state.now
        self._outage = 0
        self.operator: Operator | None = Operator(shop.state, self._failing)

    async def work(self) -> None:
        """Let the operator work for a tick, if there is one."""
        if self.operator is None and self._shop.state.now >= self._back_at:
            self.operator = Operator(self._shop.state, self._failing)
        if self.operator is None:
            return
        try:
            await self.operator.work()
        except OperatorDiedError:
            self.operator = None
            self._back_at = self._shop.state.now + timedelta(seconds=self._outage)

    def doom(self, crash: Crash) -> None:
        """Replace the operator by one that is going to die."""
        self._outage = crash.outage
        self.operator = Operator(self._shop.state, Dying(self._failing, crash.at, after=crash.after))

    def refuse(self, faults: Faults) -> None:
        """Let the next calls fail."""
        self._failing.failures = list(faults.kinds)


async def perform(play: Play) -> Shop:
    """Play it, and see at each tick that all is well; after the last disturbance, until all is over."""
    shop = await Shop.open()
    if play.snapshots:
        await shop.snap()
    elif play.begin is not None:
        await play.begin(shop)
    else:
        await (shop.back_up() if play.key == RUN else shop.restore())
    for role, script in play.scripts.items():
        shop.script(role, script)
    crew = Crew(shop)
    last = max(play.disturbances, default=0)
    for at in range(last + _MOST_TICKS):
        if at in play.disturbances:
            await _disturb(shop, crew, play.disturbances[at], play.key)
        if at > last:
            shop.state.held_pods.clear()
        await crew.work()
        check_always(shop)
        check_holders(shop)
        check_deadline(shop, crew.operator)
        if at > last and shop.is_over(play.key) and shop.is_up():
            break
        tick(shop.state)
    return shop


async def _disturb(shop: Shop, crew: Crew, disturbance: Disturbance, key: Key) -> None:
    """Do what is to happen now. People do things to the front end: it is what they look at."""
    match disturbance:
        case Crash():
            crew.doom(disturbance)
        case Faults():
            crew.refuse(disturbance)
        case "scale up":
            await shop.lab.scale(WEB, 5)
        case "undo":
            await shop.lab.undo(WEB)
        case "delete the run":
            if key in shop.state.resources:
                shop.state.delete(key)
        case "hold pods":
            shop.state.held_pods |= {str(WEB), str(DB)}
        case "let pods go":
            shop.state.held_pods.clear()
        case "delete the repository":
            shop.state.resources.pop(Key("BackupRepository", SHOP, "main"), None)
