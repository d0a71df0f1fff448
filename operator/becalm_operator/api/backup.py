"""Backup: one run. A schedule makes them, and a person may."""

import enum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from becalm_operator.api.base import Duration, LocalReference, Metadata, Model, Name, Pattern, Time
from becalm_operator.api.conditions import Condition
from becalm_operator.api.downtime import DowntimeParts, Forecast
from becalm_operator.api.dumps import NAMED_ONCE, SOMETHING_TO_DO, Dumps, DumpStatus
from becalm_operator.api.hooks import HookStatus, RunHooks, WorkloadHooks
from becalm_operator.api.identity import Identity
from becalm_operator.api.limits import Needs
from becalm_operator.api.snapshots import Capture, VolumeSnapshotStatus
from becalm_operator.api.workloads import ApiVersion, LabelSelector, WorkloadKind, each_named_once
from becalm_operator.api.workloads import WorkloadReference as WorkloadReference  # noqa: PLC0414  offered here, too


class Phase(enum.StrEnum):
    """Where a Backup or a Restore stands."""

    PENDING = "Pending"
    PREFLIGHT = "Preflight"
    PREPARING = "Preparing"
    QUIESCING = "Quiescing"
    DRAINING = "Draining"
    CAPTURING = "Capturing"
    RESTORING = "Restoring"
    RESUMING = "Resuming"
    UPLOADING = "Uploading"
    FINISHING = "Finishing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def finished(self) -> bool:
        """Whether nothing happens any more."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)

    @property
    def waiting(self) -> bool:
        """Whether the run has claimed nothing yet."""
        return self is Phase.PENDING


def none_empty(field: str) -> str:
    """Return the CEL rule that no pattern of an optional list is empty: movers refuse it, when all is stopped."""
    return f"!has({field}) || {field}.all(p, p.size() > 0)"


class ClaimSelection(Model):
    """Which claims to back up; by default all that the workloads mount."""

    names: Annotated[tuple[Name, ...], Field(max_length=64)] = ()
    """These, whether the workloads mount them or not."""
    selector: LabelSelector | None = None
    """Of the mounted ones, those with these labels."""
    exclude: Annotated[tuple[Name, ...], Field(max_length=64)] = ()
    """Not these."""


class Paths(Model):
    """Which files of a claim to back up."""

    rules: ClassVar = {none_empty("self.exclude"): "a pattern is empty"}
    exclude: Annotated[tuple[Pattern, ...], Field(max_length=128)] = ()
    """Patterns to leave out, as in `restic backup --exclude`."""
    exclude_caches: bool = False
    """Of folders marked with a CACHEDIR.TAG take that alone."""


class Quiesce(Model):
    """How workloads are brought to a standstill."""

    rules: ClassVar = {
        "self.maxDowntime.matches('[1-9]')": "maxDowntime must be more than 0: workloads are started when it is over"
    }
    drain_timeout: Duration = "5m"
    """How long their pods may take to end."""
    max_downtime: Duration = "30m"
    """When the workloads are started again, whatever happens, counted from the first stop."""
    running_jobs: Literal["Wait", "Refuse"] = "Wait"
    """What to do about a Job of a CronJob that runs when the CronJob is to be suspended: give it until drainTimeout to
    end, or stop nothing and fail."""


class BackupQuiesce(Quiesce):
    """How workloads are brought to a standstill for a backup."""

    pre_copy: bool = True
    """Read and upload the volumes once while the workloads still run, and what has changed since when they are down.
    What lies on a file system whose times cannot be trusted is read when they are down alone."""


class Guards(Model):
    """When a backup that could be read is still not believed."""

    on_empty_volume: Literal["Fail", "Allow"] = "Fail"
    """What to do with a volume that holds no files at all."""
    on_empty_dump: Literal["Fail", "Allow"] = "Fail"
    """What to do with a dump of no bytes."""
    max_shrink_percent: Annotated[int, Field(ge=0, le=100)] = 50
    """How much of its size a volume may have lost since the newest Backup of it that is not suspect; 100 for all."""
    on_shrink: Literal["Fail", "Warn"] = "Warn"
    """What to do when it has lost more. Warn keeps the snapshot, tagged `suspect`, and no retention is applied on the
    strength of it; Fail keeps no snapshot."""


class BackupWorkload(WorkloadReference):
    """A workload to stop, and what is done to it around that."""

    hooks: WorkloadHooks = WorkloadHooks()
    """What is done just before it is stopped, and once it is Ready again. Not done if it is at 0 already."""

    @model_validator(mode="before")
    @classmethod
    def _of_a_reference(cls, value: Any) -> Any:
        """Take a mere reference for a workload without hooks."""
        return value.model_dump() if type(value) is WorkloadReference else value


class BackupSpec(Model):
    """Stop workloads, back up their claims at one point in time, start them again."""

    rules: ClassVar = {
        each_named_once("self.workloads"): "a workload is named twice",
        "self.capture == 'Snapshot' || (!has(self.volumeSnapshotClassName) && !has(self.cloneStorageClassName))": (
            "volumeSnapshotClassName and cloneStorageClassName are for capture: Snapshot"
        ),
        SOMETHING_TO_DO: "name workloads to stop, or dumps to take",
        NAMED_ONCE: "two dumps have the same name",
    }
    repository_ref: LocalReference
    """The BackupRepository, of the same namespace."""
    workloads: Annotated[tuple[BackupWorkload, ...], Field(max_length=32)] = ()
    """Stopped in this order, started in the reverse order. None are needed if all there is to do are dumps."""
    claims: ClaimSelection = ClaimSelection()
    """Which claims."""
    paths: Paths = Paths()
    """Which files of them."""
    tags: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[^,]+$", max_length=128)], ...], Field(max_length=16)
    ] = ()
    """Tags of the snapshots."""
    quiesce: BackupQuiesce = BackupQuiesce()
    """How to stop."""
    dumps: Dumps = ()
    """What applications write out by themselves, before anything stops."""
    guards: Guards = Guards()
    """What not to believe."""
    capture: Capture = "Direct"
    """Direct: movers read the claims while the workloads are down. Snapshot: CSI snapshots are made while they are
    down; the workloads are started as soon as the snapshots are ready, and movers read copies of the claims then."""
    volume_snapshot_class_name: Name | None = None
    """For Snapshot: the VolumeSnapshotClass. By default the default one of each claim's driver, or its only one."""
    clone_storage_class_name: Name | None = None
    """For Snapshot: the storage class of the temporary claims that movers read. By default each claim's own."""
    hooks: RunHooks = RunHooks()
    """What is done before the first workload is stopped, and when all are up again."""


