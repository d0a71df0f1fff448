"""Many workloads in a few namespaces, and schedules that back up two of them each, every minute."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from e2e.instant import ledger
from e2e.lab import Lab
from e2e.objects import Document
from e2e.shop import API, Shop, Workload

_NAMESPACES = 4
_PAIRS = 5
_PACE = ledger.Pace(between_seconds=0.5)
_RETENTION = {"keepLast": 2}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The shops of a soak."""

    shops: tuple[Shop, ...]

    def open(self) -> None:
        """Make everything; the schedules are suspended."""
        self._each(_open)

    def suspend(self, *, suspended: bool) -> None:
        """Let the schedules rest, or work."""
        patch = f'{{"spec":{{"suspend":{str(suspended).lower()}}}}}'

        def apply(shop: Shop) -> None:
            for one in shop.kubectl.list("backupschedules"):
                name = one["metadata"]["name"]
                shop.kubectl("patch", "backupschedule", name, "--type=merge", "-p", patch)

        self._each(apply)

    def _each(self, do: Callable[[Shop], None]) -> None:
        with ThreadPoolExecutor(len(self.shops)) as pool:
            list(pool.map(do, self.shops))

    def close(self) -> None:
        """Remove it all."""
        for shop in self.shops:
            shop.close(wait=False)


def fleet(lab: Lab) -> Fleet:
    """Return 40 workloads with 20 schedules. Nothing is made yet."""
    workloads = tuple(
        ledger.alone(kind, f"{kind.lower()}-{number}", pace=_PACE)
        for number in range(_PAIRS)
        for kind in ("Deployment", "StatefulSet")
    )
    spaces = [lab.kubectl.within(f"soak-{number}") for number in range(1, _NAMESPACES + 1)]
    return Fleet(tuple(Shop(space, lab.s3, workloads) for space in spaces))


def _open(shop: Shop) -> None:
    shop.open_anew()
    shop.open_repository()
    pairs = zip(shop.workloads[::2], shop.workloads[1::2], strict=True)
    shop.kubectl.apply(*(_schedule(number, pair) for number, pair in enumerate(pairs)))


def _schedule(number: int, workloads: Sequence[Workload]) -> Document:
    references = [workload.reference for workload in workloads]
    spec: Document = {
        "schedule": "* * * * *",
        "jitter": "50s",
        "suspend": True,
        "retention": _RETENTION,
        "successfulBackupsHistoryLimit": 2,
        "template": {"spec": {"repositoryRef": {"name": "main"}, "workloads": references}},
    }
    metadata = {"name": f"pair-{number}"}
    return {"apiVersion": API, "kind": "BackupSchedule", "metadata": metadata, "spec": spec}
