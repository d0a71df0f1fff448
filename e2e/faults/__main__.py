"""`python -m e2e.faults`: the fault matrix, or a part of it. docs/faults.md is made of what was played last."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence

from becalm_operator.api.backup import Phase
from e2e import toolchain
from e2e.faults.fault import Fault, Nothing, faults
from e2e.faults.matrix import PHASES, Cell
from e2e.faults.page import page
from e2e.faults.play import Play, playing
from e2e.faults.results import Results
from e2e.lab import lab
from e2e.paths import ROOT, places
from e2e.shell import say

_PAGE = ROOT / "docs" / "faults.md"
_LANES_OF_EACH = 2


def main() -> int:
    """Play what is asked for. Returns how many cases have shown a broken promise, 1 at most."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was opened is closed
    chosen = [one for one in faults() if type(one).__name__ in (arguments.fault or [type(one).__name__])]
    results = Results(places().cache / "faults.jsonl")
    if not arguments.fault and not arguments.phase:
        results.clear()
    toolchain.ensure()
    here = lab()
    here.cluster.up()
    here.install()
    began = time.monotonic()

    def tell(cell: Cell) -> None:
        print(f"   {cell.line}", flush=True)
        results.add(cell)
        _PAGE.write_text(page(results.cells(), [one.title for one in faults()]))

    with playing(here, lanes_of_each=arguments.lanes, tell=tell) as play:
        cells = _played(play, chosen, [Phase(one) for one in arguments.phase or PHASES])
    say(f"{len(cells)} cases in {time.monotonic() - began:.0f} s")
    return int(any(cell.broken for cell in cells))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m e2e.faults", description=__doc__)
    names = [type(one).__name__ for one in faults()]
    parser.add_argument("--fault", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument("--phase", action="append", choices=PHASES, help="only in this one; may be repeated")
    parser.add_argument("--lanes", type=int, default=_LANES_OF_EACH, help="namespaces for each shape")
    return parser


def _played(play: Play, chosen: Sequence[Fault], phases: Sequence[Phase]) -> list[Cell]:
    met, cells = play.undisturbed()
    asked = [phase for phase in met if phase in phases]
    # phase by phase: so that some wait for a fault to pass while others work
    cells += play.apart(
        [(fault, phase) for phase in asked for fault in chosen if not fault.everywhere and _is_one(fault)]
    )
    # here, too: clients of an API server that restarts again and again would wait ever longer to try again
    return cells + play.in_turn([(fault, phase) for phase in asked for fault in chosen if fault.everywhere])


def _is_one(fault: Fault) -> bool:
    return not isinstance(fault, Nothing)


if __name__ == "__main__":
    sys.exit(main())
