"""Whose turn it is: runs that would take more than there is wait in a queue, before anything has begun.

Several limits hold side by side: movers of one repository, workloads down in one namespace and in the cluster. Of
each, a run gets what the runs under way and those before it in the queue leave over. So nobody passes by a run that
needs much, and for its turn only runs under way have to end. A run that needs more than there is takes all of it, and
runs alone.

Only those stand in the queue that wait for nothing else: one whose repository is away, or whose claims are in use,
keeps nobody waiting. So the order may be another one than that of runs on the same claims, and no two wait for
each other.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from becalm_operator.api.backup import Backup, Phase, RunStatus
from becalm_operator.api.base import Metadata
from becalm_operator.api.limits import Needs
from becalm_operator.api.restore import Restore
from becalm_operator.plan import wording
from becalm_operator.plan.world import Share, World

_ONE_JOB = (Phase.RESUMING, Phase.FINISHING)
"""The phases in which the volumes are done with: at most one Job is at work, and writes snapshots."""


@dataclass(frozen=True, slots=True)
class _Pool:
    """Something there is so much of. `takes` says how much of it a run takes."""

    name: str
    use: str
    size: int
    takes: Callable[[Share], int]

    def taken(self, share: Share) -> int:
        """Return what a run gets: never more than there is."""
        return min(self.takes(share), self.size)


def share_of(run: Backup | Restore) -> Share:
    """Return what a run that has not ended takes of the limits, or waits to take."""
    status, metadata = run.status, run.metadata
    waiting = status.phase.waiting
    needs = status.needs or Needs(movers=0 if waiting else 1, workloads=len(status.workloads))
    return Share(
        name=metadata.name,
        uid=metadata.uid,
        namespace=metadata.namespace,
        repository=run.spec.repository_ref.name,
        created=metadata.creation_timestamp or datetime.max.replace(tzinfo=UTC),
        urgent=isinstance(run, Restore),
        started=not waiting,
        queued=waiting and status.queued_since is not None and metadata.deletion_timestamp is None,
        movers=1 if status.phase in _ONE_JOB and not _is_yet_to_read(run) else needs.movers,
        workloads=needs.workloads if status.resumed_at is None else _still_down(status),
    )


def _is_yet_to_read(run: Backup | Restore) -> bool:
    """Say whether a run that starts its workloads has its movers before it."""
    by_snapshots = isinstance(run, Backup) and run.spec.capture == "Snapshot"
    return by_snapshots and run.status.phase is Phase.RESUMING and not run.status.reason


def _still_down(status: RunStatus) -> int:
    return sum(state.stopped_at is not None and state.started_at is None for state in status.workloads)


def wish(metadata: Metadata, needs: Needs, world: World, *, urgent: bool) -> Share:
    """Return what a run that might begin now would take."""
    assert world.repository is not None
    return Share(
        name=metadata.name,
        uid=metadata.uid,
        namespace=metadata.namespace,
        repository=world.repository.metadata.name,
        created=metadata.creation_timestamp or world.now,
        urgent=urgent,
        movers=needs.movers,
        workloads=needs.workloads,
    )


def place_in_queue(mine: Share, world: World) -> str:
    """Return where a run stands in the queue, for people; nothing when its turn has come."""
    for pool, within in _pools(mine, world):
        if said := _place(pool, mine, within):
            return said
    return ""


def hidden(needs: Needs, world: World) -> str:
    """Return where nobody can see how much is down, for people; nothing for a run that it does not concern.

    What was begun there may be all that the limit for the cluster allows, so a run that stops something waits.
    """
    if not (world.caps.per_cluster and needs.workloads and world.unseen):
        return ""
    return (
        f"waiting until runs of {wording.listed(world.unseen)} can be listed: what they hold down counts against the "
        "limit of the cluster; restore the operator's role there, or take a namespace that is gone off watchNamespaces"
    )


def _pools(mine: Share, world: World) -> Iterable[tuple[_Pool, list[Share]]]:
    """Return what is limited, and the runs that take of it."""
    assert world.repository is not None
    movers = world.repository.spec.limits.max_concurrent_movers
    here = [share for share in world.shares if share.namespace == mine.namespace]
    with_same = [share for share in here if share.repository == mine.repository]
    yield _Pool(f"repository {mine.repository}", "movers are in use", movers, lambda s: s.movers), with_same
    use, caps = "workloads are down", world.caps
    if caps.per_namespace:
        yield _Pool(f"namespace {mine.namespace}", use, caps.per_namespace, lambda s: s.workloads), here
    if caps.per_cluster:
        yield _Pool("the cluster", use, caps.per_cluster, lambda s: s.workloads), list(world.shares)


def _place(pool: _Pool, mine: Share, within: Iterable[Share]) -> str:
    takers = [share for share in within if pool.taken(share)]
    used = sum(pool.taken(share) for share in takers if share.started)
    ahead = [share for share in takers if share.queued and share.rank < mine.rank]
    need = pool.taken(mine)
    if need == 0 or used + sum(map(pool.taken, ahead)) + need <= pool.size:
        return ""
    place = f"{wording.ordinal(len(ahead) + 1)} in the queue of {pool.name}"
    state = f"{min(used, pool.size)} of {pool.size} {pool.use}"
    return f"{place}: {state}" + (f", and it needs {need}" if need > 1 else "")
