"""The lab in which the operator's view of a cluster is tested: what people and other controllers do, for real."""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from kubernetes.aio.client import V1Job
from tests.operator.cluster.definitions import a_scaled_object, a_widget
from tests.operator.cluster.lab import REPORT, Announced, Ending

from becalm_operator.api import names
from becalm_operator.api.backup import WorkloadReference
from becalm_operator.api.base import SecretKeyReference
from becalm_operator.api.hooks import JobHook
from becalm_operator.api.repository import BackupRepositorySpec, ClaimStorage, Storage
from becalm_operator.cluster.port import R, Resource
from becalm_operator.manifests.hooks import own_job
from becalm_operator.manifests.jobs import Image, access_job
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan.steps import RunCommand
from e2e import snapshots
from e2e.image import IMAGE
from e2e.kubectl import Kubectl, NeverHappenedError
from e2e.objects import Document

T = TypeVar("T")

_SECONDS = 60.0
_EVERY_SECONDS = 0.15
_REPORTS = f"printf '%s' '{REPORT}' > /dev/termination-log"
_WRITES = f"printf '%s' '{REPORT}'"
_COMMANDS = {
    Ending.WELL: _WRITES,
    Ending.FAILED: f"{_WRITES} >&2; exit 12",
    Ending.NEVER: "exec sleep 600",
}
_SCRIPTS = {
    Ending.WELL: _REPORTS,
    Ending.FAILED: f"{_REPORTS}; exit 12",
    Ending.NEVER: "exec sleep 600",
    Ending.STUCK: "exit 0",
}


