"""Status conditions, and the closed set of reasons they give."""

import enum
from typing import Annotated, Literal

from pydantic import Field

from becalm_operator.api.base import Model, Time


class Reason(enum.StrEnum):
    """Why a condition is as it is. The docstring beside each is what the reference prints."""

    # a run on its way
    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    # refused before anything was stopped
    REPOSITORY_NOT_READY = "RepositoryNotReady"
    WORKLOAD_NOT_FOUND = "WorkloadNotFound"
    WORKLOAD_OWNED = "WorkloadOwned"
    WORKLOAD_NOT_SCALABLE = "WorkloadNotScalable"
    WORKLOAD_DELETES_CLAIMS = "WorkloadDeletesClaims"
    WORKLOAD_ALREADY_STOPPED_BY_OTHER = "WorkloadStoppedByOther"
    CLAIM_NOT_FOUND = "ClaimNotFound"
    CLAIM_NOT_BOUND = "ClaimNotBound"
    CLAIM_IS_BLOCK_DEVICE = "ClaimIsBlockDevice"
    CLAIM_IN_USE = "ClaimInUse"
    NO_CLAIMS = "NoClaims"
    CLAIMS_UNKNOWN = "ClaimsUnknown"
    TOO_MANY_CLAIMS = "TooManyClaims"
    SNAPSHOTS_UNAVAILABLE = "SnapshotsUnavailable"
    SNAPSHOT_UNSUPPORTED = "SnapshotUnsupported"
    HOOKS_NOT_ALLOWED = "HooksNotAllowed"
    DUMPS_NOT_ALLOWED = "DumpsNotAllowed"
    INVALID_HOOK = "InvalidHook"
    MOVER_USER_UNKNOWN = "MoverUserUnknown"
    BACKUP_NOT_FOUND = "BackupNotFound"
    SNAPSHOT_NOT_FOUND = "SnapshotNotFound"
    # about the repository
    READY = "Ready"
    INITIALISING = "Initialising"
    PROBING = "Probing"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105  a reason, not a secret
    WRONG_PASSWORD = "WrongPassword"  # noqa: S105  a reason, not a secret
    REPOSITORY_MISSING = "RepositoryMissing"
    REPOSITORY_REPLACED = "RepositoryReplaced"
    STORAGE_DENIED = "StorageDenied"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    REPOSITORY_DAMAGED = "RepositoryDamaged"
    REPOSITORY_LOCKED = "RepositoryLocked"
    # while workloads are down
    QUIESCED = "Quiesced"
    RELEASED = "Released"
    NOTHING_STOPPED = "NothingStopped"
    HOOK_FAILED = "HookFailed"
    DRAIN_TIMEOUT = "DrainTimeout"
    DOWNTIME_EXCEEDED = "DowntimeExceeded"
    TAINTED = "Tainted"
    WORKLOAD_CHANGED = "WorkloadChanged"
    STOP_REFUSED = "StopRefused"
    SNAPSHOT_FAILED = "SnapshotFailed"
    MOVER_FAILED = "MoverFailed"
    MOVER_NOT_STARTED = "MoverNotStarted"
    FILES_UNREADABLE = "FilesUnreadable"
    EMPTY_VOLUME = "EmptyVolume"
    DUMP_FAILED = "DumpFailed"
    EMPTY_DUMP = "EmptyDump"
    VOLUME_SHRANK = "VolumeShrank"
    COMMIT_FAILED = "CommitFailed"
    RETENTION_FAILED = "RetentionFailed"
    RESTORE_FAILED = "RestoreFailed"
    DELETED = "Deleted"
    INTERNAL = "InternalError"
    # about a schedule
    SCHEDULED = "Scheduled"
    SUSPENDED = "Suspended"
    INVALID_SCHEDULE = "InvalidSchedule"
    LAST_BACKUP_FAILED = "LastBackupFailed"
    BACKUP_REFUSED = "BackupRefused"


