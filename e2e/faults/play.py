"""Plays cases of the matrix: what strikes one run in many namespaces, what strikes all at once with one of each."""

import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from becalm_operator.api.backup import Phase
from e2e.faults import verdict
from e2e.faults.fault import Fault, Nothing, Scene, Target
from e2e.faults.lane import Lane, Over
from e2e.faults.matrix import PHASES, Cell, Place, phases_to_strike
from e2e.faults.pace import Pace
from e2e.faults.shapes import shapes
from e2e.faults.watch import Watch
from e2e.kubectl import NeverHappenedError
from e2e.lab import Lab
from e2e.paths import SetUpError

_MOST_SHOWN = 400
_TRIES = 4
Case = tuple[Fault, Phase]
_Judge = Callable[[], Cell]
"""What looks at a run that is over."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A case that is being judged."""

    lane: Lane
    fault: Fault
    phase: Phase
    cell: Future[Cell]


@dataclass(frozen=True, slots=True)
class Play:
    """A cluster, what watches it, and lanes for runs; of each shape as many."""

    lab: Lab
    watch: Watch
    lanes: tuple[Lane, ...]
    tell: Callable[[Cell], None]
    pace: Pace = field(default_factory=Pace)

    @property
    def _crews(self) -> list[list[Lane]]:
        """The lanes in groups of one of each shape."""
        by_shape: dict[str, list[Lane]] = {}
        for lane in self.lanes:
            by_shape.setdefault(lane.shape.name, []).append(lane)
        return [list(crew) for crew in zip(*by_shape.values(), strict=True)]

    @property
    def _one_of_each(self) -> list[Lane]:
        return self._crews[0]

    def undisturbed(self) -> tuple[list[Phase], list[Cell]]:
        """Let runs pass that nothing befalls. Returns the phases that they came to, and how they ended."""
        cells, lived_through = self.in_turn([(Nothing(), Phase.PENDING)]), []
        for lane in self._one_of_each:
            seen = self.watch.run(lane.namespace, _name(Nothing(), Phase.PENDING))
            assert seen is not None
            lived_through.append(seen.phases)
            for phase in PHASES:
                self.pace.note(lane.shape.name, phase, seen.seconds_to(phase))
        return phases_to_strike(lived_through), cells

    def apart(self, cases: Sequence[Case]) -> list[Cell]:
        """Play cases, each with each shape, in all lanes side by side."""
        waiting: dict[str, queue.SimpleQueue[Case]] = {}
        for lane in self._one_of_each:
            waiting[lane.shape.name] = queue.SimpleQueue()
            for case in cases:
                waiting[lane.shape.name].put(case)

        def work(lane: Lane) -> list[Cell]:
            cells = []
            for case in _all_of(waiting[lane.shape.name]):
                cells.append(self._alone(lane, *case))
                self.tell(cells[-1])
            return cells

        with ThreadPoolExecutor(len(self.lanes)) as pool:
            return [cell for cells in pool.map(work, self.lanes) for cell in cells]

    def in_turn(self, cases: Sequence[Case]) -> list[Cell]:
        """Play one case after the other, each with one run of each shape at once.

        While these are judged, the next begin in other lanes, if there are any. Those that were over before the
        others came to the phase are played again at the end.
        """
        crews, judging, cells = self._crews, list[list[_Judged]](), list[Cell]()
        with ThreadPoolExecutor(len(self.lanes)) as pool:
            for number, (fault, phase) in enumerate(cases):
                _await(judging if fault.deafens else judging[: max(0, number + 1 - len(crews))])
                crew = crews[number % len(crews)]
                lanes = [lane for lane in crew if lane.shape.comes_to(phase)]
                judges = zip(lanes, self._until_over(lanes, fault, phase), strict=True)
                judging.append(
                    [_Judged(lane, fault, phase, pool.submit(self._told, one)) for lane, one in judges]
                )
                cells += [_never(lane, fault, phase) for lane in crew if lane not in lanes]
        for cell in cells:
            self.tell(cell)
        return cells + [cell for ones in judging for cell in self._settled(ones)]

    def _told(self, judge: _Judge) -> Cell:
        cell = judge()
        if not cell.came_late:
            self.tell(cell)
        return cell

    def _settled(self, ones: Sequence[_Judged]) -> list[Cell]:
        """Return what came of one case; what was over before it was struck is played again."""
        late = [one for one in ones if one.cell.result().came_late]
        cells = [one.cell.result() for one in ones if one not in late]
        return cells + (self._again([one.lane for one in late], late[0].fault, late[0].phase) if late else [])

    def _again(self, lanes: Sequence[Lane], fault: Fault, phase: Phase) -> list[Cell]:
        """Play a case where it came late: with those alone, and if that does not help, each by itself."""
        if len(lanes) == 1:
            cell = self._alone(lanes[0], fault, phase)
            self.tell(cell)
            return [cell]
        judges = self._until_over(lanes, fault, phase)
        with ThreadPoolExecutor(len(lanes)) as pool:
            cells = list(pool.map(self._told, judges))
        late = [lane for lane, cell in zip(lanes, cells, strict=True) if cell.came_late]
        again = [cell for lane in late for cell in self._again([lane], fault, phase)]
        return [cell for cell in cells if not cell.came_late] + again

    def _alone(self, lane: Lane, fault: Fault, phase: Phase) -> Cell:
        """Play a case with one run; again if the fault came too late, for what it strikes may last no second."""
        if not lane.shape.comes_to(phase):
            return _never(lane, fault, phase)
        for _ in range(_TRIES):
            (judge,) = self._until_over([lane], fault, phase)
            cell = judge()
            if cell.struck_in is not None:
                break
        return cell

    def _until_over(self, lanes: Sequence[Lane], fault: Fault, phase: Phase) -> list[_Judge]:
        """Strike runs, and wait until all are over. Returns what judges each."""
        try:
            targets, stood = self._strike(lanes, fault, phase)
        except (NeverHappenedError, SetUpError) as error:
            return [partial(self._failed, lane, fault, phase, error) for lane in lanes]
        with ThreadPoolExecutor(len(lanes)) as pool:
            over = partial(self._over, fault, phase)
            return list(pool.map(over, lanes, targets, stood))

    def _strike(
        self, lanes: Sequence[Lane], fault: Fault, phase: Phase
    ) -> tuple[list[Target], list[Phase | None]]:
        name = _name(fault, phase)
        shapes = {lane.shape.name for lane in lanes}

        def begin(lane: Lane) -> None:
            lane.begin(name, fault, self.pace.head_start(lane.shape.name, shapes, phase))

        fault.prepare(self.lab)
        with ThreadPoolExecutor(len(lanes)) as pool:
            list(pool.map(lambda lane: lane.rest(), lanes))
            list(pool.map(begin, lanes))
        targets = [lane.target(name, phase) for lane in lanes]
        seen = [self.watch.run(lane.namespace, name) for lane in lanes]
        for lane, one in zip(lanes, seen, strict=True):
            if one is not None and len(lanes) > 1:  # beside strangers a run is slower
                self.pace.note(lane.shape.name, phase, one.seconds_to(phase))
        stood: list[Phase | None] = [
            one.phase if one and not isinstance(fault, Nothing) else phase for one in seen
        ]
        scene = Scene(self.lab, self.watch, targets, phase)
        try:
            struck = fault.strike(scene)
        finally:
            fault.heal(scene)
        return targets, stood if struck else [None] * len(lanes)

    def _over(self, fault: Fault, phase: Phase, lane: Lane, target: Target, stood: Phase | None) -> _Judge:
        """Wait until a run is over. Returns what judges it."""
        try:
            over = lane.over(target) if stood else None
        except (NeverHappenedError, SetUpError) as error:
            return partial(self._failed, lane, fault, phase, error)

        def judge() -> Cell:
            try:
                return _verdict(lane, target, Place(fault.title, lane.shape.name, phase), fault, stood, over)
            except (NeverHappenedError, SetUpError) as error:
                return self._failed(lane, fault, phase, error)

        return judge

    def _failed(self, lane: Lane, fault: Fault, phase: Phase, error: Exception) -> Cell:
        place = Place(fault.title, lane.shape.name, phase)
        return Cell(place, phase, "not played to its end", 0, (" ".join(str(error).split())[-_MOST_SHOWN:],))