class WorkloadStatus(Model):
    """One workload of a run."""

    api_version: ApiVersion | None = None
    """Its apiVersion, if becalm does not know its kind by itself."""
    kind: WorkloadKind
    """Its kind."""
    name: str
    """Its name."""
    uid: str
    """Its UID when the run was planned."""
    replicas: int
    """How many replicas it had then."""
    stopped_at: Time | None = None
    """When it was scaled to 0."""
    released_at: Time | None = None
    """When it was scaled back."""
    started_at: Time | None = None
    """When it was Ready again."""
    error: str = ""
    """Why it could not be stopped or started when that was last tried. A start is tried until it can be done."""
    refused_since: Time | None = None
    """When its stop was refused for the first time, until it is stopped."""
    refused_at: Time | None = None
    """When its stop was refused for the last time. After a minute of refusals the run fails."""

    @property
    def reference(self) -> WorkloadReference:
        """The workload's name."""
        return WorkloadReference(api_version=self.api_version, kind=self.kind, name=self.name)


class VolumeStatus(Model):
    """One claim of a run."""

    claim: str
    """The claim."""
    node: str = ""
    """The node that its mover must run on, if any."""
    identity: Identity | None = None
    """As whom its mover reads it; absent if that is not the workload's user."""
    pre_copied: bool = False
    """Whether it was read once while the workloads still ran."""
    not_pre_copied: Annotated[str, Field(max_length=1024)] = ""
    """Why it was not, though that was wanted."""
    tree: str = ""
    """What was captured."""
    snapshot_id: Annotated[str, Field(alias="snapshotID")] = ""
    """The snapshot that was written."""
    files_new: int = 0
    """Files that the parent did not have."""
    files_changed: int = 0
    """Files that differ from the parent's."""
    files_unmodified: int = 0
    """Files that were taken from the parent."""
    bytes_processed: int = 0
    """How much the volume holds."""
    bytes_added: int = 0
    """How much was uploaded."""
    snapshot: VolumeSnapshotStatus | None = None
    """With capture: Snapshot, what stands between the claim and the mover."""
    suspect: str = ""
    """Why its snapshot is not believed, if it is not."""
    error: str = ""
    """What went wrong with it."""


