"""The fault matrix, shortened: the moments at which most is at stake. `make faults` plays all of it."""

from collections.abc import Iterator

import pytest

from becalm_operator.api.backup import Phase
from e2e.faults.fault import ApiServerRestarted, BackupDeleted, Fault, MoverKilled, OperatorKilled, StoreCut
from e2e.faults.matrix import Cell
from e2e.faults.play import Play, playing
from e2e.faults.shapes import shapes
from e2e.lab import Lab

pytestmark = pytest.mark.cluster
_ONE_BY_ONE = (MoverKilled, BackupDeleted, StoreCut)


@pytest.fixture(scope="module")
def play(lab: Lab) -> Iterator[Play]:
    """A namespace for each shape. The real restic looks at every byte of their repositories at the end."""
    with playing(lab, lanes_of_each=1) as opened:
        yield opened


def _assert_kept(cells: list[Cell]) -> None:
    assert [cell.line for cell in cells if cell.broken] == []
    assert [cell.line for cell in cells if cell.struck_in is None] == []


def test_runs_that_are_struck_one_by_one_keep_every_promise(play: Play) -> None:
    # a snapshot is made by no mover: the one that reads its copy comes later
    movers = [(MoverKilled(), Phase.CAPTURING), (MoverKilled(), Phase.UPLOADING)]
    cells = play.apart([*movers, (BackupDeleted(), Phase.DRAINING), (StoreCut(), Phase.CAPTURING)])

    assert [cell.line for cell in cells if cell.broken] == []
    struck = {(cell.place.fault, cell.place.shape) for cell in cells if cell.struck_in}
    assert struck == {(fault.title, one.name) for fault in _ONE_BY_ONE for one in shapes()}


@pytest.mark.alone
@pytest.mark.parametrize(
    ("fault", "phase"),
    [
        (OperatorKilled(), Phase.QUIESCING),
        (OperatorKilled(), Phase.CAPTURING),
        (OperatorKilled(), Phase.RESUMING),
        (ApiServerRestarted(), Phase.DRAINING),
    ],
    ids=lambda part: part if isinstance(part, Phase) else type(part).__name__,
)
def test_what_strikes_everything_at_once_breaks_no_promise(play: Play, fault: Fault, phase: Phase) -> None:
    cells = play.in_turn([(fault, phase)])

    assert len(cells) == len(shapes())
    _assert_kept(cells)
