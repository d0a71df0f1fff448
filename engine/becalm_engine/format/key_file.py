"""Key files: the master key, sealed with a key derived from a password. Plain JSON, one per password."""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field

from becalm_engine.errors import DamagedError, UsageError, WrongPasswordError
from becalm_engine.format import gotime
from becalm_engine.format.crypto import KEY_BYTES, Key, seal, unseal
from becalm_engine.format.documents import number_of, parse_object, text_of

SALT_BYTES = 64
_MAX_MEMORY_BYTES = 256 * 1024 * 1024
_MAX_COST = 1 << 26
"""restic's own keys cost N·r·p of some 2^21; a hostile file could ask for hours and gigabytes."""

_NO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time, which restic shows for the keys of rustic: they do not say when they were made."""


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """scrypt's parameters. The default is OWASP's recommendation for 32 MiB of memory."""

    n: int = 32768
    r: int = 8
    p: int = 3


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One password's key. `sealed` is the master key, sealed with the password's."""

    created_nanos: int
    username: str
    hostname: str
    cost: ScryptCost
    salt: bytes = field(repr=False)
    sealed: bytes = field(repr=False)


def make(
    master: Key,
    password: str,
    *,
    salt: bytes,
    iv: bytes,
    created_nanos: int,
    username: str,
    hostname: str,
    cost: ScryptCost,
) -> KeyFile:
    """Wrap the master key for a password. `salt` (64 bytes) and `iv` (16) are fresh and random."""
    derived = _derived(password, salt, cost)
    document = {
        "mac": {"k": _base64(master.mac_k), "r": _base64(master.mac_r)},
        "encrypt": _base64(master.encrypt),
    }
    sealed = seal(derived, json.dumps(document, separators=(",", ":")).encode(), iv=iv)
    return KeyFile(created_nanos, username, hostname, cost, salt, sealed)


def unlock(key_file: KeyFile, password: str) -> Key:
    """Return the master key.

    Raises:
        WrongPasswordError: The password is not this key's.
        DamagedError: What opened is not a master key, or the derivation cannot be done.
    """
    derived = _derived(password, key_file.salt, key_file.cost)
    try:
        plaintext = unseal(derived, key_file.sealed)
    except DamagedError:
        raise WrongPasswordError("the password does not open this key") from None
    document = parse_object(plaintext, "master key")
    mac = document.get("mac")
    if not isinstance(mac, dict):
        raise DamagedError("master key: no mac")
    parts = (document.get("encrypt"), mac.get("k"), mac.get("r"))
    raw = b"".join(_bytes_of(part, "master key") for part in parts)
    return Key.from_bytes(raw)


def encode(key_file: KeyFile) -> bytes:
    """Return the JSON of a key file."""
    document = {
        "created": gotime.encode(key_file.created_nanos),
        "username": key_file.username,
        "hostname": key_file.hostname,
        "kdf": "scrypt",
        "N": key_file.cost.n,
        "r": key_file.cost.r,
        "p": key_file.cost.p,
        "salt": _base64(key_file.salt),
        "data": _base64(key_file.sealed),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(text: bytes) -> KeyFile:
    """Return the key in `text`.

    Raises:
        DamagedError: It is not a key file, or asks for an absurd derivation.
    """
    document = parse_object(text, "key")
    if document.get("kdf") != "scrypt":
        raise DamagedError(f"key: unknown derivation {document.get('kdf')!r:.40}")
    cost = ScryptCost(*(number_of(document, name, "key") for name in ("N", "r", "p")))
    _refuse_absurd(cost)
    salt = _bytes_of(document.get("salt"), "key")
    if len(salt) != SALT_BYTES:
        raise DamagedError(f"key: a salt of {len(salt)} bytes")
    return KeyFile(
        gotime.decode(_NO_TIME if document.get("created") is None else document["created"]),
        text_of(document, "username", "key", ""),
        text_of(document, "hostname", "key", ""),
        cost,
        salt,
        _bytes_of(document.get("data"), "key"),
    )


def _refuse_absurd(cost: ScryptCost) -> None:
    power_of_two = cost.n > 1 and cost.n & (cost.n - 1) == 0
    if not power_of_two or cost.r < 1 or cost.p < 1:
        raise DamagedError(f"key: {cost} is not a scrypt parameter set")
    memory = 128 * cost.r * (cost.n + cost.p)
    if memory > _MAX_MEMORY_BYTES or cost.n * cost.r * cost.p > _MAX_COST:
        raise DamagedError(f"key: {cost} asks for {memory >> 20} MiB, far beyond any honest key")


def _derived(password: str, salt: bytes, cost: ScryptCost) -> Key:
    if not password:
        raise UsageError("the password is empty")
    # a password from the environment need not be UTF-8; restic takes its bytes as they are
    secret = password.encode("utf-8", "surrogateescape")
    try:
        raw = hashlib.scrypt(
            secret, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=2 * _MAX_MEMORY_BYTES, dklen=KEY_BYTES
        )
    except ValueError as error:
        raise DamagedError(f"key: {cost} is not a scrypt parameter set") from error
    return Key.from_bytes(raw)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes_of(value: object, what: str) -> bytes:
    try:
        return base64.b64decode(value if isinstance(value, str) else "!", validate=True)
    except (binascii.Error, ValueError) as error:
        raise DamagedError(f"{what}: a value is not base64") from error
