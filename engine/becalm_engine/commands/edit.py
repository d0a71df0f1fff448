"""Replacing snapshots: the new one is stored before the old one goes."""

from collections.abc import Mapping, Sequence
from typing import Any

from becalm_engine.format import snapshot as snapshot_format
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.storage.base import FileKind


def save_edited(
    source: Repository, stored: StoredSnapshot, changes: Mapping[str, Any], target: Repository | None = None
) -> StoredSnapshot:
    """Store a snapshot with some fields changed, in its own repository or another; all it refers to is indexed."""
    into = target or source
    text = snapshot_format.edited(source.load_document(FileKind.SNAPSHOT, stored.name), changes)
    into.guard()
    return StoredSnapshot(into.save_document(FileKind.SNAPSHOT, text), snapshot_format.decode(text))


def replace_edited(
    repository: Repository, stored: StoredSnapshot, changes: Mapping[str, Any]
) -> StoredSnapshot:
    """Store a changed snapshot and remove the old one. Killed in between, both are there."""
    new = save_edited(repository, stored, changes)
    snapshots.remove_snapshot(repository, stored)
    return new


def first_id(stored: StoredSnapshot) -> str:
    """Return the id by which a snapshot is known through all its changes."""
    original = stored.snapshot.original
    return original.hex() if original else stored.name


def with_tags(tags: Sequence[str], add: Sequence[str]) -> list[str]:
    """Return tags with others after them, none twice."""
    return list(dict.fromkeys([*tags, *add]))


def without_tags(tags: Sequence[str], remove: Sequence[str]) -> list[str]:
    """Return tags without others; the last one takes the place of one that goes, as in restic."""
    left = list(tags)
    for tag in remove:
        if tag in left:
            at = left.index(tag)
            left[at] = left[-1]
            left.pop()
    return left
