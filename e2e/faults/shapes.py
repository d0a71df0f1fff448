"""What a fault meets: a Deployment, a StatefulSet, a group of both, and CSI snapshots. Each phase lasts a while."""

from dataclasses import dataclass, replace

from becalm_operator.api.backup import Phase
from e2e import snapshots
from e2e.instant import ledger
from e2e.shop import Workload

_PACE = ledger.Pace(between_seconds=0.02, start_seconds=2, end_seconds=2)


@dataclass(frozen=True, slots=True)
class Shape:
    """Workloads that one Backup stops."""

    name: str
    stopped: tuple[Workload, ...]
    """In this order."""
    capture: str = "Direct"
    """How its volumes are captured."""

    def comes_to(self, phase: Phase) -> bool:
        """Say whether a run comes to a phase at all: copies are read after the start, if there are any."""
        return phase is not Phase.UPLOADING or self.capture == "Snapshot"

    @property
    def opened(self) -> tuple[Workload, ...]:
        """In this order they are made: the last one stopped is the one that the others need."""
        return self.stopped[::-1]


def shapes() -> list[Shape]:
    """Return all of them."""
    deployment = ledger.alone("Deployment", "web", 2, pace=_PACE)
    stateful_set = ledger.alone("StatefulSet", "db", pace=_PACE)
    return [
        Shape("Deployment", (deployment,)),
        Shape("StatefulSet", (stateful_set,)),
        Shape("group of both", (ledger.web(2, pace=_PACE), ledger.db(pace=_PACE))),
        Shape(
            "Deployment, by snapshot",
            (replace(deployment, storage_class=snapshots.STORAGE_CLASS),),
            "Snapshot",
        ),
    ]
