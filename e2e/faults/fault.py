"""The faults: what each does to a run, or to everything at once, and how it passes. Thin."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from becalm_operator.api.backup import Phase
from becalm_operator.api.names import OWNER_UID_LABEL
from e2e.cluster import Cluster
from e2e.faults.watch import Watch
from e2e.lab import Lab
from e2e.objects import Document
from e2e.paths import SetUpError
from e2e.processes import until
from e2e.shop import Shop

_SHORT_DOWNTIME = timedelta(seconds=60)
_AWAY = timedelta(seconds=32)
_LEAST = timedelta(seconds=15)
_SETTLED = timedelta(seconds=8)
"""What an operator needs to end, and what it did last to be seen."""
_PATIENCE_SECONDS = 240
_MOMENT_SECONDS = 0.3
"""What a mover needs to be at work: before that, nothing would be lost with it."""
GOOD: frozenset[Phase | None] = frozenset({Phase.SUCCEEDED})
EITHER: frozenset[Phase | None] = frozenset({Phase.SUCCEEDED, Phase.FAILED})
GONE: frozenset[Phase | None] = frozenset({None})


@dataclass(frozen=True, slots=True)
class Target:
    """A run that is to be struck."""

    shop: Shop
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a fault strikes, and when: as soon as the targets have come to the phase."""

    lab: Lab
    watch: Watch
    targets: Sequence[Target]
    phase: Phase


class Fault:
    """One of them. It strikes the runs it is given, or, if `everywhere`, all there are."""

    title: ClassVar[str]
    everywhere: ClassVar[bool] = False
    deafens: ClassVar[bool] = False
    """Whether nothing can be judged while it strikes."""
    quiesce: ClassVar[Document] = {}
    """How the run is to stop its workloads."""
    expected: ClassVar[frozenset[Phase | None]] = EITHER
    """How a run may end."""

    def prepare(self, lab: Lab) -> None:
        """Do what takes time, before the runs begin."""

    def strike(self, scene: Scene) -> bool:
        """Strike. Returns whether there was something to strike at."""
        return bool(scene.targets)

    def heal(self, scene: Scene) -> None:
        """Let it pass, once it has lasted as long as it should."""


class Nothing(Fault):
    """What a run is like that nothing befalls."""

    title = "undisturbed"
    expected = GOOD


@dataclass
class OperatorKilled(Fault):
    """The kernel ends the operator; the kubelet starts it again."""

    title = "the operator is killed (SIGKILL)"
    everywhere = True
    expected = GOOD
    _container: str = field(default="", init=False)

    def prepare(self, lab: Lab) -> None:
        if not lab.cluster.restarts_at_once:  # a container that was killed before would be started ever later
            lab.restart_operator()
        (status,) = lab.operator_pod()["status"]["containerStatuses"]
        self._container = _plain(status["containerID"])

    def strike(self, scene: Scene) -> bool:
        scene.lab.cluster.kill_container(self._container)
        return True


class MoverKilled(Fault):
    """The kernel ends whatever works for the run: it opens the repository, reads a claim or writes snapshots."""

    title = "a mover is killed (SIGKILL)"

    def strike(self, scene: Scene) -> bool:
        struck = [self._kill(scene, target) for target in scene.targets]
        return all(struck)

    def _kill(self, scene: Scene, target: Target) -> bool:
        killed: list[str] = []
        made: dict[str, float] = {}

        def done() -> bool:
            for container in _containers(scene.lab.cluster, target, made):
                with suppress(SetUpError):  # it has just ended by itself
                    scene.lab.cluster.kill_container(container)
                    killed.append(container)
            seen = scene.watch.run(target.shop.kubectl.namespace, target.name)
            return bool(killed) or seen is None or seen.phase is not scene.phase

        until(done, seconds=_PATIENCE_SECONDS, every=0.02)
        return bool(killed)


