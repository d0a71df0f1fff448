import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError, UsageError, WrongPasswordError
from becalm_engine.format import key_file
from becalm_engine.format.crypto import Key, seal
from becalm_engine.format.key_file import KeyFile, ScryptCost
from tests.engine import strategies
from tests.engine.format import hostile

CHEAP = ScryptCost(n=1024, r=1, p=1)
MASTER = Key.from_bytes(bytes(range(64)))


def made(password: str = "secret", master: Key = MASTER) -> KeyFile:
    return key_file.make(
        master,
        password,
        salt=bytes(range(64)),
        iv=bytes(range(16)),
        created_nanos=1_700_000_000_000_000_000,
        username="ann",
        hostname="rose",
        cost=CHEAP,
    )


VALID = key_file.encode(made())


@given(strategies.keys, st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@settings(max_examples=15)
def test_the_password_opens_what_was_made_with_it(master: Key, password: str) -> None:
    read = key_file.decode(key_file.encode(made(password, master)))

    assert key_file.unlock(read, password) == master


def test_another_password_does_not_open_it() -> None:
    with pytest.raises(WrongPasswordError):
        key_file.unlock(made("secret"), "Secret")


def test_a_password_of_any_bytes_works() -> None:
    password = b"p\xe4ss".decode("utf-8", "surrogateescape")

    assert key_file.unlock(made(password), password) == MASTER


def test_an_empty_password_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(UsageError):
        key_file.unlock(made(), "")


def test_a_key_file_has_restic_s_fields_in_restic_s_order() -> None:
    document = json.loads(VALID)

    assert list(document) == ["created", "username", "hostname", "kdf", "N", "r", "p", "salt", "data"]
    assert document["created"] == "2023-11-14T22:13:20Z"
    assert (document["kdf"], document["N"], document["r"], document["p"]) == ("scrypt", 1024, 1, 1)


def test_a_key_file_shows_no_secret() -> None:
    shown = repr(made())

    assert "salt" not in shown
    assert "sealed" not in shown


@pytest.mark.parametrize(
    "changes",
    [
        {"kdf": "argon2"},
        {"kdf": ["scrypt"]},
        {"N": 0},
        {"N": 1},
        {"N": 1000},
        {"N": -1024},
        {"N": "1024"},
        {"r": 0},
        {"p": 0},
        {"N": 2**30},
        {"N": 2**20, "r": 2**10},
        {"r": 2**40},
        {"N": 2, "r": 1, "p": 2**25},
        {"p": 2**62},
        {"salt": ""},
        {"salt": base64.b64encode(bytes(63)).decode()},
        {"salt": "not base64!"},
        {"data": None},
        {"created": "yesterday"},
    ],
)
def test_absurd_key_files_are_damage_before_anything_is_derived(changes: dict[str, object]) -> None:
    with pytest.raises(DamagedError):
        key_file.decode(hostile.changed(VALID, changes))


@pytest.mark.parametrize(
    "text", [hostile.changed(VALID, {"created": None}), VALID.replace(b"created", b"other")]
)
def test_a_key_need_not_say_when_it_was_made(text: bytes) -> None:
    read = key_file.decode(text)

    assert key_file.unlock(read, "secret") == MASTER
    assert json.loads(key_file.encode(read))["created"] == "0001-01-01T00:00:00Z"


def test_costs_that_scrypt_itself_refuses_are_damage() -> None:
    read = key_file.decode(hostile.changed(VALID, {"N": 65536, "r": 1}))

    with pytest.raises(DamagedError):
        key_file.unlock(read, "secret")


@given(strategies.replaced_fields("created", "username", "hostname", "kdf", "N", "r", "p", "salt", "data"))
def test_changed_fields_are_read_or_called_damage(changes: dict[str, object]) -> None:
    assert hostile.is_read_or_refused(key_file.decode, hostile.changed(VALID, changes))


@given(hostile.damage(VALID))
def test_damage_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(key_file.decode, data)


@given(strategies.json_values)
@settings(max_examples=20)
def test_what_opens_but_is_no_master_key_is_damage(content: object) -> None:
    plaintext = json.dumps(content).encode()
    sealed = seal(key_file._derived("secret", bytes(64), CHEAP), plaintext, iv=bytes(range(16)))
    key = KeyFile(0, "", "", CHEAP, bytes(64), sealed)

    with pytest.raises(DamagedError):
        key_file.unlock(key, "secret")
