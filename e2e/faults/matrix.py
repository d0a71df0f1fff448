"""Which fault strikes which shape in which phase, and what came of it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from becalm_operator.api.backup import Phase

PHASES: list[Phase] = [phase for phase in Phase if not phase.finished and phase is not Phase.RESTORING]
"""Those that a Backup can be in, in order. One that no undisturbed run comes to is left out of the table."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the matrix: the titles of a fault and a shape, and the phase."""

    fault: str
    shape: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of one case."""

    place: Place
    struck_in: Phase | None
    """Where the run stood when it was struck; None if there was nothing to strike at."""
    outcome: str
    down_seconds: float
    broken: tuple[str, ...] = ()

    @property
    def came_late(self) -> bool:
        """Whether the run was over when it was struck."""
        return self.struck_in is not None and self.struck_in.finished

    @property
    def text(self) -> str:
        """What stands in the table."""
        if self.struck_in is None:
            return "-"
        later = f" (struck in {self.struck_in})" if self.struck_in is not self.place.phase else ""
        broken = f" **broken: {'; '.join(self.broken)}**" if self.broken else ""
        return f"{self.outcome}, {_rounded(self.down_seconds)}{later}{broken}"

    @property
    def line(self) -> str:
        """The same with its place."""
        return f"{self.place.fault} · {self.place.shape} · {self.place.phase}: {self.text}"


def _rounded(seconds: float) -> str:
    """Return about how long; who is down for how many tenths of a second is this machine's affair."""
    return f"{5 * round(seconds / 5)} s" if seconds >= 2.5 else "0 s"


def phases_to_strike(lived_through: Iterable[Sequence[Phase]]) -> list[Phase]:
    """Return the phases that undisturbed runs came to."""
    met = {phase for phases in lived_through for phase in phases}
    return [phase for phase in PHASES if phase in met]
