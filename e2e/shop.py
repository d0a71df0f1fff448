"""The shop: a front end and a database, each writing to a claim of its own. Tests and the demo share it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from e2e import repositories
from e2e.image import IMAGE
from e2e.kubectl import PATIENT_SECONDS, Kubectl
from e2e.objects import Document
from e2e.paths import SetUpError
from e2e.s3 import S3Server

API = "becalm.dev/v1alpha1"
PASSWORD = "correct horse battery staple"
PREFIX = "shop"
"""Where in its bucket a repository is."""
_SHOWN = "backuprepositories,backups,restores,deployments,statefulsets,replicasets,jobs,pods"
_RUNS = ("backups.becalm.dev", "restores.becalm.dev")
_EVENTS = 40
"""So many of the last ones are shown."""
_LAST_WORDS = 20
"""So many lines are shown of each container of a pod that has failed."""
_LOOK_SECONDS = 60
_MOST_LOOKS = 10
"""How often is looked, for so long each time, whether a workload has started."""
_IS_READY = "until [ -e /tmp/ready ]; do sleep 0.2; done"
_MADE_ONCE = """
if [ ! -e /data/catalogue ]; then
  mkdir -p /data/new/deep/down
  for n in $(seq 1 20); do head -c 200000 /dev/urandom > /data/new/item-$n; done
  head -c 100000 /dev/urandom > "/data/new/deep/down/an odd näme"
  ln -s item-1 /data/new/link; chmod 0640 /data/new/item-2
  mv /data/new /data/catalogue
