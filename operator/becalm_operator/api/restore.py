"""Restore: puts files of a snapshot back into claims."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from becalm_operator.api.backup import Quiesce, RunStatus, WorkloadReference, none_empty
from becalm_operator.api.base import Duration, LocalReference, Metadata, Model, Name, Pattern
from becalm_operator.api.identity import Identity
from becalm_operator.api.workloads import each_named_once

_OneSource = "[has(self.backupName), has(self.snapshotID)].exists_one(x, x)"
_EachClaimOnce = (
    "self.targets.all(t, self.targets.exists_one(o,"
    " (has(o.to) ? o.to : o.claim) == (has(t.to) ? t.to : t.claim)))"
)
_NamesAreUsed = "self.mode == 'List' || !has(self.names) || self.names.size() == 0"


class RestoreSource(Model):
    """What to restore: never a silent "latest"."""

    rules: ClassVar = {_OneSource: "name exactly one of backupName and snapshotID"}
    backup_name: Name | None = None
    """A Backup that succeeded: each target claim gets its snapshot of it."""
    snapshot_id: Annotated[
        Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$")] | None, Field(alias="snapshotID")
    ] = None
    """A snapshot of the repository, for all targets."""


class RestoreTarget(Model):
    """A claim that was backed up, and where its files go."""

    claim: Name
    """The claim as it was named when it was backed up."""
    to: Name | None = None
    """The claim to restore into; absent for the same one."""

    @property
    def into(self) -> str:
        """The claim that is written."""
        return self.to or self.claim


class RestorePaths(Model):
    """Which files to restore."""

    rules: ClassVar = {none_empty("self.include"): "a pattern is empty"}
    include: Annotated[tuple[Pattern, ...], Field(max_length=128)] = ()
    """Patterns of files to restore, as in `restic restore --include`; absent for all."""


class RestoreWorkloads(Model):
    """Which workloads are stopped meanwhile."""

    rules: ClassVar = {
        _NamesAreUsed: "names are for mode List; Auto stops whoever mounts the target claims",
        each_named_once("self.names"): "a workload is named twice",
    }
    mode: Literal["Auto", "List"] = "Auto"
    """Auto stops whoever mounts the target claims; List stops the named ones and refuses if others do."""
    names: Annotated[tuple[WorkloadReference, ...], Field(max_length=32)] = ()
    """For List: stopped in this order, started in the reverse order."""


class RestoreQuiesce(Quiesce):
    """How the consumers are stopped. A restore takes longer than a backup, and half of one is worth nothing."""

    max_downtime: Duration = "4h"
    """When the workloads are started again, whatever happens, counted from the first stop."""


class RestoreSpec(Model):
    """Stop the consumers of claims, restore their files, start them again."""

    rules: ClassVar = {_EachClaimOnce: "two targets would be restored into one claim"}
    repository_ref: LocalReference
    """The BackupRepository, of the same namespace."""
    source: RestoreSource
    """What to restore."""
    targets: Annotated[tuple[RestoreTarget, ...], Field(min_length=1, max_length=64)]
    """Which claims."""
    paths: RestorePaths = RestorePaths()
    """Which files of them."""
    delete_extra: bool = True
    """Delete files that the snapshot does not have, so that the claim becomes what it was."""
    verify: bool = True
    """Read everything back and compare."""
    workloads: RestoreWorkloads = RestoreWorkloads()
    """Which workloads are stopped meanwhile."""
    quiesce: RestoreQuiesce = RestoreQuiesce()
    """How they are stopped."""


class NotSet(Model):
    """Something of files that a restore could not set."""

    what: str
    """What: the owner, the mode, the times, or the extended attributes."""
    files: int
    """On how many files, links and directories."""


class TargetStatus(Model):
    """One target of a restore."""

    claim: str
    """The claim as it was named when it was backed up."""
    to: str
    """The claim that is written."""
    snapshot_id: Annotated[str, Field(alias="snapshotID")] = ""
    """The snapshot, pinned before anything is stopped."""
    node: str = ""
    """The node that its mover must run on, if any."""
    identity: Identity | None = None
    """As whom its mover writes it; absent if that is not the workload's user."""
    files_restored: int = 0
    """How many files were written."""
    bytes_restored: int = 0
    """How much was written."""
    files_deleted: int = 0
    """How many files were deleted."""
    not_set: tuple[NotSet, ...] = ()
    """What could not be set on files that were restored, since its mover was not allowed to."""
    done: bool = False
    """Whether it ended well."""
    error: str = ""
    """What went wrong with it."""


class RestoreStatus(RunStatus):
    """What a Restore has done."""

    targets: tuple[TargetStatus, ...] = ()
    """The claims that it writes."""


class Restore(Model):
    """One restore."""

    kind: ClassVar = "Restore"
    plural: ClassVar = "restores"
    spec_rules: ClassVar = {"self == oldSelf": "a Restore is one run; make a new one instead of changing it"}
    metadata: Metadata
    spec: RestoreSpec
    status: RestoreStatus = RestoreStatus()
