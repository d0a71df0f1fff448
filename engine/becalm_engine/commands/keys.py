"""`becalm key`: the passwords that open a repository. The master key, and so all data, stays the same."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from becalm_engine.errors import (
    DamagedError,
    EngineError,
    ObjectMissingError,
    StorageDeniedError,
    StorageError,
    StorageUnavailableError,
    UsageError,
    WrongPasswordError,
    tells_of_data,
)
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
        DamagedError: What was stored does not open it. It was removed, or the message says that it stays.
        StorageUnavailableError: It was stored, and could not be read back.
        StorageDeniedError: The same, for want of a permission.
    """
    if not password:
        raise UsageError("the new password is empty")
    repository.guard()
    name = make_key(repository.storage, repository.key, password, cost, user=user, host=host)
    try:
        _require_opening(repository, name, password)
    except (DamagedError, WrongPasswordError, StorageError) as error:
        if tells_of_data(error):
            raise _removed(repository, name, error) from error
        denied = isinstance(error, StorageDeniedError)
        raise (StorageDeniedError if denied else StorageUnavailableError)(
            f"the new key {name[:8]} was stored, and could not be read back; it may be good: "
            f"look with `becalm key list`. {error}"
        ) from error
    return name


def _require_opening(repository: Repository, name: str, password: str) -> None:
    """See that a key that was just stored opens the repository."""
    stored = key_file.decode(repository.storage.load(FileKind.KEY, name))
    opened = key_file.unlock(stored, password)
    if not hmac.compare_digest(opened.to_bytes(), repository.key.to_bytes()):
        raise DamagedError("the new key holds another master key")


def _removed(repository: Repository, name: str, why: EngineError) -> DamagedError:
    """Remove a key that is of no use, and return the error that tells of it."""
    try:
        repository.storage.delete(FileKind.KEY, name)
    except EngineError as error:
        return DamagedError(f"the new key does not open the repository: {why}. keys/{name} stays: {error}")
    return DamagedError(f"the new key does not open the repository and was removed: {why}")


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
        UsageError: None or several begin so, or it is the key in use, or that one is not there any more.
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
    _require_own(repository)
    repository.storage.delete(FileKind.KEY, name)
    return name


def _require_own(repository: Repository) -> None:
    """See that the key in use is there still: another process may have removed it while this one waited for the lock.

    Raises:
        UsageError: It is not. The one that was to be removed may be the last.
    """
    try:
        repository.storage.load(FileKind.KEY, repository.key_name)
    except ObjectMissingError as error:
        raise UsageError(
            "the key in use was removed by another process meanwhile, so no other is: open the repository again"
        ) from error