class StoreCut(Fault):
    """Nothing answers where the run's S3 server was, until all is up again."""

    title = "the store is away until the workloads are up"
    quiesce: ClassVar[Document] = {"maxDowntime": f"{_SHORT_DOWNTIME.seconds}s"}

    def strike(self, scene: Scene) -> bool:
        for target in scene.targets:
            target.shop.s3.stop()
        return True

    def heal(self, scene: Scene) -> None:
        try:
            _until_up(scene)
        finally:
            for target in scene.targets:
                target.shop.s3.start()


class ApiServerRestarted(Fault):
    """The API server ends and comes back some seconds later."""

    title = "the API server restarts"
    everywhere = True
    deafens = True
    expected = GOOD

    def strike(self, scene: Scene) -> bool:
        scene.lab.cluster.restart_api_server()
        return True


class BackupDeleted(Fault):
    """A person deletes the Backup."""

    title = "the Backup is deleted"
    expected = GONE

    def strike(self, scene: Scene) -> bool:
        for target in scene.targets:
            target.shop.kubectl.delete("backup", target.name)
        return True


class QuotaFull(Fault):
    """The namespace takes no pod of a mover any more, until all is up again."""

    title = "a quota forbids movers until the workloads are up"
    quiesce: ClassVar[Document] = {"maxDowntime": f"{_SHORT_DOWNTIME.seconds}s"}

    def strike(self, scene: Scene) -> bool:
        # movers ask for resources here, the workloads do not
        spec = {"hard": {"pods": "0"}, "scopes": ["NotBestEffort"]}
        for target in scene.targets:
            target.shop.kubectl.apply(
                {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": spec}
            )
        return True

    def heal(self, scene: Scene) -> None:
        _until_up(scene)
        for target in scene.targets:
            target.shop.kubectl.remove("resourcequota", "full")


class OperatorAway(Fault):
    """No operator is there until the run's maxDowntime is over; where nothing is down, no time of it passes."""

    title = "no operator until after maxDowntime"
    everywhere = True
    quiesce: ClassVar[Document] = {"maxDowntime": f"{_AWAY.seconds - 2}s"}

    def strike(self, scene: Scene) -> bool:
        scene.lab.kubectl("scale", "deployment/becalm", "--replicas=0")
        return True

    def heal(self, scene: Scene) -> None:
        _until_up(scene, after=_SETTLED, at_the_latest=_AWAY)
        scene.lab.kubectl("scale", "deployment/becalm", "--replicas=1")
        scene.lab.operator_pod()


def faults() -> list[Fault]:
    """Return all of them, those that strike everything at once last."""
    return [
        Nothing(),
        MoverKilled(),
        BackupDeleted(),
        QuotaFull(),
        StoreCut(),
        OperatorKilled(),
        ApiServerRestarted(),
        OperatorAway(),
    ]


def _until_up(scene: Scene, *, after: timedelta = _LEAST, at_the_latest: timedelta | None = None) -> None:
    """Wait until the workloads are up, and some time at least: what is not down yet may go down."""
    began = datetime.now(UTC)

    def passed() -> bool:
        lasted = datetime.now(UTC) - began
        down = any(scene.watch.is_down(target.shop.kubectl.namespace) for target in scene.targets)
        late = at_the_latest is not None and lasted > at_the_latest
        return late or (lasted > after and not down)

    until(passed, seconds=_PATIENCE_SECONDS)


def _containers(cluster: Cluster, target: Target, made: dict[str, float]) -> list[str]:
    """Return what runs for a run: as its pods tell, or as was found a moment ago, since when is in `made`.

    The kubelet looks once a second what has become of containers, and of one that is quick it never tells that it ran.
    """
    pods = target.shop.kubectl.list("pods", labels=f"{OWNER_UID_LABEL}={target.uid}")
    statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
    told = [_plain(status["containerID"]) for status in statuses if "running" in status["state"]]
    if told:
        return told
    going = [pod["metadata"]["uid"] for pod in pods if pod["status"].get("phase") == "Pending"]
    now = time.monotonic()
    found = [container for pod in going for container in cluster.containers_of(pod)]
    return [container for container in found if now - made.setdefault(container, now) > _MOMENT_SECONDS]


def _plain(container: str) -> str:
    return container.rpartition("/")[2]
