"""Repositories for tests: cheap keys, storage in memory."""

import random

from becalm_engine.format.compression import Compression
from becalm_engine.format.key_file import ScryptCost
from becalm_engine.repository.repository import Repository, initialise, open_repository
from becalm_engine.storage.base import FileKind, Storage
from tests.engine.storage.memory import MemoryStorage

PASSWORD = "correct horse"
CHEAP = ScryptCost(n=1024, r=1, p=1)


def made(
    storage: Storage | None = None, *, version: int = 2, compression: Compression = Compression.AUTO
) -> Repository:
    """Make a repository and open it."""
    place = MemoryStorage() if storage is None else storage
    initialise(place, PASSWORD, version=version, cost=CHEAP)
    return open_repository(place, PASSWORD, compression=compression)


def reopened(repository: Repository) -> Repository:
    """Open a repository again, as another process would, and load its index."""
    again = open_repository(repository.storage, PASSWORD)
    again.load_index()
    return again


def packs(repository: Repository) -> set[str]:
    """Return the names of the packs that are stored."""
    return {stored.name for stored in repository.storage.list(FileKind.PACK)}


def contents(count: int, size: int = 2000, seed: int = 0) -> list[bytes]:
    """Different contents that do not compress."""
    return [random.Random(f"{seed}/{number}").randbytes(size) for number in range(count)]
