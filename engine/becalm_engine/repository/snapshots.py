"""The snapshots of a repository: list, find, save, remove."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from becalm_engine.errors import DamagedError, EngineError, SnapshotMissingError
from becalm_engine.format import snapshot as snapshot_format
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.repository.repository import Broken, Repository
from becalm_engine.storage.base import FileKind

_SHORT_CHARS = 8


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A snapshot and its name in the repository."""

    name: str
    snapshot: Snapshot

    @property
    def short(self) -> str:
        """The first eight digits, which people use."""
        return self.name[:_SHORT_CHARS]


@dataclass(frozen=True, slots=True)
class DamagedSnapshot:
    """A snapshot whose file was damaged at two looks: its name in the repository, and why it cannot be read."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which snapshots are meant: any of the hosts, any of the tag lists (all of its tags), all of the paths."""

    hosts: tuple[str, ...] = ()
    tag_lists: tuple[tuple[str, ...], ...] = ()
    paths: tuple[str, ...] = ()

    def fits(self, snapshot: Snapshot) -> bool:
        """Say whether a snapshot is meant."""
        return (
            (not self.hosts or snapshot.hostname in self.hosts)
            and (not self.tag_lists or any(snapshot.has_tags(tags) for tags in self.tag_lists))
            and all(path in snapshot.paths for path in self.paths)
        )


def tag_list(text: str) -> tuple[str, ...]:
    """Return the tags that one flag names, with commas between them. Spaces around them are no part of them."""
    return tuple(tag.strip() for tag in text.split(","))


def list_snapshots(
    repository: Repository, wanted: Filter | None = None, broken: Broken | None = None
) -> list[StoredSnapshot]:
    """Return the snapshots that fit, oldest first. With `broken`, one that cannot be read is told and left out.

    Raises:
        DamagedError: One of them cannot be read; nothing is left out in silence.
    """
    loaded = repository.each_document(FileKind.SNAPSHOT, snapshot_format.decode, broken)
    found = [StoredSnapshot(name, snapshot) for name, snapshot in loaded]
    fitting = [stored for stored in found if wanted is None or wanted.fits(stored.snapshot)]
    return sorted(fitting, key=lambda stored: (stored.snapshot.time_nanos, stored.name))


def way_out_of(name: str) -> str:
    """Say what can be done about a snapshot that is damaged: no repair brings it back."""
    return f"`becalm recover` saves what it held, and `becalm forget {name}` removes it"


def only_damaged(tell: Broken) -> Broken:
    """Return what tells of snapshots that are damaged. Any other error ends the reading: it says nothing of them."""

    def tell_or_end(name: str, error: EngineError) -> None:
        if not isinstance(error, DamagedError):
            raise error
        tell(name, error)

    return tell_or_end


def find_snapshot(
    repository: Repository, text: str, wanted: Filter | None = None, broken: Broken | None = None
) -> StoredSnapshot:
    """Return the snapshot named by `latest`, by its id, or by a prefix of it that only it has.

    With `broken`, the latest is that of those which can be read, and the others are told.

    Raises:
        SnapshotMissingError: None fits, or several do.
    """
    if text == "latest":
        found = list_snapshots(repository, wanted and _absolute(wanted), broken)
        if not found:
            raise SnapshotMissingError("no snapshot fits the filter")
        return found[-1]
    return _loaded(repository, _name_of(repository, text))


def find_or_damaged(
    repository: Repository, text: str, wanted: Filter | None = None, broken: Broken | None = None
) -> StoredSnapshot | DamagedSnapshot:
    """Do as `find_snapshot`, but return also one that is damaged: for those who remove it, or go on without it.

    Raises:
        SnapshotMissingError: None fits, or several do.
        DamagedError: One is damaged, so nobody knows which is the latest.
    """
    if text == "latest":
        return find_snapshot(repository, text, wanted, broken)
    name = _name_of(repository, text)
    try:
        return _loaded(repository, name)
    except DamagedError:  # it may have been the way here
        try:
            return _loaded(repository, name)
        except DamagedError as error:
            return DamagedSnapshot(name, str(error))


def _name_of(repository: Repository, text: str) -> str:
    names = [f.name for f in repository.storage.list(FileKind.SNAPSHOT) if f.name.startswith(text)]
    if not text or len(names) != 1:
        count = "no snapshot" if not names else "more than one snapshot"
        raise SnapshotMissingError(f"{count} has an id that begins with {text!r}")
    return names[0]


def _loaded(repository: Repository, name: str) -> StoredSnapshot:
    return StoredSnapshot(name, snapshot_format.decode(repository.load_document(FileKind.SNAPSHOT, name)))


def _absolute(wanted: Filter) -> Filter:
    """Return the filter with its paths as a backup stores them, whatever way they were typed."""
    return replace(wanted, paths=tuple(os.path.normpath(Path(path).absolute()) for path in wanted.paths))


def save_snapshot(repository: Repository, snapshot: Snapshot) -> StoredSnapshot:
    """Store a snapshot: the moment from which a backup exists. All it refers to must be indexed before."""
    name = repository.publish_document(FileKind.SNAPSHOT, snapshot_format.encode(snapshot))
    return StoredSnapshot(name, snapshot)


def require_stored(repository: Repository, stored: StoredSnapshot) -> None:
    """Read a snapshot back, before the one goes that it replaces.

    Raises:
        StorageError: It is not there, whatever the store said when it was written.
        DamagedError: It cannot be read, or is another one.
    """
    text = repository.load_document(FileKind.SNAPSHOT, stored.name)
    if snapshot_format.decode(text) != stored.snapshot:
        raise DamagedError(f"snapshot {stored.name} was read back as another one; nothing was removed")


def remove_snapshot(repository: Repository, stored: StoredSnapshot | DamagedSnapshot) -> None:
    """Remove a snapshot; its data stays until a prune."""
    repository.guard()
    repository.storage.delete(FileKind.SNAPSHOT, stored.name)
