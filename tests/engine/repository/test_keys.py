import os

import pytest

from becalm_engine.errors import DamagedError, WrongPasswordError
from becalm_engine.format import key_file
from becalm_engine.format.crypto import Key
from becalm_engine.ids import stored_id
from becalm_engine.repository import keys
from becalm_engine.storage.base import FileKind
from tests.engine.repository.repositories import CHEAP
from tests.engine.storage.memory import MemoryStorage

MASTER = Key.from_bytes(bytes(range(64)))


def test_a_key_file_is_named_by_its_hash() -> None:
    storage = MemoryStorage()

    name = keys.make_key(storage, MASTER, "secret", CHEAP)

    assert stored_id(storage.load(FileKind.KEY, name)).hex() == name


def test_two_keys_of_one_password_share_no_salt() -> None:
    storage = MemoryStorage()

    names = [keys.make_key(storage, MASTER, "secret", CHEAP) for _ in range(2)]

    first, second = (key_file.decode(storage.load(FileKind.KEY, name)) for name in names)
    assert first.salt != second.salt
    assert first.sealed != second.sealed


def test_at_most_twenty_keys_are_tried() -> None:
    tried: list[str] = []

    class Watched(MemoryStorage):
        """Notes which keys are loaded."""

        def load(self, kind: FileKind, name: str) -> bytes:
            tried.append(name)
            return super().load(kind, name)

    storage = Watched()
    for number in range(25):
        keys.make_key(storage, MASTER, f"p{number}", CHEAP)

    with pytest.raises(WrongPasswordError):
        keys.find_key(storage, "wrong")

    assert len(tried) == 20


@pytest.mark.parametrize(
    ("environment", "expected"), [({"USER": "ann", "LOGNAME": "bob"}, "ann"), ({"LOGNAME": "bob"}, "bob")]
)
def test_the_user_is_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert keys.username() == expected


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.delenv("LOGNAME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999)

    assert keys.username() == "3999999999"


def test_a_user_whom_only_the_password_file_knows_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.delenv("LOGNAME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 0)

    assert keys.username() == "root"


def test_a_changed_key_file_is_damage_and_no_wrong_password() -> None:
    storage = MemoryStorage()
    name = keys.make_key(storage, MASTER, "secret", CHEAP)
    text = storage.load(FileKind.KEY, name)
    at = text.index(b'"data":"') + 20
    storage.save(
        FileKind.KEY, name, text[:at] + (b"B" if text[at : at + 1] == b"A" else b"A") + text[at + 1 :]
    )

    with pytest.raises(DamagedError, match=f"keys/{name}"):
        keys.find_key(storage, "secret")
