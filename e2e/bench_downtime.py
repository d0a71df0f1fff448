"""How long a workload is down: with becalm, with a script around restic, and with neither, stopped and started alone.

One Deployment answers HTTP and writes on: one file in a hundred changes again and again. What is measured is seen
from outside: from the moment its count is 0 to its being Ready again, and the longest time in which whoever asks its
Service gets no answer.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from e2e import toolchain
from e2e.image import IMAGE
from e2e.kubectl import Kubectl
from e2e.lab import lab
from e2e.objects import Document
from e2e.paths import ROOT
from e2e.shell import run as run_program
from e2e.shop import PASSWORD, Shop, Workload, backup, repository, s3_storage

_NAMESPACE = "bench"
_FILES = 20_000
_REPEATS = 3
_PROBE_SECONDS = 0.02
_WEB = Workload("Deployment", "web")
_PAGE = ROOT / "docs" / "downtime.md"
_APPLICATION = """
import http.server, os, pathlib, signal, sys, threading, time
files, size = int(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
root = pathlib.Path("/data/catalogue")
if not root.exists():
    new = pathlib.Path("/data/new")
    for number in range(files):
        path = new / f"{number // 100:03}" / f"{number % 100:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    new.rename(root)
def write_on():
    while True:
        for number in range(0, files, 100):
            (root / f"{number // 100:03}" / "00").write_bytes(os.urandom(size))
            time.sleep(0.02)
threading.Thread(target=write_on, daemon=True).start()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""


# --- what is seen from outside


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


# --- what is done


@dataclass
class Bench:
    """A workload with a claim full of files, and the ways to back it up."""

    shop: Shop
    restic: Path
    count: int = 0

    def open(self, size: int) -> None:
        """Make the workload and its Service."""
        script = ["python3", "-c", _APPLICATION, str(_FILES), str(size)]
        claim, deployment = _WEB.documents()
        deployment["metadata"]["labels"] = {"app": "web"}
        claim["spec"]["resources"]["requests"]["storage"] = "8Gi"
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        container["command"] = script
        container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 8080}], "clusterIP": "None"},
        }
        self.shop.open()
        self.shop.kubectl.apply(claim, deployment, service)
        self.shop.await_ready(_WEB, seconds=600)

    def floor(self) -> None:
        """Stop it, wait until its pods are gone, and start it."""
        self._scale(0)
        self._scale(1)

    def becalm(self, repository_name: str, *, pre_copy: bool) -> None:
        """Have becalm make a Backup."""
        self.count += 1
        name = f"b{self.count}"
        more = {"repositoryRef": {"name": repository_name}, "quiesce": {"preCopy": pre_copy}}
        self.shop.kubectl.apply(backup(name, [_WEB], **more))
        status = self.shop.await_end("backup", name, seconds=600)
        assert status["phase"] == "Succeeded", status
        assert status["volumes"][0].get("preCopied", False) is pre_copy, status

    def script(self) -> None:
        """Do what a script does: stop it, run restic in a Job, start it."""
        self.count += 1
        self._scale(0)
        self.shop.kubectl.apply(self._restic_job(f"restic-{self.count}"))
        self.shop.kubectl(
            "wait", "--for=condition=Complete", f"job/restic-{self.count}", "--timeout=600s", seconds=610
        )
        self._scale(1)

    def init_restic(self) -> None:
        """Make the script's repository."""
        run_program([str(self.restic), "init"], env=self._environment())

    def make_repository(self, name: str) -> None:
        """Make a repository of becalm's."""
        storage = s3_storage(self.shop.s3, self.shop.bucket)
        storage["s3"]["prefix"] = name
        self.shop.kubectl.apply(repository(name, storage))
        self.shop.kubectl.until(
            f"repository {name} is ready",
            lambda: self.shop.kubectl.condition("backuprepository", name, "Ready"),
            lambda seen: seen.get("status") == "True",
            seconds=120,
        )

    def _scale(self, count: int) -> None:
        kubectl = self.shop.kubectl
        kubectl("scale", "deployment/web", f"--replicas={count}")
        if count:
            kubectl("rollout", "status", "deployment/web", "--timeout=120s", seconds=130)
        else:
            kubectl.until(
                "its pods are gone",
                lambda: kubectl.list("pods", labels="app=web"),
                lambda pods: not pods,
                seconds=120,
            )

    def _environment(self) -> dict[str, str]:
        place = f"s3:{self.shop.s3.endpoint}/{self.shop.bucket}/restic"
        return {**self.shop.s3.credentials(), "RESTIC_REPOSITORY": place, "RESTIC_PASSWORD": PASSWORD}

    def _restic_job(self, name: str) -> Document:
        container = {
            "name": "restic",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": [f"/restic/{self.restic.name}", "--no-cache", "--host=bench", "backup", "/data"],
            "env": [{"name": key, "value": value} for key, value in self._environment().items()],
            "securityContext": {"runAsUser": 0},
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                {"name": "restic", "mountPath": "/restic"},
            ],
        }
        volumes = [
            {"name": "data", "persistentVolumeClaim": {"claimName": _WEB.claim}},
            {"name": "restic", "hostPath": {"path": str(self.restic.parent)}},
        ]
        pod = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
        spec = {"backoffLimit": 0, "template": {"spec": pod}}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


