"""What a Backup publishes at its end: which snapshots the commit writes, and what they are called in status."""

from becalm_engine.contract import CaptureReport, CommitPlan, PlannedSnapshot, summary_of
from becalm_operator.api import names
from becalm_operator.api.backup import Backup, BackupStatus
from becalm_operator.api.base import to_utc, zoned_text
from becalm_operator.manifests import jobs
from becalm_operator.manifests.jobs import MOVER
from becalm_operator.manifests.names import job_name
from becalm_operator.manifests.owned import Owner
from becalm_operator.plan import dumps, guards, hooks
from becalm_operator.plan.outcome import report_of
from becalm_operator.plan.quantities import size_text
from becalm_operator.plan.run import changed
from becalm_operator.plan.schedule import zone_of
from becalm_operator.plan.world import World


def commit_plan(backup: Backup, status: BackupStatus, owner: Owner, world: World) -> CommitPlan:
    """Return the snapshots that the commit writes: one time for all volumes, the moment the last workload stopped.

    Times have the offset of the schedule's zone, so that its retention counts the days of that zone.
    """
    stops = [state.stopped_at for state in status.workloads if state.stopped_at]
    moment = max(stops, default=status.start_time or to_utc(world.now))
    zone = zone_of(world.schedule)
    tags = list(backup.spec.tags)
    if schedule := backup.metadata.labels.get(names.SCHEDULE_LABEL):
        tags.append(jobs.schedule_tag(schedule))
    planned = []
    for volume in status.volumes:
        job = world.jobs.get(job_name(owner.name, owner.uid, MOVER, volume.claim))
        report = report_of(job, CaptureReport) if job else None
        planned.append(
            PlannedSnapshot(
                tree=volume.tree,
                hostname=owner.namespace,
                paths=(jobs.data_path(volume.claim),),
                time=zoned_text(moment, zone),
                tags=(*tags, guards.SUSPECT_TAG) if volume.suspect else tuple(tags),
                parent=report.parent if report else "",
                summary=summary_of(report) if report else {},
            )
        )
    return CommitPlan((*planned, *dumps.snapshots(status, owner, world, tuple(tags), zone)))


def published(status: BackupStatus, snapshots: tuple[str, ...]) -> BackupStatus:
    """Return a status with the ids of the snapshots, which come in the plan's order."""
    named = iter(snapshots)
    volumes = tuple(volume.model_copy(update={"snapshot_id": next(named)}) for volume in status.volumes)
    taken = tuple(dump.model_copy(update={"snapshot_id": next(named)}) for dump in status.dumps)
    return changed(status, volumes=volumes, dumps=taken)


def is_published(status: BackupStatus) -> bool:
    """Say whether the snapshots are written."""
    return any(one.snapshot_id for one in status.volumes) or any(one.snapshot_id for one in status.dumps)


def summary(status: BackupStatus) -> str:
    """Say what a run has written, how much of it was new, and what is not believed."""
    doubt = guards.doubt(status.volumes)
    return written(status) + (f"; but it is suspect: {doubt}" if doubt else "")


def written(status: BackupStatus) -> str:
    """Say what a run has written, and how much of it was new."""
    count, taken = len(status.volumes), len(status.dumps)
    volumes = "one volume" if count == 1 else f"{count} volumes at one point in time"
    dumped = "one dump" if taken == 1 else f"{taken} dumps"
    both = " and ".join([*([volumes] if count else []), *([dumped] if taken else [])])
    return f"{both}: {_news(status)}{hooks.complaints(status)}"


def _news(status: BackupStatus) -> str:
    fresh = sum(volume.files_new for volume in status.volumes)
    altered = sum(volume.files_changed for volume in status.volumes)
    files = f"{fresh:,} new and {altered:,} changed files, " if status.volumes else ""
    added = sum(volume.bytes_added for volume in status.volumes)
    added += sum(dump.bytes_added for dump in status.dumps)
    return f"{files}{size_text(added)} added"
