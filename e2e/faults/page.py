"""docs/faults.md: the matrix for people. Pure."""

from collections.abc import Sequence

from becalm_operator.api.backup import Phase
from e2e.faults.fault import Nothing
from e2e.faults.matrix import PHASES, Cell

_HEAD = """# The fault matrix

Written by `make faults`, which plays all of it on a real cluster; do not change it by hand. What was left out when it
was played last says so. Parts may have been played alone, before or after others: a cell tells of becalm as it was
then, and of how busy the machine was.

A Backup runs while its workloads write entries into pairs of files. As soon as it is seen in a phase, a fault strikes.
The table says how the Backup ended, and how long its workloads were not all up, as seen from outside, to 5 seconds. A
pod takes 2 seconds to start and 2 to end. An operator that is away stays away until the run's maxDowntime is over; if
nothing is down, for some seconds, since no maxDowntime runs then. In *every* case, also in one where the Backup failed:

- all workloads came up with the count that they had, and no record was left on them;
- no finalizer, no Job, no VolumeSnapshot and no claim of the run was left;
- a Backup that says Succeeded has exactly the snapshots that its status names. The real restic restored them: no pair
  of files disagreed, and the volumes of a group ended with the same entry;
- a Backup that says Failed left no snapshot, and gives its reason. One that was deleted left none, or all of its group;
- the real restic found no fault in the repository afterwards (`restic check --read-data`).

`-`: there was nothing of the kind to be struck. In brackets: the phase that the run had reached when it was struck.
"""


def page(cells: Sequence[Cell], faults: Sequence[str]) -> str:
    """Return the page. `faults` are the titles of all that there are."""
    played = sorted({cell.place.fault for cell in cells})
    # what befalls nothing is told once; all others in every phase in which any has struck
    phases = [phase for phase in PHASES if any(cell.place.phase is phase for cell in cells)]
    missing = [f"- {title}" for title in sorted(set(faults) - set(played))]
    return "\n".join(
        [
            _HEAD,
            *(_section(title, [c for c in cells if c.place.fault == title], phases) for title in played),
            *(["## Not played\n", *missing, ""] if missing else []),
        ]
    )


def _section(title: str, cells: Sequence[Cell], phases: Sequence[Phase]) -> str:
    columns = [Phase.PENDING] if title == Nothing.title else phases
    lines = [
        f"## {title[0].upper()}{title[1:]}\n",
        f"| | {' | '.join(columns)} |",
        f"|---{'|---' * len(columns)}|",
    ]
    for shape in sorted({cell.place.shape for cell in cells}):
        texts = {cell.place.phase: cell.text for cell in cells if cell.place.shape == shape}
        lines.append(f"| {shape} | {' | '.join(texts.get(phase, 'not played') for phase in columns)} |")
    return "\n".join(lines) + "\n"
