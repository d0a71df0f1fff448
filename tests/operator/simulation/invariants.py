"""What must hold at every moment, and what must hold at the end."""

from datetime import timedelta

from becalm_operator.api.backup import Backup, Phase
from becalm_operator.api.hooks import When
from becalm_operator.cluster.port import Key
from tests.operator.fake.movers import snapshot_of
from tests.operator.simulation.shop import RUN, SWEEP_SECONDS, Operator, Shop

_SLACK = timedelta(seconds=SWEEP_SECONDS + 10)


def check_always(shop: Shop) -> None:
    """See that whatever is down says how to start it again, and that no moving volume became a snapshot."""
    for workload in shop.state.workloads.values():
        record = workload.record
        if workload.replicas == 0 and workload.wanted > 0:
            assert record is not None, f"{workload.reference} is at 0 without a record"
            assert record.replicas == workload.wanted, f"{workload.reference} has a wrong record: {record}"
        if workload.wanted == 0:
            assert workload.replicas == 0, f"{workload.reference} was at 0, and was started"
            assert record is None, f"{workload.reference} was at 0, and has a record"
    trees = {snapshot.tree for _, group in shop.state.store.groups for snapshot in group}
    assert not trees & shop.state.store.torn, "a volume was read while somebody could write it"
    uploads = [job.name for job in shop.state.jobs.values() if job.snapshot and job.phase == "running"]
    held = [str(workload.reference) for workload in shop.state.workloads.values() if workload.record]
    assert not (uploads and held), f"{held} are down while snapshots are read by {uploads}"


def check_holders(shop: Shop) -> None:
    """See that no run goes while it holds a workload down: its finalizer keeps it, whoever deletes it."""
    uids = {resource.metadata.uid for resource in shop.state.resources.values()}
    for workload in shop.state.workloads.values():
        record = workload.record
        assert record is None or record.by.uid in uids, f"{workload.reference} is held by a run that is gone"


def check_deadline(shop: Shop, operator: Operator | None) -> None:
    """See that nothing is down long after its deadline, if an operator has been there."""
    if operator is None:
        return
    for workload in shop.state.workloads.values():
        record = workload.record
        if record is not None and workload.replicas == 0:
            latest = max(record.deadline, operator.born) + _SLACK
            assert shop.state.now <= latest, f"{workload.reference} is down beyond its deadline: {record}"


def check_end(shop: Shop, key: Key = RUN) -> None:
    """See that all is up again, and that the run has ended, in one way or the other."""
    for workload in shop.state.workloads.values():
        assert workload.replicas == workload.wanted, f"{workload.reference} is at {workload.replicas}"
        assert not workload.annotations, f"{workload.reference} still has {workload.annotations}"
    run = shop.run(key)
    assert shop.is_over(key), f"{key} is stuck: {run and run.status}"
    if isinstance(run, Backup):
        check_snapshots(shop, run)
        check_hooks(shop, run)
    check_nothing_is_left(shop)


def check_nothing_is_left(shop: Shop) -> None:
    """See that of a Backup by snapshots nothing is left, unless the operator has no say any more."""
    left = [one.name for one in shop.state.snapshots.values()]
    left += [job.name for job in shop.state.jobs.values() if job.snapshot and job.deleting is None]
    assert not left, f"nobody has cleared away {left}"


def check_hooks(shop: Shop, backup: Backup) -> None:
    """See that no hook was begun twice, that the end of each is told, and that none is owed."""
    begun = [part for uid, part in shop.state.hooks.begun if uid == backup.metadata.uid]
    assert len(begun) == len(set(begun)), f"a hook was begun twice: {begun}"
    told = backup.status.hooks
    assert all(hook.finished_at and hook.outcome for hook in told), told
    after = {(hook.workload, hook.name) for hook in told if hook.when is When.AFTER}
    if backup.status.must_resume:
        owed = {("", hook.name) for hook in backup.spec.hooks.after}
        assert owed <= after, f"owed by the run, and not begun: {owed - after}"
    touched = {hook.workload for hook in told if hook.when is When.BEFORE}
    touched |= {str(state.reference) for state in backup.status.workloads if state.stopped_at}
    for workload in backup.spec.workloads:
        owed = {(str(workload), hook.name) for hook in workload.hooks.after if str(workload) in touched}
        assert owed <= after, f"owed to {workload}, and not begun: {owed - after}"


def check_snapshots(shop: Shop, backup: Backup) -> None:
    """See that a Backup has the snapshots of all its volumes and dumps in one group, or says that it failed."""
    groups = [group for uid, group in shop.state.store.groups if uid == backup.metadata.uid]
    assert len(groups) <= 1, f"{len(groups)} groups were written"
    if backup.status.phase is Phase.SUCCEEDED:
        status = backup.status
        assert [len(group) for group in groups] == [len(status.volumes) + len(backup.spec.dumps)]
        captured = [(one.tree, one.snapshot_id) for one in status.volumes]
        captured += [(one.tree, one.snapshot_id) for one in status.dumps]
        assert captured == [(one.tree, snapshot_of(one.tree)) for one in groups[0]]
        assert len({snapshot.time for snapshot in groups[0][: len(status.volumes)]}) <= 1
    if backup.status.reason in ("DumpFailed", "EmptyDump"):
        assert not any(workload.stopped_at for workload in backup.status.workloads), "something was stopped"
