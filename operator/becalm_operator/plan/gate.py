"""Movers that are started before anything is stopped, and wait at a closed gate until all stands still.

What takes time is done there: the image, the scheduler, the volume, the repository, and a first pass over the files. So
it costs no downtime, and what cannot work fails the run while everything is up.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from becalm_engine.contract import CaptureReport
from becalm_operator.api.backup import Backup, BackupStatus, Phase, VolumeStatus, WorkloadStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.api.repository import BackupRepository
from becalm_operator.manifests.gate import CLOSED, Gate
from becalm_operator.manifests.jobs import MOVER, mover_job
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import deadlines, fitting, preflight, run, wording
from becalm_operator.plan.deadlines import PREPARING_TIMEOUT
from becalm_operator.plan.outcome import Failure, cannot_start, failure_of, is_missing
from becalm_operator.plan.preflight import RefusalError
from becalm_operator.plan.quantities import duration_text
from becalm_operator.plan.run import SOON, WAITING, WATCHED, WATCHING, changed, entered, failing
from becalm_operator.plan.steps import Action, ApplyJob, DeleteJob, OpenGate, Plan
from becalm_operator.plan.world import JobState, World

BackupPlan = Plan[BackupStatus]

_CALLS_AFTER_SECONDS = (1.0, 3.0, 7.0, 15.0, 31.0)
"""When a node is called to look at an open gate once more. A kubelet that writes a pod's files just while an annotation
changes takes it for done (`MarkVolumeAsMounted` of its volume manager), and looks by itself a minute later."""

ALONE = "its access mode is ReadWriteOncePod: no mover may mount it beside the workload"


def preparing(backup: Backup, status: BackupStatus, owner: Owner, world: World) -> BackupPlan:
    """Start the movers, and wait until each stands at its gate; nothing is stopped before."""
    status = fitting.postponed(status, _standing(status, owner, world), world)
    leaving = _postponed_movers(status, owner, world)
    if leaving:
        return Plan(status, [DeleteJob(job.name) for job in leaving], again_seconds=WATCHING)
    gone = run.without_repository(status, world) or fallen(status, owner, world)
    if gone:
        return gone
    waiting = _waited_for(status, owner, world)
    if not waiting:
        # looked at again: reading ahead may have taken hours
        status = changed(status, workloads=_planned_again(backup, status, world))
        return Plan(entered(status, Phase.QUIESCING, world.now, "stopping workloads"), again_seconds=SOON)
    late = _too_late(status.phase_time, waiting, world.now)
    if late:
        return Plan(failing(status, late, world.now), again_seconds=SOON)
    stuck = next((job.stuck for job in movers(owner, status, world) if job.stuck), "")
    what = "reading ahead" if backup.spec.quiesce.pre_copy else "starting movers"
    count = len(status.volumes)
    message = stuck or wording.progress(what, count - len(waiting), count, "volumes ready")
    actions = _missing(backup, status, owner, world)
    return Plan(changed(status, message=message), actions, again_seconds=WAITING)


def fallen(status: BackupStatus, owner: Owner, world: World) -> BackupPlan | None:
    """Return the plan of a run that a mover at its gate has let down."""
    found = _found(status, owner, world)
    return failed_volume(status, *found, world) if found else None


def failed_volume(status: BackupStatus, claim: str, failure: Failure, world: World) -> BackupPlan:
    """Return the plan of a run that fails for one of its volumes."""
    volumes = tuple(
        one.model_copy(update={"error": failure.message}) if one.claim == claim else one
        for one in status.volumes
    )
    reason = Failure(failure.reason, f"claim {claim}: {failure.message}")
    return Plan(failing(changed(status, volumes=volumes), reason, world.now), again_seconds=SOON)


def movers(owner: Owner, status: BackupStatus, world: World) -> list[JobState]:
    """Return the movers of a run's volumes, as far as there are any."""
    return [job for _, job in _with_movers(status.volumes, owner, world)]


def _with_movers(
    volumes: Iterable[VolumeStatus], owner: Owner, world: World
) -> list[tuple[VolumeStatus, JobState]]:
    """Return the volumes whose movers exist, each with its own."""
    found = ((volume, world.jobs.get(mover_name(owner, volume.claim))) for volume in volumes)
    return [(volume, job) for volume, job in found if job is not None]


def mover_name(owner: Owner, claim: str) -> str:
    """Return the name of the Job that reads a claim."""
    return job_name(owner.name, owner.uid, MOVER, claim)


def planned(world: World, claim: str, node: str) -> VolumeStatus:
    """Return the status of a volume before anything is done about it."""
    found = world.claims.get(claim)
    alone = found is not None and found.one_pod
    return VolumeStatus(claim=claim, node=node, not_pre_copied=ALONE if alone else "")


def _prepared(status: BackupStatus) -> list[VolumeStatus]:
    """Return the volumes whose movers are started ahead: those that are read themselves, beside who mounts them."""
    return [volume for volume in status.volumes if volume.snapshot is None and not volume.not_pre_copied]


def _standing(status: BackupStatus, owner: Owner, world: World) -> list[tuple[VolumeStatus, JobState]]:
    """Return the movers that are to be at their gates and exist, each with its volume."""
    return _with_movers(_prepared(status), owner, world)


