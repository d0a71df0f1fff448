"""`becalm key`: the passwords that open a repository. The master key, and so all data, stays the same."""

import contextlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from becalm_engine.errors import DamagedError, EngineError, UsageError
from becalm_engine.format import key_file
from becalm_engine.repository.keys import make_key
from becalm_engine.repository.repository import DEFAULT_COST, Repository
from becalm_engine.storage.base import FileKind


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What a key file says about itself; nothing of it is authenticated."""

    name: str
    is_current: bool
    username: str
    hostname: str
    created_nanos: int


def list_keys(repository: Repository, tell: Callable[[str], None]) -> list[StoredKey]:
    """Return all keys; `tell` hears of each that cannot be read."""
    found = []
    for name in sorted(stored.name for stored in repository.storage.list(FileKind.KEY)):
        try:
            key = key_file.decode(repository.storage.load(FileKind.KEY, name))
        except DamagedError as error:
            tell(f"keys/{name}: {error}")
            continue
        current = name == repository.key_name
        found.append(StoredKey(name, current, key.username, key.hostname, key.created_nanos))
    return found


def add_key(
    repository: Repository,
    password: str,
    *,
    user: str = "",
    host: str = "",
    cost: key_file.ScryptCost = DEFAULT_COST,
) -> str:
    """Make a further password; return the name of its key, which was seen to open the repository.

    Raises:
        DamagedError: What was stored does not open it; nothing is left of it.
    """
    if not password:
        raise UsageError("the new password is empty")
    repository.guard()
    name = make_key(repository.storage, repository.key, password, cost, user=user, host=host)
    try:
        stored = key_file.decode(repository.storage.load(FileKind.KEY, name))
        opened = key_file.unlock(stored, password)
        if not hmac.compare_digest(opened.to_bytes(), repository.key.to_bytes()):
            raise DamagedError("the new key holds another master key")
    except EngineError as error:
        with contextlib.suppress(EngineError):
            repository.storage.delete(FileKind.KEY, name)
        raise DamagedError(f"the new key does not open the repository and was removed: {error}") from error
    return name


def change_password(
    repository: Repository,
    password: str,
    *,
    user: str = "",
    host: str = "",
    cost: key_file.ScryptCost = DEFAULT_COST,
) -> str:
    """Make a new password and remove the one in use, in this order; return the new key's name."""
    old = repository.key_name
    if not old:
        raise UsageError("the key in use is not known")
    name = add_key(repository, password, user=user, host=host, cost=cost)
    repository.key_name = name
    repository.guard()
    repository.storage.delete(FileKind.KEY, old)
    return name


def remove_key(repository: Repository, text: str) -> str:
    """Remove the key whose name begins with `text`; return its name.

    Raises:
        UsageError: None or several begin so, or it is the key in use.
    """
    names = [f.name for f in repository.storage.list(FileKind.KEY) if f.name.startswith(text)]
    if not text or len(names) != 1:
        raise UsageError(f"{len(names)} keys have an id that begins with {text!r}")
    [name] = names
    if name == repository.key_name or not repository.key_name:
        raise UsageError(
            "refusing to remove the key that is in use: open the repository by another one first"
        )
    repository.guard()
    repository.storage.delete(FileKind.KEY, name)
    return name