EXPLANATIONS: dict[Reason, str] = {
    Reason.WAITING: "The run waits for its repository, for another run on the same objects, or for its turn.",
    Reason.RUNNING: "The run is under way; the phase says where.",
    Reason.SUCCEEDED: "All of it is done.",
    Reason.REPOSITORY_NOT_READY: "The BackupRepository does not exist or cannot be opened.",
    Reason.WORKLOAD_NOT_FOUND: "A named workload does not exist.",
    Reason.WORKLOAD_OWNED: "Another controller owns the workload and would scale it back.",
    Reason.WORKLOAD_NOT_SCALABLE: "The operator was not told of the kind, it has no count, or an autoscaler pins it.",
    Reason.WORKLOAD_DELETES_CLAIMS: "The StatefulSet deletes its claims when scaled (whenScaled: Delete).",
    Reason.WORKLOAD_ALREADY_STOPPED_BY_OTHER: "Another run holds the workload down, or its record cannot be read.",
    Reason.CLAIM_NOT_FOUND: "A named claim does not exist.",
    Reason.CLAIM_NOT_BOUND: "A claim has no volume.",
    Reason.CLAIM_IS_BLOCK_DEVICE: "A claim has volumeMode: Block: it is a device without files.",
    Reason.CLAIM_IN_USE: "Pods that this run would not stop mount a claim, or those of a running Job with "
    "quiesce.runningJobs Refuse; or two targets are one claim.",
    Reason.NO_CLAIMS: "The workloads mount no claims, or all were excluded.",
    Reason.CLAIMS_UNKNOWN: "Pods are missing of a workload whose claims only its pods tell.",
    Reason.TOO_MANY_CLAIMS: "One Backup can take 64 claims.",
    Reason.SNAPSHOTS_UNAVAILABLE: "The cluster has no VolumeSnapshots, or the operator may not do what they take.",
    Reason.SNAPSHOT_UNSUPPORTED: "A claim's driver has no fitting VolumeSnapshotClass, or copies of it would stay.",
    Reason.HOOKS_NOT_ALLOWED: "The chart does not enable hooks, or the operator may not run commands in pods.",
    Reason.DUMPS_NOT_ALLOWED: "The chart does not enable dumps.",
    Reason.INVALID_HOOK: "A hook makes no sense: its target, its timeout or its Job.",
    Reason.MOVER_USER_UNKNOWN: "Movers may not be root, and nothing says as whom the workload's pods run.",
    Reason.BACKUP_NOT_FOUND: "The Backup to restore does not exist or did not succeed.",
    Reason.SNAPSHOT_NOT_FOUND: "The Backup has no snapshot of the claim, or the repository no such snapshot.",
    Reason.READY: "The repository opens with the password and is the one it was.",
    Reason.INITIALISING: "The repository is being made.",
    Reason.PROBING: "The repository is being opened.",
    Reason.SECRET_NOT_FOUND: "A Secret that the repository names does not exist.",
    Reason.WRONG_PASSWORD: "The password opens no key of the repository.",
    Reason.REPOSITORY_MISSING: "There is no repository at the place. One that was there once is never made anew.",
    Reason.REPOSITORY_REPLACED: "There is another repository than the one whose id is pinned in status.",
    Reason.STORAGE_DENIED: "The store refuses the credentials.",
    Reason.STORAGE_UNAVAILABLE: "The store cannot be reached.",
    Reason.REPOSITORY_DAMAGED: "The repository's own files fail their checks.",
    Reason.REPOSITORY_LOCKED: "Another process holds a lock on the repository.",
    Reason.QUIESCED: "The workloads are at a standstill.",
    Reason.RELEASED: "The workloads were started again.",
    Reason.NOTHING_STOPPED: "The run has stopped no workload.",
    Reason.HOOK_FAILED: "A before-hook failed, took too long, or nobody knows how it ended; its onError is Fail.",
    Reason.DRAIN_TIMEOUT: "Pods that mount the claims did not end within drainTimeout.",
    Reason.DOWNTIME_EXCEEDED: "The run took longer than maxDowntime; the workloads were started without it.",
    Reason.TAINTED: "A pod mounted a claim, or somebody scaled, edited or deleted a stopped workload, while claims "
    "were read or written. A Backup has kept nothing; claims of a Restore may hold old and new files.",
    Reason.WORKLOAD_CHANGED: "Somebody scaled, edited or deleted a workload; or it has other claims now, or a pod "
    "on another node than its mover.",
    Reason.STOP_REFUSED: "A quota, a policy or a webhook did not let a workload be stopped for a minute.",
    Reason.SNAPSHOT_FAILED: "A VolumeSnapshot could not be made, or was deleted before it was read.",
    Reason.MOVER_FAILED: "A mover ended with an error.",
    Reason.MOVER_NOT_STARTED: "A Job could not start: its image, volume or node; or a quota or policy refused it.",
    Reason.FILES_UNREADABLE: "Some files could not be read, so the backup would not be whole.",
    Reason.EMPTY_VOLUME: "A volume holds no files, and guards.onEmptyVolume is Fail.",
    Reason.DUMP_FAILED: "A dump did not end with exit status 0, or not in time. Nothing was stopped, nothing kept.",
    Reason.EMPTY_DUMP: "A dump holds no bytes, and guards.onEmptyDump is Fail.",
    Reason.VOLUME_SHRANK: "A volume has lost more than guards.maxShrinkPercent since the Backup before.",
    Reason.COMMIT_FAILED: "The snapshots could not be written, or a blob of them is missing.",
    Reason.RETENTION_FAILED: "Old snapshots were not forgotten; the Backup is good all the same.",
    Reason.RESTORE_FAILED: "A restoring mover ended with an error.",
    Reason.DELETED: "The object was deleted while it ran.",
    Reason.INTERNAL: "A fault of becalm itself; please report it.",
    Reason.SCHEDULED: "The next run is known.",
    Reason.SUSPENDED: "The schedule is suspended.",
    Reason.INVALID_SCHEDULE: "The cron expression or the time zone makes no sense.",
    Reason.LAST_BACKUP_FAILED: "The newest finished Backup of the schedule failed.",
    Reason.BACKUP_REFUSED: "A quota, a policy or a webhook did not let a Backup be made; that is tried again.",
}


class Condition(Model):
    """A `metav1.Condition`."""

    type: Annotated[str, Field(max_length=316)]
    """What it is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: int = 0
    """The generation of the object it was decided on."""
    last_transition_time: Time
    """When its status last changed."""
    reason: Annotated[str, Field(max_length=1024)]
    """A word for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """A sentence for people."""
