"""An open repository: its config, its key, and the documents in it."""

import contextlib
import secrets
import threading
from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

from becalm_engine.errors import (
    DamagedError,
    EngineError,
    LockedError,
    ObjectMissingError,
    RepositoryExistsError,
    RepositoryMissingError,
    StorageError,
    WrongPasswordError,
    tells_of_data,
)
from becalm_engine.format import config, index_file
from becalm_engine.format.compression import Codec, Compression, unwrap_document, wrap_document
from becalm_engine.format.config import Config
from becalm_engine.format.crypto import IV_BYTES, KEY_BYTES, Envelope, Key, seal, unseal
from becalm_engine.format.key_file import ScryptCost
from becalm_engine.ids import stored_id
from becalm_engine.repository import keys
from becalm_engine.repository.blob_index import BlobIndex
from becalm_engine.repository.windows import Windows
from becalm_engine.storage.base import CONFIG_NAME, FileKind, Storage
from becalm_engine.storage.dry import DryStorage

DEFAULT_COST = ScryptCost()

T = TypeVar("T")
Broken = Callable[[str, EngineError], None]
"""Told of a document that cannot be read: its name, and why."""


class Repository:
    """A repository whose master key is known. Safe to use from several threads.

    `key_name` is the key file that the password opened.
    `guard` is called when an index or a snapshot appears or goes; it raises if the lock that this needs was lost.
    `forked_guard` becomes that of forked copies, which have no thread that keeps a lock; they are made in `quiet`,
    in which no such thread speaks to the store.
    """

    def __init__(
        self, storage: Storage, key: Key, settings: Config, compression: Compression = Compression.AUTO
    ) -> None:
        self.storage = storage
        self.key = key
        self.config = settings
        # version 1 knows no compression
        self.compression = compression if settings.version > 1 else Compression.OFF
        self.envelope = Envelope(key)
        self.codec = Codec(self.compression.level or Compression.AUTO.level)
        self.index = BlobIndex()
        self._index_names: set[str] = set()
        self.windows = Windows(storage)
        self.key_name = ""
        self.guard: Callable[[], None] = lambda: None
        self.forked_guard: Callable[[], None] = lambda: None
        self.quiet: AbstractContextManager[object] = contextlib.nullcontext()

    def without_index(self) -> "Repository":
        """Return the same repository with an empty index: for writing again what it has."""
        bare = Repository(self.storage, self.key, self.config, self.compression)
        bare.guard = self.guard
        return bare

    def dry(self) -> "Repository":
        """Return the same repository with the index that is loaded, into which nothing is written."""
        copy = self._over(DryStorage(self.storage))
        copy.quiet = self.quiet
        return copy

    def forked(self, stop: threading.Event) -> "Repository":
        """Return what a forked copy of this process is to use; the index is the one that was loaded before."""
        copy = self._over(self.storage.forked(stop))
        copy.guard = self.forked_guard
        return copy

    def _over(self, storage: Storage) -> "Repository":
        """Return the same repository and its index, reached in another way. It asks for no lock."""
        copy = Repository(storage, self.key, self.config, self.compression)
        copy.index = self.index
        copy.windows = self.windows.over(storage)
        copy.key_name = self.key_name
        return copy

    def load_document(self, kind: FileKind, name: str) -> bytes:
        """Return the JSON of an index, snapshot or lock.

        Raises:
            DamagedError: It is not what its name says, or was changed.
        """
        stored = self.storage.load(kind, name)
        if stored_id(stored).hex() != name:
            raise DamagedError(f"{kind.value}/{name} has other content than its name says")
        try:
            return unwrap_document(self.envelope.unseal(stored), self.codec)
        except DamagedError as error:
            raise DamagedError(f"{kind.value}/{name}: {error}") from error

    def save_document(self, kind: FileKind, text: bytes) -> str:
        """Store the JSON of an index, snapshot or lock; return its name."""
        wrapped = wrap_document(text, self.codec, version=self.config.version)
        stored = self.envelope.seal(wrapped, iv=secrets.token_bytes(IV_BYTES))
        name = stored_id(stored).hex()
        self.storage.save(kind, name, stored)
        return name

    def publish_document(self, kind: FileKind, text: bytes) -> str:
        """Store the JSON of an index or snapshot, on which others rely once it is there; return its name.

        It is taken back if the lock was lost meanwhile: a process may stand still in the middle of this.

        Raises:
            LockedError: What it refers to may be gone by now.
        """
        self.guard()
        name = self.save_document(kind, text)
        try:
            self.guard()
        except LockedError:
            with contextlib.suppress(StorageError):  # a store for appending only
                self.storage.delete(kind, name)
            raise
        return name

    def each_document(
        self,
        kind: FileKind,
        decode: Callable[[bytes], T],
        broken: Broken | None = None,
        known: Container[str] = (),
    ) -> Iterator[tuple[str, T]]:
        """Yield all documents of a kind, several loaded at once, and no more of them in memory than that.

        Those whose names are `known` are left out.
        With `broken`, one that is damaged or gone is told and left out; without it, it ends the reading.
        """

        def load(name: str) -> list[tuple[str, T]]:
            try:
                return [(name, decode(self.load_document(kind, name)))]
            except EngineError as error:
                if broken is None or not tells_of_data(error):
                    raise
                broken(name, error)
                return []

        names = sorted(stored.name for stored in self.storage.list(kind) if stored.name not in known)
        step = 2 * self.storage.connections
        with ThreadPoolExecutor(self.storage.connections) as pool:
            for at in range(0, len(names), step):
                for found in pool.map(load, names[at : at + step]):
                    yield from found

    def load_index(self, broken: Broken | None = None) -> None:
        """Read all index files, or those that were written since the last time.

        Snapshots must be listed before: the index may be newer, never older.
        """
        known = frozenset(self._index_names)
        for name, packs in self.each_document(FileKind.INDEX, index_file.decode_listings, broken, known):
            self._index_names.add(name)
            for pack, listing in packs:
                self.index.add_listing(pack, listing)

    def refuse_lost_index(self) -> None:
        """See that what was loaded of the index is there still: whoever removes packs replaces that first.

        Raises:
            LockedError: It is not; the command may be tried again.
        """
        gone = self._index_names.difference(stored.name for stored in self.storage.list(FileKind.INDEX))
        if gone:
            raise LockedError(
                f"{self.storage.location} was changed by another process while this one began; run it again"
            )


