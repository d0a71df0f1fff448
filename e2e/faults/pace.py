"""When runs come to each phase, so that runs of several shapes can be there at the same moment. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field

from becalm_operator.api.backup import Phase
from e2e.faults.matrix import PHASES


@dataclass(slots=True)
class Pace:
    """How many seconds after its beginning a run of each shape comes to each phase, by what was seen last."""

    _seconds: dict[str, dict[Phase, float]] = field(default_factory=dict)

    def note(self, shape: str, phase: Phase, seconds: float) -> None:
        """Take when a run came to a phase. What comes later is moved with it: the first run of all takes longest."""
        known = self._seconds.setdefault(shape, {})
        moved = seconds - known.get(phase, seconds)
        for later in PHASES[PHASES.index(phase) + 1 :]:
            if later in known:
                known[later] += moved
        known[phase] = seconds

    def head_start(self, shape: str, shapes: Collection[str], phase: Phase) -> float:
        """Return the seconds that a run begins later than the slowest, so that all come to a phase together."""
        took = {other: self._seconds.get(other, {}).get(phase, 0.0) for other in shapes}
        return max(took.values()) - took[shape]
