"""How the fault matrix plays cases: what came late is played again. Lanes and faults are played, too."""

from dataclasses import dataclass, field
from typing import Any, cast

from e2e.faults.fault import Fault, Scene, Target
from e2e.faults.lane import Lane, Over
from e2e.faults.matrix import Cell
from e2e.faults.play import Play
from e2e.faults.shapes import Shape, shapes
from e2e.faults.verdict import Facts
from e2e.faults.watch import Seen

from becalm_operator.api.backup import Phase

GOOD = Facts(
    phase=Phase.SUCCEEDED,
    reason="",
    told=frozenset(),
    found=frozenset(),
    volumes=0,
    unlike=(),
    not_up=(),
    finalizers=(),
    working=(),
    orphans=(),
    down_seconds=1,
)


class _Thunder(Fault):
    title = "thunder"
    everywhere = True

    def __init__(self) -> None:
        self.struck: list[int] = []

    def strike(self, scene: Scene) -> bool:
        self.struck.append(len(scene.targets))
        return True


@dataclass
class _Lane:
    """A lane whose runs stand so when they are struck, one after the other."""

    shape: Shape
    stand: list[Phase]
    namespace: str = field(init=False)

    def __post_init__(self) -> None:
        self.namespace = self.shape.name

    def rest(self) -> None: ...

    def begin(self, name: str, fault: Fault, after_seconds: float) -> None: ...

    def target(self, name: str, _phase: Phase) -> Target:
        return Target(cast("Any", None), name, "1")

    def over(self, _target: Target) -> Over:
        return Over(None, (), 1)

    def judge(self, _target: Target, _over: Over) -> Facts:
        return GOOD


class _Watch:
    def __init__(self, lanes: list[_Lane]) -> None:
        self._stand = {lane.namespace: iter(lane.stand) for lane in lanes}

    def run(self, namespace: str, name: str) -> Seen:
        return Seen("1", name, phases=[next(self._stand[namespace])], came=[0.0])


def _played(stand: dict[int, list[Phase]]) -> tuple[_Thunder, list[Cell], list[Cell]]:
    lanes = [_Lane(shape, stand.get(number, [Phase.FINISHING])) for number, shape in enumerate(shapes())]
    thunder, told = _Thunder(), list[Cell]()
    play = Play(
        cast("Any", None), cast("Any", _Watch(lanes)), cast("tuple[Lane, ...]", tuple(lanes)), told.append
    )
    return thunder, play.in_turn([(thunder, Phase.FINISHING)]), told


def test_all_that_are_struck_in_time_are_struck_once() -> None:
    thunder, cells, told = _played({})

    assert thunder.struck == [4]
    assert len(cells) == len(told) == 4


def test_what_came_late_is_played_again_together_and_then_alone() -> None:
    late = [Phase.SUCCEEDED, Phase.SUCCEEDED, Phase.FINISHING]

    thunder, cells, told = _played({0: late, 1: late[1:], 3: late})

    assert thunder.struck == [4, 3, 1, 1]
    assert {cell.struck_in for cell in cells} == {cell.struck_in for cell in told} == {Phase.FINISHING}
    assert sorted(cell.place.shape for cell in cells) == sorted(cell.place.shape for cell in told)
    assert {cell.place.shape for cell in cells} == {shape.name for shape in shapes()}


def test_a_single_one_that_came_late_is_played_alone() -> None:
    thunder, cells, told = _played({2: [Phase.SUCCEEDED, Phase.FINISHING]})

    assert thunder.struck == [4, 1]
    assert len(cells) == len(told) == 4
