"""A namespace in which runs are struck one after another: its shop, and what is known of its repository."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from becalm_operator.api.backup import Phase
from becalm_operator.api.names import OWNER_UID_LABEL, PROBE_ANNOTATION
from e2e import checks
from e2e.faults.fault import Fault, Target
from e2e.faults.shapes import Shape
from e2e.faults.verdict import Facts
from e2e.faults.watch import Watch, is_whole
from e2e.instant import verdict
from e2e.instant.writer import SIDES
from e2e.kubectl import NeverHappenedError
from e2e.lab import Lab
from e2e.objects import Document
from e2e.shop import Shop, backup

_END_SECONDS = 600
_GONE_SECONDS = 240
"""How long it may take until what belonged to a run is gone: when the API server has been away, Kubernetes' own garbage
collector begins again minutes later."""
_LOOK_SECONDS = 0.5
_UNHEARD_SECONDS = 5
"""After how long to look oneself: while the API server is away, the watch may miss how a run ends."""
_BELONGINGS = ["jobs", "volumesnapshots", "persistentvolumeclaims"]
_MOVER = {"resources": {"requests": {"cpu": "10m"}}}
"""So that a quota can tell movers from workloads."""


@dataclass(frozen=True, slots=True)
class Over:
    """A run that is over, and what is to be seen at once."""

    backup: Document | None
    not_up: tuple[str, ...]
    down_seconds: float


@dataclass(slots=True)
class Lane:
    """One shape in one namespace."""

    lab: Lab
    watch: Watch
    shape: Shape
    number: int
    shop: Shop = field(init=False)
    _known: set[str] = field(default_factory=set, init=False)
    _down_before: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        kubectl = self.lab.kubectl.within(f"fault-{self.number}")
        self.shop = Shop(kubectl, self.lab.s3.beside(self.number), self.shape.opened)

    @property
    def namespace(self) -> str:
        """Where it is."""
        return self.shop.kubectl.namespace

    def open(self) -> None:
        """Make the namespace with all that is in it, in place of what was left of one, and a store of its own."""
        self.shop.s3.start()
        self.shop.open_anew()
        self.shop.open_repository(mover=_MOVER)

    def begin(self, name: str, fault: Fault, after_seconds: float) -> None:
        """Start a run some time from now."""
        time.sleep(after_seconds)
        self._down_before = self.watch.down_seconds(self.namespace)
        self.watch.forget(self.namespace, name)
        self.shop.kubectl.apply(
            backup(name, self.shape.stopped, quiesce=fault.quiesce, capture=self.shape.capture)
        )

    def rest(self) -> None:
        """Wait until all is up and the repository opens; after a store was away, have it tried again at once."""
        for workload in self.shop.workloads:
            self.shop.await_ready(workload, seconds=180)
        kubectl = self.shop.kubectl
        if kubectl.condition("backuprepository", "main", "Ready").get("status") != "True":
            asked = f"{PROBE_ANNOTATION}={datetime.now(UTC).isoformat()}"
            kubectl("annotate", "--overwrite", "backuprepository", "main", asked)
            self.shop.await_repository("True", seconds=180)

    def target(self, name: str, phase: Phase) -> Target:
        """Return the run as soon as it has come to a phase or a later one."""
        seen = self.watch.await_phase(self.namespace, name, phase, seconds=_END_SECONDS)
        return Target(self.shop, name, seen.uid)

    def discard(self, target: Target) -> None:
        """Remove a run of which nothing is to be learnt."""
        self.shop.kubectl.remove("backup", target.name)
        self._known |= {one["id"] for one in checks.restic_snapshots(self.shop, check=False)}

    def over(self, target: Target) -> Over:
        """Wait until the run is over and all is up; from then on no fault can strike it."""
        ended = self._await_end(target)
        not_up = self._not_up()
        return Over(ended, not_up, self.watch.down_seconds(self.namespace) - self._down_before)

    def judge(self, target: Target, over: Over) -> Facts:
        """Look at everything, and remove the run."""
        ended = over.backup
        working = self._await_none(target, ["jobs"], working=True)
        self.shop.kubectl.remove("backup", target.name, seconds=70)
        found = {one["id"]: one for one in checks.restic_snapshots(self.shop, check=False)}
        new = {one: document for one, document in found.items() if one not in self._known}
        self._known |= found.keys()
        status = (ended or {}).get("status", {})
        return Facts(
            phase=Phase(status["phase"]) if ended else None,
            reason=status.get("reason", ""),
            told=frozenset(one["snapshotID"] for one in status.get("volumes", []) if one.get("snapshotID")),
            found=frozenset(new),
            volumes=len(self.shape.stopped),
            unlike=self._unlike(new),
            not_up=over.not_up,
            finalizers=tuple((ended or {"metadata": {}})["metadata"].get("finalizers", [])),
            working=working,
            orphans=self._await_none(target, _BELONGINGS),
            down_seconds=over.down_seconds,
        )

    def close(self) -> str:
        """Have the real restic look at every byte of the repository; remove it all. Returns what is wrong."""
        try:
            # movers that were killed have left their locks, which restic honours for half an hour
            checks.restic(self.shop, "check", "--read-data", "--no-lock")
        except Exception as error:  # noqa: BLE001  whatever it is, it belongs into the verdict
            return str(error)
        finally:
            self.leave()
        return ""

    def leave(self) -> None:
        """Remove it all."""
        self.shop.close(wait=False)
        self.shop.s3.stop()

    def _await_end(self, target: Target) -> Document | None:
        def is_over(found: Document | None) -> bool:
            # the finalizer goes in an update of its own, just after the last word
            return found is None or (
                Phase(found.get("status", {}).get("phase", Phase.PENDING)).finished
                and not found["metadata"].get("finalizers")
            )

        found: Document | None = self.shop.kubectl.until(
            f"{self.namespace}/{target.name} is over",
            lambda: self._heard_of(target),
            is_over,
            seconds=_END_SECONDS,
        )
        return found

    def _heard_of(self, target: Target) -> Document | None:
        """Look at a run once it seems to be over: to look all the time keeps the machine from what is looked at."""
        self.watch.await_released(self.namespace, target.name, seconds=_UNHEARD_SECONDS)
        return self.shop.kubectl.get("backup", target.name)

    def _not_up(self) -> tuple[str, ...]:
        """Wait until all is up. A StatefulSet counts a pod as ready that is about to end, so one look is not enough."""
        left = []
        for workload in self.shop.workloads:
            try:
                self.shop.kubectl.until(
                    f"{workload.name} is as before",
                    partial(self.shop.kubectl.get, workload.kind, workload.name),
                    lambda found: found is not None and is_whole(found),
                    seconds=120,
                )
            except NeverHappenedError:
                left.append(f"{workload.kind} {workload.name}")
        return tuple(left)

    def _belongings(self, target: Target, kinds: Sequence[str], *, working: bool) -> tuple[str, ...]:
        labels = f"{OWNER_UID_LABEL}={target.uid}"
        found = [one for kind in kinds for one in self.shop.kubectl.list(kind, labels=labels)]
        return tuple(
            f"{one['kind']} {one['metadata']['name']}"
            for one in found
            if not working or one["status"].get("active", 0) > 0
        )

    def _await_none(self, target: Target, kinds: Sequence[str], *, working: bool = False) -> tuple[str, ...]:
        """Wait until a run owns nothing of these kinds, or none that works: it lags behind. Returns what is left."""
        try:
            self.shop.kubectl.until(
                f"nothing of {target.name} is left",
                lambda: self._belongings(target, kinds, working=working),
                lambda left: not left,
                seconds=_GONE_SECONDS,
                every=_LOOK_SECONDS,
            )
        except NeverHappenedError:
            return self._belongings(target, kinds, working=working)
        return ()

    def _unlike(self, snapshots: Mapping[str, Document]) -> tuple[str, ...]:
        """Restore with the real restic, and see whether all of it is of one instant."""
        copies = {}
        for snapshot, document in snapshots.items():
            (path,) = document["paths"]
            with tempfile.TemporaryDirectory() as folder:
                checks.restic(self.shop, "restore", f"{snapshot}:{path}", "--target", folder, "--quiet")
                sides = [Path(folder) / side for side in SIDES]
                copies[path] = verdict.copy(*(_texts(side) for side in sides))
        torn = [f"{path} is not of one instant" for path, one in copies.items() if not one.is_of_one_instant]
        if len({one.newest for one in copies.values()}) > 1:
            torn.append("the volumes are of different instants")
        return tuple(torn)


def _texts(folder: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in folder.iterdir()}
