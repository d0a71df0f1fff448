"""A backup that could be read, and is still not believed: a volume that has lost much since the one before.

What it is compared with is the newest Backup of the claim that nobody doubts. That is why a volume which stays small is
doubted again each time, until a person accepts it by a Backup without this guard. Where no such Backup exists any
more, the snapshot stands in that the engine has taken as the parent.
"""

from collections.abc import Iterable
from datetime import datetime

from becalm_engine.contract import CaptureReport
from becalm_operator.api.backup import Backup, BackupStatus, Phase, VolumeStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.plan import conditions
from becalm_operator.plan.outcome import Failure
from becalm_operator.plan.quantities import size_text
from becalm_operator.plan.steps import Event
from becalm_operator.plan.world import World

SUSPECT_TAG = "suspect"
"""On snapshots that are not believed."""


def shrinkage(backup: Backup, claim: str, report: CaptureReport, former: Iterable[Backup]) -> str:
    """Say how much a volume has lost, if that is more than the guard allows."""
    before, whose = _before(backup, claim, report, former)
    lost, percent = before - report.bytes_processed, backup.spec.guards.max_shrink_percent
    if lost * 100 <= before * percent:
        return ""
    now = size_text(report.bytes_processed)
    return (
        f"the volume shrank from {size_text(before)} ({whose}) to {now}, by {lost * 100 // before} %, which is more "
        f"than guards.maxShrinkPercent ({percent}) allows. If that is right, make a Backup with maxShrinkPercent: 100"
    )


def _before(backup: Backup, claim: str, report: CaptureReport, former: Iterable[Backup]) -> tuple[int, str]:
    """Return how large a volume was, and who says so; 0 if nothing is comparable."""
    known = [one for one in former if _is_trusted(one, backup, claim)]
    if not known:
        return report.parent_bytes, f"snapshot {report.parent[:8]}"
    newest = max(known, key=_ended)
    if newest.spec.paths != backup.spec.paths:
        return 0, ""  # other files were asked for
    sizes = [volume.bytes_processed for volume in newest.status.volumes if volume.claim == claim]
    return sizes[0], f"Backup {newest.metadata.name}"


def _is_trusted(one: Backup, backup: Backup, claim: str) -> bool:
    same = one.spec.repository_ref == backup.spec.repository_ref
    good = one.status.phase is Phase.SUCCEEDED and one.status.completion_time is not None
    mine = [volume for volume in one.status.volumes if volume.claim == claim]
    return same and good and any(not volume.suspect for volume in mine)


def _ended(backup: Backup) -> tuple[datetime, str]:
    assert backup.status.completion_time is not None
    return backup.status.completion_time, backup.metadata.uid


def failure(backup: Backup, claim: str, report: CaptureReport, world: World) -> Failure | None:
    """Return that a capture is not to be kept, where the guard says that such a run fails."""
    if backup.spec.guards.on_shrink != "Fail":
        return None
    lost = shrinkage(backup, claim, report, world.former)
    return Failure(Reason.VOLUME_SHRANK, lost) if lost else None


def doubt(volumes: Iterable[VolumeStatus]) -> str:
    """Say what is not believed of a Backup; nothing if all is."""
    return "; ".join(f"claim {volume.claim}: {volume.suspect}" for volume in volumes if volume.suspect)


def marked(status: BackupStatus, backup: Backup, now: datetime) -> tuple[BackupStatus, tuple[Event, ...]]:
    """Return a status that says what is not believed, and the event that does."""
    said = doubt(status.volumes)
    if not said:
        return status, ()
    told = Failure(Reason.VOLUME_SHRANK, said)
    event = Event(Reason.VOLUME_SHRANK.value, said, "Warning")
    return conditions.noted(status, backup.metadata, "Suspect", told, now), (event,)


def is_suspect(backup: Backup) -> bool:
    """Say whether any volume of a Backup is not believed."""
    return bool(doubt(backup.status.volumes))
