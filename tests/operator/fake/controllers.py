"""The controllers of the cluster in memory: one `tick` is a second of their work."""

from datetime import timedelta

from becalm_operator.cluster.port import Key
from becalm_operator.manifests.jobs import RESTORE
from tests.operator.fake import snapshots
from tests.operator.fake.job_views import pod_of
from tests.operator.fake.movers import tree_of
from tests.operator.fake.objects import StoredClaim, StoredJob, StoredPod, StoredWorkload
from tests.operator.fake.state import State, owner_uids

TICK = timedelta(seconds=1)
STARTING, ENDING = 2, 2
"""How many ticks a pod takes to be Ready, and to end."""
_KEPT = timedelta(hours=24)


def tick(state: State) -> None:
    """Let a second pass."""
    state.now += TICK
    for job in list(state.jobs.values()):
        _advance_job(state, job)
    for command in state.hooks.commands.values():
        command.age += 1
    for pod in list(state.pods.values()):
        _advance_pod(state, pod)
    for workload in list(state.workloads.values()):
        _advance_workload(state, workload)
    for rival in state.rivals:
        rival(state)
    snapshots.advance(state)
    _note_torn(state)
    _collect_garbage(state)


# --- pods


def _advance_pod(state: State, pod: StoredPod) -> None:
    pod.age += 1
    if pod.lasts is not None and pod.age >= pod.lasts:
        del state.pods[pod.namespace, pod.name]
        return
    if pod.ending is None or pod.controller in state.held_pods:
        return
    pod.ending -= 1
    if pod.ending <= 0:
        del state.pods[pod.namespace, pod.name]


def _advance_workload(state: State, workload: StoredWorkload) -> None:
    if not workload.has_pods:
        return
    before = (workload.observed, workload.ready)
    workload.observed = workload.generation
    workload.revisions[-1].update(workload.annotations)
    mine = [
        pod
        for pod in state.pods.values()
        if (pod.namespace, pod.controller) == (workload.namespace, str(workload.reference))
    ]
    live = [pod for pod in mine if pod.ending is None]
    for pod in live[workload.replicas :]:
        pod.ending = ENDING
    if len(live) < workload.replicas:
        _make_pods(state, workload, mine, live)
    workload.ready = sum(pod.age >= STARTING for pod in live[: workload.replicas])
    if (workload.observed, workload.ready) != before:
        state.touched(workload, spec=False)


def _make_pods(state: State, workload: StoredWorkload, mine: list[StoredPod], live: list[StoredPod]) -> None:
    """Make the pods that lack: a StatefulSet's one by one, each when the one before is Ready."""
    stateful = workload.reference.kind == "StatefulSet"
    if stateful and (len(mine) > len(live) or any(pod.age < STARTING for pod in live)):
        return
    missing = range(len(live), len(live) + 1 if stateful else workload.replicas)
    for ordinal in missing:
        name = workload.reference.name
        name = f"{name}-{ordinal}" if stateful else f"{name}-{state.next_version(watched=False)}"
        claims = workload.claims_of(ordinal)
        for claim in claims:
            if (workload.namespace, claim) not in state.claims and claim not in workload.mounts:
                state.claims[workload.namespace, claim] = StoredClaim(workload.namespace, claim)
        pod = StoredPod(workload.namespace, name, str(workload.reference), claims, state.now)
        state.pods[workload.namespace, name] = pod


# --- Jobs


def _advance_job(state: State, job: StoredJob) -> None:
    job.age += 1
    job.has_room = not any(pod.namespace == job.namespace and not pod.ours for pod in state.pods.values())
    if job.deleting is not None:
        _advance_deletion(state, job)
    elif job.phase == "made" and job.snapshot and not snapshots.begin(state, job):
        job.waits = True
    elif job.phase == "made" and not job.is_stuck:
        job.phase = "running"
        state.next_version()
    elif job.phase == "running" and not job.reads:
        _wait_at_gate(state, job)
    elif job.phase == "running" and not job.script.hangs and job.age - job.opened_age > job.script.ticks:
        _end_job(state, job)
    elif job.ended_at is not None and state.now - job.ended_at >= _KEPT:
        del state.jobs[job.namespace, job.name]


def _wait_at_gate(state: State, job: StoredJob) -> None:
    if job.age == job.script.ahead:
        state.next_version()
    if job.age == job.script.falls:
        if job.script.report is not None:
            job.exit_code, job.report = state.store.end(job)
        job.phase, job.ended_at = "failed", state.now
        state.next_version()


def _advance_deletion(state: State, job: StoredJob) -> None:
    """A Job stays visible until its pod is gone."""
    if job.script.frozen and job.has_pod:
        return
    assert job.deleting is not None
    job.deleting -= 1
    if job.deleting <= 0 or not job.has_pod:
        del state.jobs[job.namespace, job.name]
        state.next_version()


def _end_job(state: State, job: StoredJob) -> None:
    if job.script.evicted:
        state.store.locks.add(pod_of(job))
    else:
        job.exit_code, job.report = state.store.end(job)
        job.dump_exit_code = job.script.dump_exit_code if job.role == "dump" else None
    job.phase = "succeeded" if job.exit_code == 0 and not job.dump_exit_code else "failed"
    job.ended_at = state.now
    state.next_version()


def _note_torn(state: State) -> None:
    """Note the captures that go on while somebody else's pod has the claim: no snapshot may come of them."""
    for job in state.jobs.values():
        mover = job.role == "mover" and job.phase == "running"
        reads = mover and job.reads and not job.snapshot
        if reads and _has_strangers(state, job):
            state.store.torn.add(tree_of(job))


def _has_strangers(state: State, job: StoredJob) -> bool:
    restoring = (other for other in state.jobs.values() if other.role == RESTORE and other.phase == "running")
    if any((other.namespace, other.claim) == (job.namespace, job.claim) for other in restoring):
        return True
    return any(
        pod.namespace == job.namespace and job.claim in pod.claims and not pod.ours
        for pod in state.pods.values()
    )


# --- garbage


def _collect_garbage(state: State) -> None:
    alive = {resource.metadata.uid for resource in state.resources.values()}
    for job in list(state.jobs.values()):
        if job.owner_uid not in alive and job.deleting is None:
            job.deleting = ENDING
    for key, resource in list(state.resources.items()):
        owners = owner_uids(resource)
        if owners and not owners & alive:
            _delete(state, key)


def _delete(state: State, key: Key) -> None:
    state.delete(key)
