import pytest

from becalm_engine.commands.keys import add_key, change_password, list_keys, remove_key
from becalm_engine.errors import (
    DamagedError,
    LockedError,
    ObjectMissingError,
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
    UsageError,
    WrongPasswordError,
)
from becalm_engine.ids import Buffer
from becalm_engine.repository.repository import Repository, open_repository
from becalm_engine.storage.base import FileKind
from tests.engine.repository.faulty import FaultyStorage
from tests.engine.repository.repositories import CHEAP, PASSWORD, made
from tests.engine.storage.memory import MemoryStorage


def keys_of(repository: Repository) -> list[str]:
    return [stored.name for stored in repository.storage.list(FileKind.KEY)]


def test_a_further_password_opens_the_same_repository() -> None:
    repository = made()

    name = add_key(repository, "second", user="ann", host="there", cost=CHEAP)

    opened = open_repository(repository.storage, "second")
    assert (opened.key, opened.key_name) == (repository.key, name)
    told: list[str] = []
    found = {key.name: key for key in list_keys(opened, told.append)}
    assert (found[name].username, found[name].hostname, found[name].is_current) == ("ann", "there", True)
    assert [key.is_current for key in found.values()].count(True) == 1
    assert told == []


def test_an_empty_password_is_refused() -> None:
    repository = made()

    with pytest.raises(UsageError, match="empty"):
        add_key(repository, "", cost=CHEAP)

    assert len(keys_of(repository)) == 1


def test_a_changed_password_is_the_only_one_that_opens() -> None:
    repository = made()
    old = repository.key_name

    name = change_password(repository, "second", cost=CHEAP)

    assert keys_of(repository) == [name]
    assert name != old
    open_repository(repository.storage, "second")
    with pytest.raises(WrongPasswordError):
        open_repository(repository.storage, PASSWORD)


class Forgetful(MemoryStorage):
    """Stores keys as if they were empty, once told to."""

    forgets = False

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        super().save(kind, name, b"" if self.forgets else data, only_if_absent=only_if_absent)


def test_a_key_that_was_stored_badly_is_removed_and_the_old_one_stays() -> None:
    storage = Forgetful()
    repository = made(storage)
    storage.forgets = True

    for change in (add_key, change_password):
        with pytest.raises(DamagedError, match="was removed"):
            change(repository, "second", cost=CHEAP)

    assert keys_of(repository) == [repository.key_name]
    open_repository(storage, PASSWORD)


@pytest.mark.parametrize("kind", [StorageUnavailableError, StorageDeniedError])
def test_a_key_that_cannot_be_read_back_stays_and_is_named(kind: type[StorageError]) -> None:
    storage = FaultyStorage()
    repository = made(storage)
    storage.on_load = lambda *_: kind("no answer")

    with pytest.raises(kind, match=r"the new key [0-9a-f]{8} was stored.*no answer"):
        add_key(repository, "second", cost=CHEAP)

    storage.on_load = lambda *_: None
    open_repository(storage, "second")


def test_a_bad_key_that_cannot_be_removed_is_not_called_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Forgetful()
    repository = made(storage)
    storage.forgets = True

    def refuse(*_: object) -> None:
        raise StorageDeniedError("append-only")

    monkeypatch.setattr(storage, "delete", refuse)
    with pytest.raises(DamagedError, match=r"keys/[0-9a-f]{64} stays: append-only"):
        add_key(repository, "second", cost=CHEAP)


def test_who_was_overtaken_does_not_remove_the_last_key() -> None:
    """Both have opened the repository, and the second has waited for the lock."""
    repository = made()
    other = add_key(repository, "second", cost=CHEAP)
    first, second = (
        open_repository(repository.storage, PASSWORD),
        open_repository(repository.storage, "second"),
    )

    remove_key(first, other)
    with pytest.raises(UsageError, match="removed by another process"):
        remove_key(second, first.key_name)

    assert keys_of(repository) == [first.key_name]


def test_a_key_that_goes_while_keys_are_tried_keeps_no_other_from_opening() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    other = add_key(repository, "second", cost=CHEAP)
    gone = min(other, repository.key_name)
    password = PASSWORD if gone == other else "second"
    storage.on_load = lambda kind, name: (
        ObjectMissingError("gone") if (kind, name) == (FileKind.KEY, gone) else None
    )

    assert open_repository(storage, password).key == repository.key


def test_no_key_is_made_or_removed_once_the_lock_is_lost() -> None:
    repository = made()
    other = add_key(repository, "second", cost=CHEAP)

    def lost() -> None:
        raise LockedError("lost")

    repository.guard = lost

    with pytest.raises(LockedError):
        change_password(repository, "third", cost=CHEAP)
    with pytest.raises(LockedError):
        remove_key(repository, other)
    assert sorted(keys_of(repository)) == sorted([other, repository.key_name])


def test_another_key_is_removed_and_never_the_one_in_use() -> None:
    repository = made()
    other = add_key(repository, "second", cost=CHEAP)

    for text in (repository.key_name, repository.key_name[:40], "", "no such"):
        with pytest.raises(UsageError):
            remove_key(repository, text)
    assert remove_key(repository, other[:40]) == other

    assert keys_of(repository) == [repository.key_name]


def test_where_the_key_in_use_is_not_known_none_is_removed() -> None:
    repository = made()
    other = add_key(repository, "second", cost=CHEAP)
    repository.key_name = ""

    with pytest.raises(UsageError):
        remove_key(repository, other)
    with pytest.raises(UsageError):
        change_password(repository, "third", cost=CHEAP)


def test_a_broken_key_is_told_and_the_others_listed() -> None:
    storage = FaultyStorage()
    repository = made(storage)
    storage.files[FileKind.KEY, "0" * 64] = b"{}"
    told: list[str] = []

    assert [key.is_current for key in list_keys(repository, told.append)] == [True]
    assert told[0].startswith(f"keys/{'0' * 64}: ")