class RealLab:
    """One namespace of a real cluster."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._touches: Iterator[int] = itertools.count(1)
        self.namespace = kubectl.namespace

    async def until(self, what: str, look: Callable[[], Awaitable[T | None]]) -> T:
        deadline = time.monotonic() + _SECONDS
        while (found := await look()) is None:
            if time.monotonic() > deadline:
                raise NeverHappenedError(f"not within {_SECONDS:.0f} s: {what}")
            await asyncio.sleep(_EVERY_SECONDS)
        return found

    async def make_claim(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        self._kubectl.apply(_claim(name, labels or {}))

    async def make_csi_claim(self, name: str) -> None:
        document = _claim(name, {})
        document["spec"]["storageClassName"] = snapshots.STORAGE_CLASS
        self._kubectl.apply(document)

    async def attach(self, claim: str) -> None:
        found = self._kubectl.get("persistentvolumeclaim", claim)
        assert found is not None
        volume = self._kubectl.get("persistentvolume", found["spec"]["volumeName"])
        assert volume is not None
        self._kubectl.apply(_attachment(volume["metadata"]))

    async def make_deployment(
        self, name: str, *, replicas: int, claims: Sequence[str] = (), owner: str = ""
    ) -> None:
        document = _workload("Deployment", name, replicas, claims)
        if owner:
            document["metadata"]["ownerReferences"] = [self._made_owner(owner)]
        self._kubectl.apply(document)

    def _made_owner(self, owner: str) -> Document:
        kind, _, name = owner.partition("/")
        self._kubectl.apply({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})
        made = self._kubectl.get(kind, name)
        assert made is not None
        uid = made["metadata"]["uid"]
        return {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": True}

    async def make_stateful_set(
        self, name: str, *, replicas: int, template: str, deletes_claims: bool = False
    ) -> None:
        document = _workload("StatefulSet", name, replicas, ())
        spec = document["spec"]
        spec["serviceName"] = name
        spec["podManagementPolicy"] = "Parallel"
        spec["volumeClaimTemplates"] = [_claim(template, {})]
        mount = {"name": template, "mountPath": f"/data/{template}"}
        spec["template"]["spec"]["containers"][0]["volumeMounts"] = [mount]
        if deletes_claims:
            spec["persistentVolumeClaimRetentionPolicy"] = {"whenScaled": "Delete", "whenDeleted": "Retain"}
        self._kubectl.apply(document)

    async def make_replica_set(self, name: str, *, replicas: int, claims: Sequence[str] = ()) -> None:
        self._kubectl.apply(_workload("ReplicaSet", name, replicas, claims))

    async def make_cron_job(self, name: str, *, claims: Sequence[str] = (), suspend: bool = False) -> None:
        pod = {**_pod(claims), "restartPolicy": "Never"}
        template = {"spec": {"backoffLimit": 0, "template": {"spec": pod}}}
        spec = {"schedule": "0 0 1 1 *", "suspend": suspend, "jobTemplate": template}
        metadata = {"name": name}
        self._kubectl.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec})

    async def run_cron_job(self, name: str) -> None:
        self._kubectl("create", "job", f"{name}-{next(self._touches)}", f"--from=cronjob/{name}")

    async def make_widget(self, name: str, members: int | None) -> None:
        self._kubectl.apply(a_widget(name, members))

    async def make_autoscaler(
        self, name: str, target: WorkloadReference, annotations: Mapping[str, str] | None = None
    ) -> None:
        self._kubectl.apply(a_scaled_object(name, target, dict(annotations or {})))

    async def enforce(self, standard: str) -> None:
        label = f"pod-security.kubernetes.io/enforce={standard}"
        self._kubectl("label", "namespace", self.namespace, label)

    async def make_pod(self, name: str, claims: Sequence[str]) -> None:
        metadata = {"name": name}
        self._kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod(claims)})

    async def scale(self, workload: WorkloadReference, replicas: int) -> None:
        self._kubectl("scale", str(workload), f"--replicas={replicas}")

    async def type(self, words: Sequence[str]) -> None:
        program, *arguments = words
        assert program == "kubectl"
        self._kubectl(*arguments)

    async def edit(self, workload: WorkloadReference) -> None:
        note = {"metadata": {"annotations": {"edited": str(next(self._touches))}}}
        self._kubectl("patch", str(workload), "--type=merge", "-p", json.dumps({"spec": {"template": note}}))

    async def roll_back(self, workload: WorkloadReference) -> None:
        self._kubectl("rollout", "undo", str(workload))

    async def delete_workload(self, workload: WorkloadReference) -> None:
        self._kubectl("delete", str(workload), "--wait=false")

    async def make(self, resource: R) -> R:
        document = resource.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
        document |= {"apiVersion": names.API_VERSION, "kind": resource.kind}
        document.pop("status", None)
        self._kubectl.apply(document)
        made = self._kubectl.get(f"{resource.plural}.{names.GROUP}", resource.metadata.name)
        return type(resource).model_validate(made)

    async def delete(self, resource: Resource) -> None:
        self._kubectl.delete(f"{resource.plural}.{names.GROUP}", resource.metadata.name)

    async def touch(self, resource: Resource) -> None:
        self._label(f"{resource.plural}.{names.GROUP}/{resource.metadata.name}")

    async def touch_workload(self, workload: WorkloadReference) -> None:
        self._label(str(workload))

    def _label(self, what: str) -> None:
        self._kubectl("label", "--overwrite", what, f"touched={next(self._touches)}")

    async def announced(self, about: Resource | WorkloadReference) -> list[Announced]:
        name = about.name if isinstance(about, WorkloadReference) else about.metadata.name
        fields = f"involvedObject.kind={about.kind},involvedObject.name={name}"
        found = self._kubectl.list("events", fields=fields)
        ours = [event for event in found if event.get("reportingComponent") == "becalm.dev/operator"]
        ours.sort(key=lambda event: event["metadata"]["name"])  # names sort by time
        return [Announced(event["type"], event["reason"], event["message"]) for event in ours]

    def command(self, pod: str, part: str, ending: Ending) -> RunCommand:
        script = f"echo begun >> /tmp/{part}; {_COMMANDS[ending]}"
        return RunCommand(part, pod, "app", ("sh", "-c", script), 30.0)

    async def times_run(self, pod: str, part: str) -> int:
        return len(self._kubectl.exec(pod, "cat", f"/tmp/{part}").splitlines())

    def hook_job(self, owner: Resource, part: str, ending: Ending) -> V1Job:
        container = {
            "name": "own",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", _SCRIPTS[ending]],
        }
        hook = JobHook(template={"spec": {"containers": [container], "terminationGracePeriodSeconds": 1}})
        metadata = owner.metadata
        return own_job(Owner(owner.kind, metadata.name, metadata.namespace, metadata.uid), part, hook, 60)

    def job(self, owner: Resource, part: str, ending: Ending) -> V1Job:
        metadata = owner.metadata
        storage = Storage(persistent_volume_claim=ClaimStorage(claim_name="none"))
        spec = BackupRepositorySpec(storage=storage, password_secret_ref=SecretKeyReference(name="none"))
        by = Owner(owner.kind, metadata.name, metadata.namespace, metadata.uid)
        image = "localhost/nowhere:1" if ending is Ending.STUCK else IMAGE
        made = access_job(by, spec, Image(image, "Never"), part=part)
        assert made.spec is not None
        pod = made.spec.template.spec
        assert pod is not None
        pod.volumes, pod.termination_grace_period_seconds = None, 1
        container = pod.containers[0]
        container.volume_mounts, container.env = None, None
        container.command = ["sh", "-c", _SCRIPTS[ending]]
        return made


def _claim(name: str, labels: Mapping[str, str]) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }


def _attachment(volume: Document) -> Document:
    """Return what says that a volume is attached to a node that nobody knows: no driver acts on it. It goes with it."""
    name = volume["name"]
    owner = {"apiVersion": "v1", "kind": "PersistentVolume", "name": name, "uid": volume["uid"]}
    source = {"persistentVolumeName": name}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": f"of-{name}", "ownerReferences": [owner]},
        "spec": {"attacher": "nobody.example.org", "nodeName": "nowhere", "source": source},
    }


def _workload(kind: str, name: str, replicas: int, claims: Sequence[str]) -> Document:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": _pod(claims)}
    spec: Document = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _pod(claims: Sequence[str]) -> Document:
    container: Document = {
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "exec sleep 600"],
        "volumeMounts": [{"name": claim, "mountPath": f"/data/{claim}"} for claim in claims],
    }
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    return {"terminationGracePeriodSeconds": 0, "containers": [container], "volumes": volumes}