@contextmanager
def playing(lab: Lab, *, lanes_of_each: int, tell: Callable[[Cell], None] = lambda _: None) -> Iterator[Play]:
    """Open the lanes, and close them afterwards.

    Raises:
        SetUpError: The real restic has found a fault in the repository of one.
    """
    with ExitStack() as stack:
        watch = stack.enter_context(Watch(lab.cluster.kubeconfig))
        many = [shape for _ in range(lanes_of_each) for shape in shapes()]
        lanes = tuple(Lane(lab, watch, shape, number) for number, shape in enumerate(many, 1))
        pool = stack.enter_context(ThreadPoolExecutor(len(lanes)))
        try:
            list(pool.map(Lane.open, lanes))
        except BaseException:
            list(pool.map(Lane.leave, lanes))
            raise
        try:
            yield Play(lab, watch, lanes, tell)
        finally:
            wrong = [said for said in pool.map(Lane.close, lanes) if said]
        if wrong:
            raise SetUpError("\n".join(wrong))


def _verdict(
    lane: Lane, target: Target, place: Place, fault: Fault, stood: Phase | None, over: Over | None
) -> Cell:
    if over is None:
        lane.discard(target)
        return Cell(place, None, "", 0)
    facts = lane.judge(target, over)
    broken = tuple(verdict.broken_promises(facts, fault.expected))
    return Cell(place, stood, verdict.outcome(facts), facts.down_seconds, broken)


def _await(judging: Sequence[Sequence[_Judged]]) -> None:
    wait(one.cell for ones in judging for one in ones)


def _never(lane: Lane, fault: Fault, phase: Phase) -> Cell:
    return Cell(Place(fault.title, lane.shape.name, phase), None, "", 0)


def _name(fault: Fault, phase: Phase) -> str:
    return f"{type(fault).__name__}-{phase}".lower()


def _all_of(waiting: "queue.SimpleQueue[Case]") -> Iterator[Case]:
    while True:
        try:
            yield waiting.get_nowait()
        except queue.Empty:
            return
