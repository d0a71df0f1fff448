"""What has been played, a line of JSON each: a run that takes half an hour may be broken off, and done in parts."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from becalm_operator.api.backup import Phase
from e2e.faults.matrix import Cell, Place


@dataclass(frozen=True, slots=True)
class Results:
    """The results in a file."""

    path: Path

    def clear(self) -> None:
        """Forget all of them."""
        self.path.unlink(missing_ok=True)

    def add(self, cell: Cell) -> None:
        """Keep one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(cell)) + "\n")

    def cells(self) -> list[Cell]:
        """Return the newest of each place."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return newest(_cell(json.loads(line)) for line in lines)


def newest(cells: Iterable[Cell]) -> list[Cell]:
    """Return of each place the last one."""
    return list({cell.place: cell for cell in cells}.values())


def _cell(fields: dict[str, Any]) -> Cell:
    place = Place(fields["place"]["fault"], fields["place"]["shape"], Phase(fields["place"]["phase"]))
    stood = Phase(fields["struck_in"]) if fields["struck_in"] else None
    return Cell(place, stood, fields["outcome"], fields["down_seconds"], tuple(fields["broken"]))
