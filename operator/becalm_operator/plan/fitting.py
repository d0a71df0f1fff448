"""Movers that find no room beside the workload they read: where the stop makes room, they come after it.

A mover stands on the node that has the volume. If that node is full, and the pods that will be stopped there give back
what the mover lacks, its volume is read without a mover that waits, as one is of access mode ReadWriteOncePod.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from becalm_operator.api.backup import BackupStatus, VolumeStatus
from becalm_operator.plan.outcome import cannot_start
from becalm_operator.plan.world import JobState, Pod, World

_INSUFFICIENT = re.compile(r"Insufficient ([\w./-]*\w)")
_TOO_MANY_PODS = "Too many pods"
_PODS = "pods"
_MOST_CHARS = 1024


def postponed(
    status: BackupStatus, movers: Sequence[tuple[VolumeStatus, JobState]], world: World
) -> BackupStatus:
    """Return a status in which volumes whose movers come after the stop say why; `movers` are to stand before it."""
    late = [(volume, job) for volume, job in movers if _waits_for_room(volume, job, world.now)]
    why = {
        volume.claim: f"its mover had no room on {volume.node} beside the workload: {job.stuck}"[:_MOST_CHARS]
        for volume, job in late
        if _is_made_by_stop(status, volume.node, [one for one in late if one[0].node == volume.node], world)
    }
    if not why:
        return status
    volumes = tuple(
        one.model_copy(update={"not_pre_copied": why[one.claim]}) if one.claim in why else one
        for one in status.volumes
    )
    return status.model_copy(update={"volumes": volumes})


def lacking(stuck: str) -> frozenset[str]:
    """Return what a pod lacks on a node, by the scheduler's words: `cpu`, `memory`, `pods` and the like."""
    found = set(_INSUFFICIENT.findall(stuck))
    return frozenset(found | ({_PODS} if _TOO_MANY_PODS in stuck else set()))


def _waits_for_room(volume: VolumeStatus, job: JobState, now: datetime) -> bool:
    return bool(volume.node and lacking(job.stuck)) and cannot_start(job, now) is not None


def _is_made_by_stop(
    status: BackupStatus, node: str, late: Sequence[tuple[VolumeStatus, JobState]], world: World
) -> bool:
    """Say whether the stop gives back all that the late movers of a node lack together."""
    names = {job.pod for _, job in late}
    wanting = [pod for pod in world.pods if pod.name in names]
    stopped = {str(state.reference) for state in status.workloads if state.replicas}
    leaving = [pod for pod in world.pods if pod.owner in stopped and pod.node == node and not pod.ended]
    resources = frozenset[str]().union(*(lacking(job.stuck) for _, job in late))
    return len(wanting) == len(late) and all(
        0 < _requested(wanting, one) <= _requested(leaving, one) for one in resources
    )


def _requested(pods: Iterable[Pod], resource: str) -> Decimal:
    if resource == _PODS:
        return Decimal(sum(1 for _ in pods))
    return sum((pod.requests.get(resource, Decimal()) for pod in pods), Decimal())