class RunStatus(Model):
    """What Backup and Restore tell alike."""

    observed_generation: int = 0
    """The generation that the rest is about."""
    phase: Phase = Phase.PENDING
    """Where the run stands."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """What it does, or why it failed, in a sentence."""
    reason: str = ""
    """Why it failed, in a word."""
    conditions: tuple[Condition, ...] = ()
    """Complete, Failed and Quiesced; of a Backup also Suspect, if a volume has lost much, and RetentionFailed."""
    needs: Needs | None = None
    """What it takes of the limits, or waits to take."""
    queued_since: Time | None = None
    """Since when it waits for nothing but its turn."""
    repository_wait_since: Time | None = None
    """Since when it waits for its repository."""
    start_time: Time | None = None
    """When it left Pending."""
    phase_time: Time | None = None
    """When the phase began."""
    completion_time: Time | None = None
    """When it ended."""
    downtime_seconds: int | None = None
    """From the first workload's stop to the last one's being Ready again."""
    downtime: str = ""
    """The same for people."""
    downtime_parts: DowntimeParts | None = None
    """What it was spent on."""
    drained_at: Time | None = None
    """When no pod held the claims any more."""
    resumed_at: Time | None = None
    """When the workloads began to be started again."""
    deadline: Time | None = None
    """While workloads are down: when they are started, whatever happens."""
    workloads: tuple[WorkloadStatus, ...] = ()
    """The workloads that the run stops."""
    repository_id: Annotated[str, Field(alias="repositoryID")] = ""
    """The repository that the run opened."""

    @property
    def must_resume(self) -> bool:
        """Whether something was begun that has to be undone, however the run ends."""
        return any(state.stopped_at for state in self.workloads)


class BackupStatus(RunStatus):
    """What a Backup has done."""

    volumes: tuple[VolumeStatus, ...] = ()
    """The claims that it reads."""
    dumps: tuple[DumpStatus, ...] = ()
    """The dumps that it takes."""
    size_bytes: int = 0
    """How much all of them hold."""
    size: str = ""
    """The same for people."""
    forecast: Forecast | None = None
    """How much downtime was expected before anything was stopped."""
    hooks: tuple[HookStatus, ...] = ()
    """The hooks that were begun, in that order."""

    @property
    def must_resume(self) -> bool:
        """Whether something was begun that has to be undone: a hook may have locked what another one unlocks."""
        return super().must_resume or bool(self.hooks)


class Backup(Model):
    """One run."""

    kind: ClassVar = "Backup"
    plural: ClassVar = "backups"
    spec_rules: ClassVar = {"self == oldSelf": "a Backup is one run; make a new one instead of changing it"}
    metadata: Metadata
    spec: BackupSpec
    status: BackupStatus = BackupStatus()