def _postponed_movers(status: BackupStatus, owner: Owner, world: World) -> list[JobState]:
    """Return the movers that have found no room: their place is after the stop."""
    late = [volume for volume in status.volumes if volume.snapshot is None and volume.not_pre_copied]
    return [job for _, job in _with_movers(late, owner, world)]


def _missing(backup: Backup, status: BackupStatus, owner: Owner, world: World) -> list[Action]:
    """Return what makes the movers that have to be at their gates, and do not exist yet."""
    gate = Gate(pre_copy=backup.spec.quiesce.pre_copy)
    return [
        mover(backup, volume, owner, world, gate)
        for volume in _prepared(status)
        if is_missing(world.jobs.get(mover_name(owner, volume.claim)))
    ]


def mover(
    backup: Backup, volume: VolumeStatus, owner: Owner, world: World, gate: Gate | None = None
) -> ApplyJob:
    """Return what makes the mover of a volume; without a gate it reads at once."""
    assert world.repository is not None
    made = mover_job(
        owner,
        world.repository.spec,
        world.image,
        backup=backup.spec,
        claim=volume.claim,
        node=volume.node,
        identity=volume.identity,
        snapshot=volume.snapshot,
        gate=gate,
        deadline_seconds=_deadline_seconds(backup, volume, world.repository, gate),
    )
    return ApplyJob(made)


def _deadline_seconds(
    backup: Backup, volume: VolumeStatus, repository: BackupRepository, gate: Gate | None
) -> int | None:
    wished = repository.spec.mover.active_deadline_seconds
    return deadlines.of_mover(
        backup, gated=gate is not None, clone=volume.snapshot is not None, wished=wished
    )


def _waited_for(status: BackupStatus, owner: Owner, world: World) -> list[str]:
    """Return the claims whose movers do not stand at their gates yet."""
    return [
        volume.claim
        for volume in _prepared(status)
        if not ((job := world.jobs.get(mover_name(owner, volume.claim))) and job.ready)
    ]


def _found(status: BackupStatus, owner: Owner, world: World) -> tuple[str, Failure] | None:
    """Return the claim whose mover does not get to its gate, has left it, or stands in the way there, and why."""
    for volume, job in _standing(status, owner, world):
        found = _failure(job, volume, world)
        if found:
            return volume.claim, found
    return None


def _failure(job: JobState, volume: VolumeStatus, world: World) -> Failure | None:
    if job.finished:
        return failure_of(job, CaptureReport, Reason.MOVER_FAILED)
    return cannot_start(job, world.now) or _in_the_way(job, volume, world)


def _in_the_way(job: JobState, volume: VolumeStatus, world: World) -> Failure | None:
    """Return that a pod waits for its volume on another node, where it cannot be mounted while the mover has it."""
    claim = world.claims.get(volume.claim)
    node = next((pod.node for pod in world.pods if pod.ours and pod.name == job.pod), "")
    if not node or claim is None or not claim.node_bound:
        return None
    for pod in world.consumers(frozenset((volume.claim,))):
        if pod.node not in ("", node):
            moved = f"pod {pod.name} was placed on {pod.node} while the mover held the volume on {node}"
            return Failure(Reason.WORKLOAD_CHANGED, moved)
    return None


def _too_late(since: datetime | None, claims: Iterable[str], now: datetime) -> Failure | None:
    """Return that movers have taken too long to get to their gates."""
    if since is None or now - since <= PREPARING_TIMEOUT:
        return None
    which, patience = ", ".join(claims), duration_text(int(PREPARING_TIMEOUT.total_seconds()))
    return Failure(Reason.MOVER_FAILED, f"the movers of {which} were not ready within {patience}")


def openings(movers: Iterable[JobState], since: datetime, now: datetime) -> list[Action]:
    """Return what opens the gates that are closed, and calls those who may not have seen theirs open, since then."""
    calls = sum(now - since >= timedelta(seconds=after) for after in _CALLS_AFTER_SECONDS)
    return [
        OpenGate(job.pod, calls)
        for job in movers
        if not job.finished and (job.gate == CLOSED or (job.gate and job.gate_calls < calls))
    ]


def until_next_call(since: datetime, now: datetime) -> float:
    """Return the seconds until somebody has to be called again, or until it is worth looking anyhow."""
    left = (after - (now - since).total_seconds() for after in _CALLS_AFTER_SECONDS)
    return min((seconds for seconds in left if seconds > 0), default=WATCHED)


def _planned_again(backup: Backup, status: BackupStatus, world: World) -> tuple[WorkloadStatus, ...]:
    """Return the workloads as they are now that all movers are ready.

    Raises:
        RefusalError: What was planned cannot be done any more, or would leave a claim out.
    """
    workloads = preflight.resolve_workloads(world, backup.spec.workloads)
    claims = frozenset(preflight.resolve_claims(world, backup))
    before = frozenset(volume.claim for volume in status.volumes)
    if claims != before:
        which = ", ".join(sorted(claims ^ before)[:5])
        others = f"other claims are mounted than when the run began ({which}); the next run takes them"
        raise RefusalError(Failure(Reason.WORKLOAD_CHANGED, others))
    preflight.refuse_strangers(world, claims, backup.spec.workloads)
    preflight.refuse_running_jobs(world, claims, workloads, backup.spec.quiesce)
    return workloads
