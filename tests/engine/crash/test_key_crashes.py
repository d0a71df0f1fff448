"""The commands on keys, killed at each of their calls to the store: a password that is known always opens."""

from collections.abc import Callable

import pytest

from becalm_engine.commands.keys import add_key, change_password, remove_key
from becalm_engine.errors import UsageError, WrongPasswordError
from becalm_engine.repository.lock import locked
from becalm_engine.repository.repository import Repository, open_repository
from becalm_engine.storage.base import FileKind, Storage
from tests.engine.crash.plays import Files, Play
from tests.engine.crash.states import crashes, faults_of, stored_in
from tests.engine.repository.repositories import CHEAP, PASSWORD, made
from tests.engine.storage.memory import MemoryStorage

OTHER = "battery staple"


def opens(files: Files, password: str) -> bool:
    try:
        open_repository(stored_in(files), password)
    except WrongPasswordError:
        return False
    return True


def play(*passwords: str, action: Callable[[Repository], object], exclusive: bool) -> Play:
    """A repository with some passwords, and something that is done to it by one who knows the first."""
    repository = made(MemoryStorage())
    for password in passwords:
        add_key(repository, password, cost=CHEAP)

    def run(storage: Storage) -> None:
        opened = open_repository(storage, PASSWORD)
        with locked(opened, exclusive=exclusive, sleep=lambda _: None):
            action(opened)

    assert isinstance(repository.storage, MemoryStorage)
    return Play(repository.storage.files, run)


def after(play: Play, files: Files) -> Files:
    storage = stored_in(files)
    play.run(storage)
    return storage.files


def test_a_key_that_is_added_costs_none(subtests: pytest.Subtests) -> None:
    adding = play(action=lambda repository: add_key(repository, OTHER, cost=CHEAP), exclusive=False)

    for label, files in crashes(adding):
        with subtests.test(label):
            assert faults_of(files) == []
            assert opens(files, PASSWORD)
            assert opens(after(adding, files), OTHER)


def test_a_password_that_is_changed_always_has_a_key(subtests: pytest.Subtests) -> None:
    changing = play(action=lambda repository: change_password(repository, OTHER, cost=CHEAP), exclusive=True)

    for label, files in crashes(changing):
        with subtests.test(label):
            assert opens(files, PASSWORD) or opens(files, OTHER)
            done = after(changing, files) if opens(files, PASSWORD) else files
            assert opens(done, OTHER)
            assert not opens(done, PASSWORD)


def test_a_key_that_is_removed_is_there_or_gone(subtests: pytest.Subtests) -> None:
    removing = play(OTHER, action=lambda repository: remove_key(repository, name), exclusive=True)
    name = open_repository(stored_in(removing.files), OTHER).key_name

    for label, files in crashes(removing):
        with subtests.test(label):
            assert faults_of(files) == []
            assert opens(files, PASSWORD)
            if (FileKind.KEY, name) in files:
                assert not opens(after(removing, files), OTHER)
            else:
                with pytest.raises(UsageError, match="0 keys"):
                    removing.run(stored_in(files))