fi
"""
_WRITES_ON = """
trap 'sleep %(stop)s; exit 0' TERM
( sleep %(ready)s; touch /tmp/ready ) &
n=0
while true; do n=$((n + 1)); echo "order $n" >> /data/orders; sleep 0.2 & wait $!; done
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload that fills its claim once and then writes on. Seconds make stopping and starting slow."""

    kind: str
    name: str
    replicas: int = 1
    stop_seconds: float = 0
    ready_seconds: float = 0
    command: tuple[str, ...] = ()
    """What it runs instead; it has to make /tmp/ready."""
    port: int = 0
    """Where it listens, behind a Service of its name."""
    storage_class: str = ""
    """Its claim's storage class; the default one if empty."""
    user: int = 0
    """As whom it runs, by the restricted Pod Security Standard; 0 for its image's user, by none."""

    @property
    def claim(self) -> str:
        """Its claim's name."""
        return f"data-{self.name}-0" if self.kind == "StatefulSet" else f"data-{self.name}"

    @property
    def reference(self) -> Document:
        """How a Backup names it."""
        return {"kind": self.kind, "name": self.name}

    @property
    def selector(self) -> str:
        """The labels of its pods."""
        return f"app={self.name}"

    def documents(self) -> list[Document]:
        """Return what makes it."""
        labels = {"app": self.name}
        spec: Document = {
            "replicas": self.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": self._pod()},
        }
        metadata = {"name": self.name}
        workload = {"apiVersion": "apps/v1", "kind": self.kind, "metadata": metadata, "spec": spec}
        if self.kind == "StatefulSet":
            spec["serviceName"] = self.name
            spec["volumeClaimTemplates"] = [
                {"metadata": {"name": "data"}, "spec": _claim_spec(self.storage_class)}
            ]
            return [*self._service(), workload]
        spec["template"]["spec"]["volumes"] = [
            {"name": "data", "persistentVolumeClaim": {"claimName": self.claim}}
        ]
        return [claim(self.claim, self.storage_class), *self._service(), workload]

    def _service(self) -> list[Document]:
        if not self.port:
            return []
        spec = {"selector": {"app": self.name}, "ports": [{"port": self.port}]}
        return [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name}, "spec": spec}]

    def _pod(self) -> Document:
        script = _MADE_ONCE + _WRITES_ON % {"stop": self.stop_seconds, "ready": self.ready_seconds}
        container: Document = {
            "name": "app",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": list(self.command or ("sh", "-c", script)),
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }
        # one look that lasts until it is ready: each costs as much as a small process and an event that it failed
        container["startupProbe"] = {
            "exec": {"command": ["sh", "-c", _IS_READY]},
            "periodSeconds": 1,
            "timeoutSeconds": _LOOK_SECONDS,
            "failureThreshold": _MOST_LOOKS,
        }
        pod: Document = {"terminationGracePeriodSeconds": 30, "containers": [container]}
        if self.user:
            container["securityContext"] = {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            pod["securityContext"] = {
                "runAsUser": self.user,
                "runAsNonRoot": True,
                "fsGroup": self.user,
                "fsGroupChangePolicy": "OnRootMismatch",  # or the kubelet changes all modes whenever a pod starts
                "seccompProfile": {"type": "RuntimeDefault"},
            }
        return pod


def claim(name: str, storage_class: str = "") -> Document:
    """Return a claim, of the default storage class unless one is named."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": _claim_spec(storage_class),
    }


def _claim_spec(storage_class: str) -> Document:
    spec: Document = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {**spec, "storageClassName": storage_class} if storage_class else spec


def secret(name: str, values: Mapping[str, str]) -> Document:
    """Return a Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": dict(values)}


def _object(kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def repository(name: str, storage: Document, **more: object) -> Document:
    """Return a BackupRepository."""
    password = {"name": "password", "key": "password"}
    return _object("BackupRepository", name, {"storage": storage, "passwordSecretRef": password, **more})


def s3_storage(s3: S3Server, bucket: str) -> Document:
    """Return the storage of a repository on the S3 server."""
    place = {"endpoint": s3.endpoint, "bucket": bucket, "prefix": PREFIX, "addressingStyle": "Path"}
    return {"s3": {**place, "credentialsSecretRef": {"name": "s3"}}}


def backup(name: str, workloads: Sequence[Workload], **more: object) -> Document:
    """Return a Backup into the repository `main`."""
    references = [workload.reference for workload in workloads]
    return _object("Backup", name, {"repositoryRef": {"name": "main"}, "workloads": references, **more})


def restore(name: str, backup_name: str, claims: Sequence[str], **more: object) -> Document:
    """Return a Restore of claims in place."""
    targets = [{"claim": one} for one in claims]
    source = {"backupName": backup_name}
    spec = {"repositoryRef": {"name": "main"}, "source": source, "targets": targets, **more}
    return _object("Restore", name, spec)


@dataclass(frozen=True, slots=True)
class Shop:
    """A namespace with workloads and a repository `main`."""

    kubectl: Kubectl
    s3: S3Server
    workloads: tuple[Workload, ...] = field(
        default_factory=lambda: (Workload("Deployment", "web", 2), Workload("StatefulSet", "db"))
    )

    @property
    def bucket(self) -> str:
        """The bucket of its repository."""
        return self.kubectl.namespace

    def open(self) -> None:
        """Make the namespace, the secrets and the workloads, and wait until they run."""
        self.kubectl.within("default").apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.kubectl.namespace}}
        )
        self.s3.make_bucket(self.bucket)
        secrets = [secret("password", {"password": PASSWORD}), secret("s3", self.s3.credentials())]
        self.kubectl.apply(*secrets, *(d for workload in self.workloads for d in workload.documents()))
        for workload in self.workloads:
            self.await_ready(workload)

    def open_anew(self) -> None:
        """Open it in place of what was left of one, if there is any."""
        if self.kubectl.get("namespace", self.kubectl.namespace):
            self.close()
        self.open()

    def await_ready(self, workload: Workload, seconds: float = PATIENT_SECONDS) -> None:
        """Wait until all replicas of a workload are ready."""
        self.kubectl.until(
            f"{workload.name} is ready",
            lambda: self.kubectl.get(workload.kind, workload.name),
            lambda seen: (
                seen["spec"]["replicas"] == workload.replicas
                and seen["status"].get("readyReplicas", 0) == workload.replicas
                and seen["status"].get("observedGeneration") == seen["metadata"]["generation"]
            ),
            seconds=seconds,
        )

    def open_repository(self, *, anew: bool = False, **more: object) -> None:
        """Name a repository `main` on S3 and wait until it is Ready; `anew`: it is made by the operator."""
        if not anew:
            repositories.make(self.s3, self.bucket, PREFIX, PASSWORD)
        self.kubectl.apply(repository("main", s3_storage(self.s3, self.bucket), **more))
        self.await_repository("True")

    def await_repository(self, status: str, reason: str = "", seconds: float = PATIENT_SECONDS) -> Document:
        """Wait until the repository's Ready condition is so; return the condition."""
        condition: Document = self.kubectl.until(
            f"repository main: Ready {status} {reason}",
            lambda: self.kubectl.condition("backuprepository", "main", "Ready"),
            lambda seen: seen.get("status") == status and reason in ("", seen.get("reason")),
            seconds=seconds,
        )
        return condition

    def await_end(self, kind: str, name: str, seconds: float = PATIENT_SECONDS) -> Document:
        """Wait until a Backup or Restore has ended; return its status."""
        status: Document = self.kubectl.until(
            f"{kind} {name} ends",
            lambda: self.kubectl.status(kind, name),
            lambda seen: seen.get("phase") in ("Succeeded", "Failed"),
            seconds=seconds,
        )
        return status

    def checksums(self, workload: Workload) -> str:
        """Return names, kinds, modes and contents of the workload's catalogue, as text to compare."""
        script = (
            "cd /data/catalogue && find . -printf '%y %m %u:%g %s %l %p\\n' | sort -k6 &&"
            " find . -type f -print0 | sort -z | xargs -0 sha256sum"
        )
        return self.kubectl.exec(self.pod(workload), "sh", "-c", script)

    def pod(self, workload: Workload) -> str:
        """Return the name of a running pod of a workload."""
        found = self.kubectl.until(
            f"{workload.name} has a running pod",
            lambda: self.kubectl.list("pods", labels=workload.selector),
            lambda pods: any(_is_up(pod) for pod in pods),
        )
        names: list[str] = [pod["metadata"]["name"] for pod in found if _is_up(pod)]
        return names[0]

    def destroy(self, workload: Workload) -> None:
        """Do to a workload's data what a bad day does."""
        lost = "rm -rf /data/catalogue/deep /data/catalogue/item-1"
        spoilt = "echo junk > /data/catalogue/item-2; echo junk > /data/junk"
        self.kubectl.exec(self.pod(workload), "sh", "-c", f"{lost}; {spoilt}")

    def told(self) -> str:
        """Return what the cluster says of it now, for people who look for a fault."""
        try:
            state = self.kubectl("get", _SHOWN, "--output=wide")
            runs = [one.get("status") for kind in _RUNS for one in self.kubectl.list(kind)]
            events = self.kubectl("get", "events", "--sort-by=.metadata.creationTimestamp")
            words = [self._last_words(pod) for pod in self.kubectl.list("pods") if _failed(pod)]
        except SetUpError as error:
            return str(error)
        return "\n".join([state, *map(json.dumps, runs), *events.splitlines()[-_EVENTS:], *words])

    def _last_words(self, pod: Document) -> str:
        name = f"pod/{pod['metadata']['name']}"
        return self.kubectl("logs", name, "--all-containers", "--prefix", f"--tail={_LAST_WORDS}")

    def close(self, *, wait: bool = True) -> None:
        """Remove it all. Without waiting the cluster goes on removing the namespace by itself."""
        self.kubectl(
            "delete",
            "namespace",
            self.kubectl.namespace,
            "--ignore-not-found",
            f"--wait={str(wait).lower()}",
        )
        self.s3.remove_bucket(self.bucket)


def _failed(pod: Document) -> bool:
    """Tell whether a container of a pod has ended with anything but 0."""
    ended = [one["state"].get("terminated") for one in pod["status"].get("containerStatuses", [])]
    return any(one and one["exitCode"] for one in ended)


def _is_up(pod: Document) -> bool:
    return pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
