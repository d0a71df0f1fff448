"""How long a workload is down, as seen from outside: by a watch on it, and by whoever asks its Service."""

import contextlib
import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from e2e.kubectl import Kubectl
from e2e.objects import Document

_PROBE_SECONDS = 0.02
_PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """Seconds: how long the workload was down, and the longest time in which its Service gave no answer."""

    downtime: float
    outage: float


@dataclass
class Stream:
    """What `kubectl get --watch` tells about one object, each time with the moment at which it came."""

    kubectl: Kubectl
    kind: str
    selector: str
    seen: list[tuple[float, Document]] = field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self) -> Iterator["Stream"]:
        """Watch for the block."""
        place = [f"--kubeconfig={self.kubectl.kubeconfig}", f"--namespace={self.kubectl.namespace}"]
        command = [self.kubectl.program, *place, "get", self.kind, "-l", self.selector, "-w", "-o", "json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                process.terminate()
                thread.join()

    def _read(self, lines: Iterator[str]) -> None:
        text = ""
        for line in lines:
            text += line
            if line == "}\n":  # the end of a whole document: what lies within is indented
                self.seen.append((time.monotonic(), json.loads(text)))
                text = ""


def downtime_seconds(seen: list[tuple[float, Document]]) -> float:
    """Return the time from a Deployment's being at 0 to its being Ready again."""
    stopped = next(at for at, one in seen if one["spec"]["replicas"] == 0)
    started = next(at for at, one in seen if at > stopped and _is_up(one))
    return started - stopped


def _is_up(deployment: Document) -> bool:
    status = deployment["status"]
    current = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return bool(current and deployment["spec"]["replicas"] and status.get("readyReplicas"))


@dataclass
class Prober:
    """Asks the Service again and again, as its endpoints are at the moment."""

    endpoints: Stream
    answered: list[float] = field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self) -> Iterator["Prober"]:
        """Ask for the block."""
        ended = threading.Event()
        thread = threading.Thread(target=self._ask, args=(ended,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()

    @property
    def outage_seconds(self) -> float:
        """The longest time without an answer."""
        pairs = zip(self.answered, self.answered[1:], strict=False)
        return max(after - before for before, after in pairs)

    def _ask(self, ended: threading.Event) -> None:
        while not ended.wait(_PROBE_SECONDS):
            address = self._address()
            if not address:
                continue
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://{address}:8080/", timeout=0.5).close()
                self.answered.append(time.monotonic())

    def _address(self) -> str:
        if not self.endpoints.seen:
            return ""
        slices = self.endpoints.seen[-1][1]
        ready = [one for one in slices.get("endpoints") or () if one["conditions"].get("ready")]
        return str(ready[0]["addresses"][0]) if ready else ""


def measured(kubectl: Kubectl, name: str, act: Callable[[], object]) -> Seen:
    """Do something, and see how long a Deployment is down for it. It and its Service have the same name and label."""
    deployments = Stream(kubectl, "deployment", f"app={name}")
    endpoints = Stream(kubectl, "endpointslices", f"kubernetes.io/service-name={name}")
    with deployments(), endpoints(), Prober(endpoints)() as prober:
        _until(lambda: bool(prober.answered and deployments.seen))
        act()
        before = len(prober.answered)
        _until(lambda: len(prober.answered) > before + 5 and _is_up(deployments.seen[-1][1]))
    return Seen(downtime_seconds(deployments.seen), prober.outage_seconds)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the workload does not answer")
        time.sleep(0.05)
