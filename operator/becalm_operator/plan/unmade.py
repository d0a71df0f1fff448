"""Snapshots that the API server does not let be made: what it says is told, and after a while the run gives up.

A refusal may pass: a quota frees up, a policy is mended. So they are asked for again as long as one would wait for a
Job. What was said stands in status, as with a workload that is not let be started: the next process knows it, too.
"""

import dataclasses
from collections.abc import Mapping

from becalm_operator.api.backup import BackupStatus, Phase, VolumeStatus
from becalm_operator.api.conditions import Reason
from becalm_operator.plan.outcome import START_TIMEOUT, Failure
from becalm_operator.plan.run import SOON, changed, failing
from becalm_operator.plan.steps import Plan
from becalm_operator.plan.world import World

BackupPlan = Plan[BackupStatus]


def refused(plan: BackupPlan, errors: Mapping[str, str]) -> BackupPlan:
    """Return what may be told of a plan when some snapshots were not made; `errors` has why, by their names."""
    volumes = tuple(
        volume.model_copy(update={"error": errors[name]}) if (name := _name(volume)) in errors else volume
        for volume in plan.status.volumes
    )
    return dataclasses.replace(plan, status=changed(plan.status, volumes=volumes))


def overcome(status: BackupStatus, world: World) -> BackupStatus:
    """Return a status in which no snapshot that was made after all has an error."""
    volumes = tuple(
        volume.model_copy(update={"error": ""}) if _name(volume) in world.snapshots.taken else volume
        for volume in status.volumes
    )
    return changed(status, volumes=volumes)


def given_up(status: BackupStatus, world: World) -> BackupPlan | None:
    """Return the plan of a run whose snapshots were refused for as long as anybody would wait."""
    told = _told(status)
    if not told or status.phase_time is None or world.now - status.phase_time <= START_TIMEOUT:
        return None
    return Plan(failing(status, Failure(Reason.SNAPSHOT_FAILED, told), world.now), again_seconds=SOON)


def shown(plan: BackupPlan) -> BackupPlan:
    """Return a plan of Capturing whose message says what was refused, if anything was."""
    told = _told(plan.status) if plan.status.phase is Phase.CAPTURING else ""
    return dataclasses.replace(plan, status=changed(plan.status, message=told)) if told else plan


def _told(status: BackupStatus) -> str:
    """Say which snapshot is not let be made, and why; nothing if all are."""
    volume = next((one for one in status.volumes if one.error), None)
    return f"no snapshot of claim {volume.claim}: {volume.error}" if volume else ""


def _name(volume: VolumeStatus) -> str:
    return volume.snapshot.name if volume.snapshot else ""
