"""Replacing snapshots: the new one is stored before the old one goes."""

from collections.abc import Mapping, Sequence
from typing import Any

from becalm_engine.format import snapshot as snapshot_format
from becalm_engine.ids import FileID
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.storage.base import FileKind


def save_edited(
    source: Repository, stored: StoredSnapshot, changes: Mapping[str, Any], target: Repository | None = None
) -> StoredSnapshot:
    """Store a snapshot with some fields changed, in its own repository or another; all it refers to is indexed."""
    return _save(target or source, _edited(source, stored, changes))


def _edited(repository: Repository, stored: StoredSnapshot, changes: Mapping[str, Any]) -> bytes:
    return snapshot_format.edited(repository.load_document(FileKind.SNAPSHOT, stored.name), changes)


def _save(repository: Repository, text: bytes) -> StoredSnapshot:
    name = repository.publish_document(FileKind.SNAPSHOT, text)
    return StoredSnapshot(name, snapshot_format.decode(text))


class Replacer:
    """Puts changed snapshots in the place of others.

    One that was stored already, by a run that was killed before it could remove the old one, is not stored again.
    One that is damaged is the same as none.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._gone: set[str] = set()
        self._derived: dict[FileID | None, list[StoredSnapshot]] = {}
        pass_over = snapshots.only_damaged(lambda *_: None)
        for stored in snapshots.list_snapshots(repository, broken=pass_over):
            self._derived.setdefault(stored.snapshot.original, []).append(stored)

    def replace(self, stored: StoredSnapshot, changes: Mapping[str, Any]) -> StoredSnapshot:
        """Store a changed snapshot and remove the old one. Killed in between, both are there."""
        text = _edited(self._repository, stored, changes)
        new = self._twin(stored, text) or _save(self._repository, text)
        snapshots.require_stored(self._repository, new)
        snapshots.remove_snapshot(self._repository, stored)
        self._gone.add(stored.name)
        return new

    def _twin(self, stored: StoredSnapshot, text: bytes) -> StoredSnapshot | None:
        """Return the snapshot that has this very text under another name."""
        wanted = snapshot_format.decode(text)
        gone = {*self._gone, stored.name}
        for one in self._derived.get(wanted.original, ()):
            if one.name not in gone and one.snapshot == wanted and _edited(self._repository, one, {}) == text:
                return one
        return None


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
