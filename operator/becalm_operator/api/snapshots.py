"""What a Backup with `capture: Snapshot` tells of each claim."""

from typing import Literal

from becalm_operator.api.base import Model, Time

Capture = Literal["Direct", "Snapshot"]


class VolumeSnapshotStatus(Model):
    """The VolumeSnapshot of a claim, and the temporary claim that a mover reads. Both are gone at the end."""

    name: str
    """The VolumeSnapshot."""
    class_name: str
    """Its VolumeSnapshotClass."""
    ready_time: Time | None = None
    """When it was seen to be ready."""
    storage_class_name: str = ""
    """The temporary claim's storage class."""
    access_modes: tuple[str, ...] = ()
    """The temporary claim's access modes."""
    size_bytes: int = 0
    """How large the claim is."""
