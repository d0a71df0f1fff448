"""Snapshots whose files are damaged, and those that only seem so."""

import pytest

from becalm_engine.errors import DamagedError, SnapshotMissingError
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import (
    DamagedSnapshot,
    StoredSnapshot,
    find_or_damaged,
    find_snapshot,
    remove_snapshot,
    save_snapshot,
)
from becalm_engine.storage.base import FileKind
from tests.engine.repository.repositories import made
from tests.engine.storage.memory import MemoryStorage


class MisreadStorage(MemoryStorage):
    """Returns other bytes than it has, so many times."""

    misreads = 0

    def load(self, kind: FileKind, name: str) -> bytes:
        found = super().load(kind, name)
        if kind is FileKind.SNAPSHOT and self.misreads:
            self.misreads -= 1
            return found[:-1]
        return found


@pytest.fixture
def storage() -> MisreadStorage:
    return MisreadStorage()


@pytest.fixture
def repository(storage: MisreadStorage) -> Repository:
    return made(storage)


def saved(repository: Repository, time_nanos: int) -> StoredSnapshot:
    return save_snapshot(repository, Snapshot(time_nanos, BlobID(bytes(32)), ("/data",)))


def test_one_that_is_damaged_at_two_looks_is_found_by_its_name_and_can_be_removed(
    storage: MisreadStorage, repository: Repository
) -> None:
    stored = saved(repository, 1)
    storage.misreads = 2

    found = find_or_damaged(repository, stored.short)
    assert isinstance(found, DamagedSnapshot)
    assert (found.name, "other content" in found.reason) == (stored.name, True)
    remove_snapshot(repository, found)

    with pytest.raises(SnapshotMissingError):
        find_or_damaged(repository, stored.short)


def test_one_that_was_misread_is_whole(storage: MisreadStorage, repository: Repository) -> None:
    stored = saved(repository, 1)
    storage.misreads = 1

    assert find_or_damaged(repository, stored.name) == stored


def test_the_latest_of_those_that_can_be_read_is_for_those_who_want_no_more(
    storage: MisreadStorage, repository: Repository
) -> None:
    first, second = saved(repository, 1), saved(repository, 2)
    storage.files[FileKind.SNAPSHOT, second.name] = b"nonsense"
    told: list[str] = []

    assert find_snapshot(repository, "latest", broken=lambda name, _: told.append(name)) == first
    assert told == [second.name]
    with pytest.raises(DamagedError):
        find_or_damaged(repository, "latest")
