"""Finding the key that a password opens, and making the first one."""

import os
import pwd
import secrets
import socket
import time
from collections.abc import Callable, Iterable

from becalm_engine.errors import DamagedError, ObjectMissingError, RepositoryMissingError, WrongPasswordError
from becalm_engine.format import key_file
from becalm_engine.format.crypto import IV_BYTES, Key
from becalm_engine.ids import stored_id
from becalm_engine.storage.base import FileKind, Storage

_MOST_KEYS = 20
"""restic tries as many; each costs a derivation."""


def make_key(
    storage: Storage,
    master: Key,
    password: str,
    cost: key_file.ScryptCost,
    *,
    user: str = "",
    host: str = "",
) -> str:
    """Store a key file that opens with `password`; return its name. It says who made it and where."""
    made = key_file.make(
        master,
        password,
        salt=secrets.token_bytes(key_file.SALT_BYTES),
        iv=secrets.token_bytes(IV_BYTES),
        created_nanos=time.time_ns(),
        username=user or username(),
        hostname=host or socket.gethostname(),
        cost=cost,
    )
    encoded = key_file.encode(made)
    name = stored_id(encoded).hex()
    storage.save(FileKind.KEY, name, encoded)
    return name


def find_key(storage: Storage, password: str, hint: str = "") -> Key:
    """Return the master key, trying the hinted key first, then up to twenty others."""
    return find_named_key(storage, password, hint)[1]


def find_named_key(
    storage: Storage, password: str, hint: str = "", check: Callable[[Key], object] = lambda _: None
) -> tuple[str, Key]:
    """Return the name of the key file that the password opens, and the master key in it.

    `check` raises a `DamagedError` for a master key that is not the repository's: of two who made one at the same
    moment, the loser may have been killed before its key was gone.

    Raises:
        WrongPasswordError: None of them opens.
        DamagedError: Those that open are broken.
        RepositoryMissingError: There is none to try.
    """
    names = sorted(stored.name for stored in storage.list(FileKind.KEY))
    if not names:
        raise RepositoryMissingError(f"no keys at {storage.location}: this is not a repository")
    hinted = [name for name in names if hint and name.startswith(hint)]
    tried = (hinted + [name for name in names if name not in hinted])[:_MOST_KEYS]
    found = _first_opened(storage, tried, password, check)
    if found is None:
        raise WrongPasswordError(f"wrong password for the repository at {storage.location}, or no key for it")
    return found


def _first_opened(
    storage: Storage, names: Iterable[str], password: str, check: Callable[[Key], object]
) -> tuple[str, Key] | None:
    """Try keys in turn. A broken key file must not keep the good ones from opening."""
    damage: DamagedError | None = None
    for name in names:
        try:
            key = _unlocked(storage, name, password)
            if key is not None:
                check(key)
                return name, key
        except DamagedError as error:
            damage = error
    if damage is not None:
        raise damage
    return None


def _unlocked(storage: Storage, name: str, password: str) -> Key | None:
    """Return the master key of a key file, or None if the password is another's, or the file is gone meanwhile.

    Raises:
        DamagedError: The file is broken; then it may well be the right password.
    """
    try:
        text = storage.load(FileKind.KEY, name)
    except ObjectMissingError:  # somebody has changed a password since the keys were listed
        return None
    try:
        return key_file.unlock(key_file.decode(text), password)
    except DamagedError as error:
        raise DamagedError(f"keys/{name}: {error}") from error
    except WrongPasswordError:
        if stored_id(text).hex() != name:
            raise DamagedError(f"keys/{name} has other content than its name says") from None
        return None


def username() -> str:
    """Return who runs this process, or its user id where nobody is registered, as in many containers."""
    named = os.environ.get("USER") or os.environ.get("LOGNAME")
    if named:
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
