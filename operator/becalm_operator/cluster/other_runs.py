"""The other runs of a namespace, as far as they stand in the way of one. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from becalm_operator.api.backup import Backup, WorkloadReference
from becalm_operator.api.restore import Restore
from becalm_operator.plan import limits
from becalm_operator.plan.leaving import leaves
from becalm_operator.plan.world import OtherRun, Pod, Share, Workload


def in_the_way(
    runs: Iterable[Backup | Restore], workloads: Mapping[str, Workload], pods: Sequence[Pod], now: datetime
) -> tuple[OtherRun, ...]:
    """Return the runs that work on something, or will; also one that has ended while its mover still ends."""
    return tuple(
        _other(run, workloads)
        for run in runs
        if not run.status.phase.finished or leaves(run.metadata.uid, run.status, pods, now)
    )


def _other(run: Backup | Restore, workloads: Mapping[str, Workload]) -> OtherRun:
    """Return another run as far as it stands in the way: what it works on, or will."""
    status = run.status
    if isinstance(run, Restore):
        claims = {target.into for target in run.spec.targets}
        stopped: Sequence[WorkloadReference] = run.spec.workloads.names
    else:
        claims = {volume.claim for volume in run.status.volumes} or _wanted_claims(run, workloads)
        stopped = run.spec.workloads
    references = {str(reference) for reference in stopped}
    references |= {str(state.reference) for state in status.workloads}
    metadata = run.metadata
    return OtherRun(
        name=metadata.name,
        uid=metadata.uid,
        started=not status.phase.waiting,
        created=metadata.creation_timestamp or datetime.max.replace(tzinfo=UTC),
        claims=frozenset(claims),
        workloads=frozenset(references),
    )


def _wanted_claims(backup: Backup, workloads: Mapping[str, Workload]) -> set[str]:
    """Return the claims that a Backup which has not begun will read at most."""
    if backup.spec.claims.names:
        return set(backup.spec.claims.names)
    named = (workloads.get(str(reference)) for reference in backup.spec.workloads)
    return {claim for workload in named if workload for claim in workload.claims}


def shares(runs: Sequence[Backup | Restore]) -> tuple[Share, ...]:
    """Return what the runs that have not ended take of what is limited."""
    return tuple(limits.share_of(run) for run in runs if not run.status.phase.finished)


def planned_kinds(run: Backup | Restore) -> frozenset[str]:
    """Return the kinds of the workloads that a run has planned with, as kubectl takes them.

    What it names alone is not among them: it holds nothing of it yet, and a kind that must never be listed has to
    fail the run, not to keep it waiting.
    """
    return frozenset(state.reference.resource for state in run.status.workloads)