def initialise(
    storage: Storage, password: str, *, version: int = 2, cost: ScryptCost = DEFAULT_COST
) -> Config:
    """Make a new repository and its first key; or complete one that was begun with the same password.

    Raises:
        RepositoryExistsError: There is one already, or part of one that the password does not open.
    """
    storage.create()
    _refuse_existing(storage)
    master = _begun(storage, password) or Key.from_bytes(secrets.token_bytes(KEY_BYTES))
    polynomial = config.random_polynomial(lambda: secrets.randbits(64))
    settings = Config(version, secrets.token_hex(32), polynomial)
    key_name = keys.make_key(storage, master, password, cost)
    sealed = seal(master, config.encode(settings), iv=secrets.token_bytes(IV_BYTES))
    try:
        storage.save(FileKind.CONFIG, CONFIG_NAME, sealed, only_if_absent=True)
    except (RepositoryExistsError, StorageError) as error:
        if not error.retryable:
            _remove_needless(storage, key_name, error)
        raise
    return settings


def _remove_needless(storage: Storage, key_name: str, error: EngineError) -> None:
    """Remove the key of a config that is not there: somebody else was first, or it is refused for good.

    A config that may be ours, stored unseen, keeps its key.
    """
    with contextlib.suppress(StorageError):
        if isinstance(error, RepositoryExistsError) or not _has_config(storage):
            storage.delete(FileKind.KEY, key_name)


def _has_config(storage: Storage) -> bool:
    try:
        storage.load(FileKind.CONFIG, CONFIG_NAME)
    except ObjectMissingError:
        return False
    return True


def _refuse_existing(storage: Storage) -> None:
    """A config makes a repository; data without one are the rest of something, not to be covered up."""
    if _has_config(storage):
        raise RepositoryExistsError(f"repository at {storage.location} already exists")
    for kind in (FileKind.SNAPSHOT, FileKind.INDEX, FileKind.PACK):
        if any(True for _ in storage.list(kind)):
            raise RepositoryExistsError(
                f"{storage.location} has {kind.value}, but no config: it was a repository whose config is lost. "
                "Nothing was changed; put a copy of the config back, or choose another place"
            )


def _begun(storage: Storage, password: str) -> Key | None:
    """Return the key of a repository that was begun with this password and has no config yet; None if none was.

    Whoever goes on with it stores a key file of its own: one who is still at work may take his away again.
    """
    if not any(True for _ in storage.list(FileKind.KEY)):
        return None
    try:
        return keys.find_key(storage, password)
    except (WrongPasswordError, DamagedError) as error:
        raise RepositoryExistsError(
            f"{storage.location} has keys, but no config: an init was broken off, or another one is at work. "
            f"Use the password that it was given ({error}); or if nobody needs it, delete {FileKind.KEY.value}/ "
            "there and begin again"
        ) from error
    except (ObjectMissingError, RepositoryMissingError):
        return None  # whoever was at work has taken his key away


def open_repository(
    storage: Storage, password: str, *, compression: Compression = Compression.AUTO, key_hint: str = ""
) -> Repository:
    """Open a repository with a password.

    Raises:
        RepositoryMissingError: There is none.
        WrongPasswordError: The password opens none of its keys.
        DamagedError: Its config does not open with the key.
    """
    try:
        sealed = storage.load(FileKind.CONFIG, CONFIG_NAME)
    except ObjectMissingError as error:
        raise RepositoryMissingError(f"no repository at {storage.location}: {error}") from error
    key_name, key = keys.find_named_key(
        storage, password, key_hint, check=lambda key: _opened_config(key, sealed)
    )
    repository = Repository(storage, key, _opened_config(key, sealed), compression)
    repository.key_name = key_name
    return repository


def _opened_config(key: Key, sealed: bytes) -> Config:
    try:
        return config.decode(unseal(key, sealed))
    except DamagedError as error:
        raise DamagedError(f"config: {error}") from error
