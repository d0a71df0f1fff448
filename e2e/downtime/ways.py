"""A workload with a claim full of files that it goes on changing, and the ways to back it up."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e import snapshots
from e2e.image import IMAGE
from e2e.kubectl import Kubectl
from e2e.objects import Document
from e2e.shell import run
from e2e.shop import PASSWORD, Shop, Workload, backup, repository, s3_storage

FILES = 20_000
WEB = Workload("Deployment", "web", storage_class=snapshots.STORAGE_CLASS)
_PORT = 8080
_FILL_SECONDS = 600
_BACKUP_SECONDS = 600
_POD_SECONDS = 120
_APPLICATION = """
import http.server, os, pathlib, signal, sys, threading, time
files, size, port = map(int, sys.argv[1:])
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
http.server.ThreadingHTTPServer(("", port), Answer).serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Ways:
    """Each way stops the workload, does something, and starts it again. `restic` is the program of a script."""

    shop: Shop
    restic: Path
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def kubectl(self) -> Kubectl:
        """The workload's namespace."""
        return self.shop.kubectl

    def open(self, size_bytes: int) -> None:
        """Make the workload, its Service and its files, of so many bytes each."""
        self.shop.open_anew()
        self.kubectl.apply(*documents(size_bytes))
        self.shop.await_ready(WEB, seconds=_FILL_SECONDS)

    @contextmanager
    def store(self, name: str) -> Iterator[str]:
        """An empty bucket for the block; afterwards the room is needed for the next one."""
        bucket = f"{self.shop.bucket}-{name}"
        self.shop.s3.make_bucket(bucket)
        try:
            yield bucket
        finally:
            self.shop.s3.remove_bucket(bucket)

    def alone(self) -> None:
        """Stop the workload, wait until its pods are gone, and start it."""
        self._scale(0)
        self._scale(1)

    def open_repository(self, bucket: str) -> None:
        """Make becalm's repository in a bucket, and name it after that."""
        self.kubectl.apply(repository(bucket, s3_storage(self.shop.s3, bucket)))
        self.kubectl.until(
            f"repository {bucket} is ready",
            lambda: self.kubectl.condition("backuprepository", bucket, "Ready"),
            lambda seen: seen.get("status") == "True",
            seconds=120,
        )

    def becalm(self, bucket: str, spec: Document) -> Document:
        """Have becalm make a Backup; return its status."""
        name = f"{bucket}-{next(self.numbers)}"
        self.kubectl.apply(backup(name, [WEB], **{**spec, "repositoryRef": {"name": bucket}}))
        status = self.shop.await_end("backup", name, seconds=_BACKUP_SECONDS)
        assert status["phase"] == "Succeeded", status
        self._settle()
        return status

    def _settle(self) -> None:
        """Wait until copies of the claim are gone: deleting them would slow down what is measured next."""
        self.kubectl.until(
            "snapshots and copies are gone",
            lambda: [*self.kubectl.list("volumesnapshotcontents"), *self._copies()],
            lambda left: not left,
            seconds=_BACKUP_SECONDS,
        )

    def _copies(self) -> list[Document]:
        """Return the volumes of the namespace beside the workload's own."""
        bound = [one for one in self.kubectl.list("persistentvolumes") if one["spec"].get("claimRef")]
        here = [one for one in bound if one["spec"]["claimRef"]["namespace"] == self.kubectl.namespace]
        return [one for one in here if one["spec"]["claimRef"]["name"] != WEB.claim]

    def open_restic(self, bucket: str) -> None:
        """Make the script's repository in a bucket."""
        run([str(self.restic), "init"], env=self._environment(bucket))

    def script(self, bucket: str) -> None:
        """Do what a script does: stop the workload, run restic in a Job, start it."""
        name = f"restic-{next(self.numbers)}"
        self._scale(0)
        self.kubectl.apply(self._restic_job(name, bucket))
        limit = f"--timeout={_BACKUP_SECONDS}s"
        self.kubectl("wait", "--for=condition=Complete", f"job/{name}", limit, seconds=_BACKUP_SECONDS + 10)
        self._scale(1)

    def _scale(self, replicas: int) -> None:
        kubectl = self.kubectl
        kubectl("scale", f"deployment/{WEB.name}", f"--replicas={replicas}")
        if replicas:
            limit = f"--timeout={_POD_SECONDS}s"
            kubectl("rollout", "status", f"deployment/{WEB.name}", limit, seconds=_POD_SECONDS + 10)
        else:
            kubectl.until(
                "its pods are gone",
                lambda: kubectl.list("pods", labels=WEB.selector),
                lambda pods: not pods,
                seconds=_POD_SECONDS,
            )

    def _environment(self, bucket: str) -> dict[str, str]:
        place = f"s3:{self.shop.s3.endpoint}/{bucket}"
        return {**self.shop.s3.credentials(), "RESTIC_REPOSITORY": place, "RESTIC_PASSWORD": PASSWORD}

    def _restic_job(self, name: str, bucket: str) -> Document:
        environment = self._environment(bucket)
        container = {
            "name": "restic",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": [f"/restic/{self.restic.name}", "--no-cache", "--host=bench", "backup", "/data"],
            "env": [{"name": key, "value": value} for key, value in environment.items()],
            "securityContext": {"runAsUser": 0},
            "volumeMounts": [
                {"name": "data", "mountPath": "/data"},
                {"name": "restic", "mountPath": "/restic"},
            ],
        }
        volumes = [
            {"name": "data", "persistentVolumeClaim": {"claimName": WEB.claim}},
            {"name": "restic", "hostPath": {"path": str(self.restic.parent)}},
        ]
        pod = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
        spec = {"backoffLimit": 0, "template": {"spec": pod}}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def documents(size_bytes: int) -> list[Document]:
    """Return the workload, with its claim and Service, that has files of so many bytes each."""
    claim, deployment = WEB.documents()
    claim["spec"]["resources"]["requests"]["storage"] = "8Gi"
    deployment["metadata"]["labels"] = {"app": WEB.name}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["command"] = ["python3", "-c", _APPLICATION, str(FILES), str(size_bytes), str(_PORT)]
    del container["startupProbe"]  # it waits for what the shop's own program says
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": _PORT}, "periodSeconds": 1}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": WEB.name},
        "spec": {"selector": {"app": WEB.name}, "ports": [{"port": _PORT}], "clusterIP": "None"},
    }
    return [claim, deployment, service]