# --- measuring and telling


@dataclass(frozen=True, slots=True)
class Seen:
    """Seconds: how long the workload was down, and how long its Service gave no answer."""

    downtime: float
    outage: float


def measured(bench: Bench, act: Callable[[], None]) -> Seen:
    """Do something, and see how long the workload is down for it."""
    kubectl = bench.shop.kubectl
    deployments = Stream(kubectl, "deployment", "app=web")
    endpoints = Stream(kubectl, "endpointslices", "kubernetes.io/service-name=web")
    with deployments(), endpoints(), Prober(endpoints)() as prober:
        _until(lambda: bool(prober.answered and deployments.seen))
        act()
        before = len(prober.answered)
        _until(lambda: len(prober.answered) > before + 5 and _is_up(deployments.seen[-1][1]))
    return Seen(downtime_seconds(deployments.seen), prober.outage_seconds)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the workload does not answer")
        time.sleep(0.05)


def run(gib: float) -> None:
    """Measure on the real cluster, print the table, and write it to docs/downtime.md."""
    toolchain.ensure()
    here = lab()
    here.cluster.up()
    here.install()
    shop = Shop(here.kubectl.within(_NAMESPACE), here.s3, ())
    bench = Bench(shop, Path(here.places.binary("restic-0.19")))
    try:
        bench.open(int(gib * (1 << 30)) // _FILES)
        page = _page(gib, _all(bench))
    finally:
        shop.close()
    print(page)
    _PAGE.write_text(page)


def _all(bench: Bench) -> dict[str, list[Seen]]:
    """Return what each way takes: the first backup, and then some incremental ones."""
    found = {"stop and start alone": [measured(bench, bench.floor) for _ in range(_REPEATS + 1)]}
    ways: dict[str, Callable[[], None]] = {}
    for name, pre_copy in (("ahead", True), ("direct", False)):
        bench.make_repository(name)
        title = "becalm" if pre_copy else "becalm, `preCopy: false`"
        ways[title] = partial(bench.becalm, name, pre_copy=pre_copy)
    bench.init_restic()
    ways["scale down, `restic backup` in a Job, scale up"] = bench.script
    for title, act in ways.items():
        found[title] = [measured(bench, act) for _ in range(_REPEATS + 1)]
        print(title, found[title], flush=True)
    return found


def _page(gib: float, found: dict[str, list[Seen]]) -> str:
    floor = statistics.median(seen.downtime for seen in found["stop and start alone"])
    rows = [_row(title, seen, floor) for title, seen in found.items()]
    return _TEXT.format(
        gib=f"{gib:g}", files=f"{_FILES:,}", repeats=_REPEATS, cores=os.cpu_count(), rows="\n".join(rows)
    )


def _row(title: str, seen: list[Seen], floor: float) -> str:
    first, later = seen[0], seen[1:]
    incremental = statistics.median(one.downtime for one in later)
    worst = max(one.downtime for one in later)
    outage = statistics.median(one.outage for one in later)
    return (
        f"| {title} | {first.downtime:.1f} | {first.outage:.1f} | {first.downtime - floor:+.1f} "
        f"| {incremental:.1f} ({worst:.1f}) | {outage:.1f} | {incremental - floor:+.1f} |"
    )


_TEXT = """# Downtime

Written by `make bench-downtime`, on a real cluster: a Deployment that answers HTTP within a moment of its start and
ends at once when told to, with a claim of {gib} GiB in {files} files of random bytes. It goes on writing: one file in a
hundred is rewritten again and again, while becalm reads ahead, too. The repository is on an S3 server of the same
machine, on which everything else runs as well ({cores} cores), so that the rows compare with each other alone.

*Down* is the time from the Deployment's count being 0 to its being Ready again, as a watch sees it; *no answer* is the
longest time in which its Service's endpoints gave none. Seconds; those of incremental backups are medians of {repeats}
(the worst in brackets). *Above* is what comes on top of stopping and starting alone.

| way | down, first | no answer | above | down, incremental | no answer | above |
| --- | --- | --- | --- | --- | --- | --- |
{rows}
"""


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)
