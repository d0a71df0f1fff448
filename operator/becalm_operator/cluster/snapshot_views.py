"""From the documents of `snapshot.storage.k8s.io` to what decisions see of them. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from becalm_operator.cluster.quantity import size_bytes
from becalm_operator.plan.snapshot_world import SnapshotClass, Taken

_DEFAULT = "snapshot.storage.kubernetes.io/is-default-class"


def class_view(document: Mapping[str, Any]) -> SnapshotClass:
    """Return a VolumeSnapshotClass as decisions see it."""
    metadata = document["metadata"]
    return SnapshotClass(
        name=metadata["name"],
        driver=document["driver"],
        default=(metadata.get("annotations") or {}).get(_DEFAULT) == "true",
        retains=document["deletionPolicy"] == "Retain",
    )


def taken_view(document: Mapping[str, Any]) -> Taken:
    """Return a VolumeSnapshot as decisions see it. One that is being deleted is not ready any more."""
    metadata, status = document["metadata"], document.get("status") or {}
    going = "deletionTimestamp" in metadata
    error = (status.get("error") or {}).get("message", "")
    return Taken(
        name=metadata["name"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        ready=bool(status.get("readyToUse")) and not going,
        error="it is being deleted" if going else error,
        size_bytes=size_bytes(status.get("restoreSize") or "0"),
    )
