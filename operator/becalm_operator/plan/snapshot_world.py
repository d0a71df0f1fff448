"""What the cluster has of CSI snapshots, as far as a Backup needs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SnapshotClass:
    """A VolumeSnapshotClass."""

    name: str
    driver: str
    default: bool = False
    """It is its driver's default one."""
    retains: bool = False
    """What it made stays in the store when the VolumeSnapshot is deleted."""


@dataclass(frozen=True, slots=True)
class StorageKind:
    """A StorageClass."""

    provisioner: str
    retains: bool = False
    """Its volumes stay when their claims are deleted."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A VolumeSnapshot of the run."""

    name: str
    created: datetime
    ready: bool = False
    error: str = ""
    """What its driver said last, if that was no success."""
    size_bytes: int = 0
    """How large a volume has to be that is filled from it; 0 where its driver does not say."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Seen at one moment. Each part is looked at in the phases that need it, and empty in the others."""

    problem: str = ""
    """Why the cluster can make none: the API is not there, or the operator may not use it."""
    taken: Mapping[str, Taken] = field(default_factory=dict)
    """The run's own, by name."""
    drivers: Mapping[str, str] = field(default_factory=dict)
    """Preflight: the CSI driver of each claim that has one."""
    classes: tuple[SnapshotClass, ...] = ()
    """Preflight: all of the cluster."""
    kinds: Mapping[str, StorageKind] = field(default_factory=dict)
    """Preflight: the storage classes that the copies would be of, by name."""
    attached: frozenset[str] = frozenset()
    """Draining: the claims whose volumes are attached to a node."""
