"""The lab of the cluster in memory."""

import json
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from kubernetes.aio.client import V1Job

from becalm_operator.api import names
from becalm_operator.api.backup import WorkloadReference
from becalm_operator.api.base import SecretKeyReference
from becalm_operator.api.hooks import JobHook
from becalm_operator.api.repository import BackupRepositorySpec, ClaimStorage, Storage
from becalm_operator.api.switches import KEDA_PAUSED, KEDA_PAUSED_AT, merged
from becalm_operator.cluster.port import R, Resource
from becalm_operator.manifests.hooks import HOOK, own_job
from becalm_operator.manifests.jobs import Image, access_job
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan.steps import RunCommand
from tests.operator.cluster.lab import CSI_DRIVER, CSI_STORAGE, REPORT, Announced, Ending
from tests.operator.fake.controllers import ENDING, tick
from tests.operator.fake.movers import CANNOT_START, HANGS
from tests.operator.fake.objects import Script, StoredClaim, StoredPod, StoredWorkload
from tests.operator.fake.state import State, key_of

T = TypeVar("T")

SHOP = "shop"
_MOST_TICKS = 120
_ENDINGS = {
    Ending.WELL: Script(report=REPORT),
    Ending.FAILED: Script(report=REPORT, exit_code=12),
    Ending.NEVER: HANGS,
    Ending.STUCK: CANNOT_START,
}


class FakeLab:
    """What people and other controllers do in the cluster in memory."""

    namespace = SHOP

    def __init__(self, state: State) -> None:
        self.state = state

    async def until(self, what: str, look: Callable[[], Awaitable[T | None]]) -> T:
        for _ in range(_MOST_TICKS):
            found = await look()
            if found is not None:
                return found
            tick(self.state)
        raise AssertionError(f"not in time: {what}")

    async def make_claim(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        self.state.claims[SHOP, name] = StoredClaim(SHOP, name, labels=dict(labels or {}))

    async def make_csi_claim(self, name: str) -> None:
        claim = StoredClaim(SHOP, name, driver=CSI_DRIVER, storage_class=CSI_STORAGE)
        self.state.claims[SHOP, name] = claim

    async def attach(self, claim: str) -> None:
        stored = self.state.claims[SHOP, claim]
        stored.attaches, stored.detaching = True, 1

    async def make_deployment(
        self, name: str, *, replicas: int, claims: Sequence[str] = (), owner: str = ""
    ) -> None:
        reference = WorkloadReference(kind="Deployment", name=name)
        self._make(reference, replicas, mounts=tuple(claims), owner=owner)

    async def make_stateful_set(
        self, name: str, *, replicas: int, template: str, deletes_claims: bool = False
    ) -> None:
        reference = WorkloadReference(kind="StatefulSet", name=name)
        self._make(reference, replicas, template=template, deletes_claims=deletes_claims)

    async def make_replica_set(self, name: str, *, replicas: int, claims: Sequence[str] = ()) -> None:
        self._make(WorkloadReference(kind="ReplicaSet", name=name), replicas, mounts=tuple(claims))

    async def make_cron_job(self, name: str, *, claims: Sequence[str] = (), suspend: bool = False) -> None:
        self._make(WorkloadReference(kind="CronJob", name=name), int(not suspend), mounts=tuple(claims))

    async def run_cron_job(self, name: str, lasts: int | None = None) -> None:
        mounts = self.state.workloads[SHOP, f"cronjob/{name}"].mounts
        pod = f"{name}-{self.state.next_version()}"
        self.state.pods[SHOP, pod] = StoredPod(
            SHOP, pod, f"cronjob/{name}", mounts, self.state.now, lasts=lasts
        )

    async def make_widget(self, name: str, members: int | None, claims: Sequence[str] = ()) -> None:
        reference = WorkloadReference(api_version="example.org/v1", kind="Widget", name=name)
        self._make(reference, members or 0, mounts=tuple(claims))
        if members is None:
            self.state.workload(SHOP, reference).unfit = "has no number at spec.size.members"

    async def make_autoscaler(
        self, name: str, target: WorkloadReference, annotations: Mapping[str, str] | None = None
    ) -> None:
        reference = WorkloadReference(api_version="keda.sh/v1alpha1", kind="ScaledObject", name=name)
        paused = (annotations or {}).get(KEDA_PAUSED) == "true"
        held_at = (annotations or {}).get(KEDA_PAUSED_AT)
        self._make(reference, int(not paused and held_at is None))
        stored = self.state.workload(SHOP, reference)
        stored.scales = str(target)
        if held_at is not None:
            stored.unfit = f"holds its target at {held_at} replicas, by its annotation {KEDA_PAUSED_AT}"

    def _make(
        self,
        reference: WorkloadReference,
        replicas: int,
        *,
        mounts: tuple[str, ...] = (),
        template: str = "",
        owner: str = "",
        deletes_claims: bool = False,
    ) -> None:
        self.state.workloads[SHOP, str(reference)] = StoredWorkload(
            namespace=SHOP,
            reference=reference,
            uid=self.state.new_uid(),
            replicas=replicas,
            wanted=replicas,
            mounts=mounts,
            template=template,
            owner=owner,
            deletes_claims=deletes_claims,
            resource_version=self.state.next_version(),
        )

    async def enforce(self, standard: str) -> None:
        self.state.pod_security[SHOP] = standard

    async def make_pod(self, name: str, claims: Sequence[str]) -> None:
        self.state.pods[SHOP, name] = StoredPod(SHOP, name, "", tuple(claims), self.state.now)

    async def scale(self, workload: WorkloadReference, replicas: int) -> None:
        stored = self.state.workload(SHOP, workload)
        stored.replicas = stored.wanted = replicas
        stored.count_by = ""
        self.state.touched(stored, spec=True)

    async def edit(self, workload: WorkloadReference) -> None:
        stored = self.state.workload(SHOP, workload)
        stored.revisions.append({})
        self.state.touched(stored, spec=True)

    async def roll_back(self, workload: WorkloadReference) -> None:
        stored = self.state.workload(SHOP, workload)
        stored.revisions.append(stored.revisions.pop(-2))
        before, stored.annotations = stored.annotations, dict(stored.revisions[-1])
        if stored.annotations != before:
            stored.record_by = "kubectl"
        self.state.touched(stored, spec=True)

    async def undo(self, workload: WorkloadReference) -> None:
        """Do what the record says how to do by hand."""
        record = self.state.workload(SHOP, workload).record
        if record is not None:
            await self.type(shlex.split(record.undo))

    async def type(self, words: Sequence[str]) -> None:
        assert words[:4] == ["kubectl", "-n", SHOP, "patch"]
        assert words[6:9] == ["--type", "merge", "-p"]
        stored, patch = self.state.workloads[SHOP, "/".join(words[4:6])], json.loads(words[9])
        count = stored.switch.read(merged({"metadata": {"annotations": {}}}, patch))
        assert count is not None
        assert patch["metadata"]["annotations"][names.RECORD_ANNOTATION] is None
        del stored.annotations[names.RECORD_ANNOTATION]
        stored.replicas = stored.wanted = count
        self.state.touched(stored, spec=stored.switch.counts_as_change)

    async def delete_workload(self, workload: WorkloadReference) -> None:
        del self.state.workloads[SHOP, str(workload)]
        for place, pod in list(self.state.pods.items()):
            if pod.controller == str(workload):
                del self.state.pods[place]

    async def delete_namespace(self) -> None:
        """Begin to delete all there is; what has a finalizer stays until it is taken off."""
        self.state.terminating.add(SHOP)
        for workload in list(self.state.workloads.values()):
            await self.delete_workload(workload.reference)
        self.state.claims.clear()
        for job in self.state.jobs.values():
            job.deleting = ENDING
        for key in list(self.state.resources):
            self.state.delete(key)

    async def make(self, resource: R) -> R:
        return self.state.make(resource)

    async def delete(self, resource: Resource) -> None:
        self.state.delete(key_of(resource))

    async def touch(self, resource: Resource) -> None:
        stored = self.state.resources[key_of(resource)]
        self.state.alter(stored, labels={**stored.metadata.labels, "touched": str(self.state.version)})

    async def touch_workload(self, workload: WorkloadReference) -> None:
        self.state.touched(self.state.workload(SHOP, workload), spec=False)

    async def announced(self, about: Resource | WorkloadReference) -> list[Announced]:
        if isinstance(about, WorkloadReference):
            events = [event for _, event in self.state.events if event.workload == about]
        else:
            events = [event for place, event in self.state.events if place == str(key_of(about))]
        return [Announced(event.type, event.reason, event.message) for event in events]

    def command(self, pod: str, part: str, ending: Ending) -> RunCommand:
        self.state.scripts[f"{HOOK}/{part}"] = _ENDINGS[ending]
        return RunCommand(part, pod, "", (part,), 30.0)

    async def times_run(self, pod: str, part: str) -> int:
        return [begun for _, begun in self.state.hooks.begun].count(part)

    def hook_job(self, owner: Resource, part: str, ending: Ending) -> V1Job:
        self.state.scripts[f"{HOOK}/{part}"] = _ENDINGS[ending]
        hook = JobHook(template={"spec": {"containers": [{"name": "own", "image": "own:1"}]}})
        metadata = owner.metadata
        return own_job(Owner(owner.kind, metadata.name, metadata.namespace, metadata.uid), part, hook, 60)

    def job(self, owner: Resource, part: str, ending: Ending) -> V1Job:
        storage = Storage(persistent_volume_claim=ClaimStorage(claim_name="repository"))
        spec = BackupRepositorySpec(storage=storage, password_secret_ref=SecretKeyReference(name="password"))
        metadata = owner.metadata
        by = Owner(owner.kind, metadata.name, metadata.namespace, metadata.uid)
        job = access_job(by, spec, Image("becalm:test", "IfNotPresent"), part=part)
        assert job.metadata is not None
        assert job.metadata.name is not None
        self.state.scripts[job.metadata.name] = _ENDINGS[ending]
        return job
