"""Index files as wholes: what each lists, where they contradict each other, and how they are replaced.

New ones are written first. Until the old ones are deleted both are there, and say the same of every pack that stays.
"""

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from becalm_engine.errors import DamagedError, StorageError
from becalm_engine.format import index_file
from becalm_engine.format.pack import PackedBlob
from becalm_engine.ids import PackID
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind

FULL_BLOBS = 50_000
"""As many as the writer puts into one file."""

PackEntry = tuple[PackID, list[PackedBlob]]


@dataclass(slots=True)
class IndexFiles:
    """The index files of a repository: the packs and the number of blobs of each, and what is wrong with them.

    `doubtful` packs are listed differently in two places, or without a blob. `broken` files cannot be read.
    """

    packs: dict[str, frozenset[PackID]] = field(default_factory=dict)
    blob_counts: dict[str, int] = field(default_factory=dict)
    doubtful: set[PackID] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    _listings: dict[PackID, int] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The names of all files."""
        return {*self.packs, *self.broken}

    @property
    def listed(self) -> AbstractSet[PackID]:
        """All packs that are listed anywhere."""
        return self._listings.keys()

    def add(self, name: str, entries: Iterable[PackEntry]) -> None:
        """Take in what one file lists."""
        packs, count = set(), 0
        for pack, blobs in entries:
            packs.add(pack)
            count += len(blobs)
            listing = hash(frozenset(blobs))
            if self._listings.setdefault(pack, listing) != listing or not blobs:
                self.doubtful.add(pack)
        self.packs[name] = frozenset(packs)
        self.blob_counts[name] = count

    def to_replace(self, packs: Collection[PackID]) -> list[str]:
        """Return the files that list any of these packs, and with them small ones, which may become one."""
        concerned = [name for name, listed in self.packs.items() if not listed.isdisjoint(packs)]
        others = self.packs.keys() - set(concerned)
        small = [name for name in others if self.blob_counts[name] < FULL_BLOBS // 2]
        return sorted(concerned + small) if len(concerned) + len(small) > 1 or concerned else []


def load(repository: Repository, *, tolerant: bool = False) -> IndexFiles:
    """Read all index files into the repository's index, and say what contradicts.

    Raises:
        DamagedError: One cannot be read, unless that is tolerated.
    """
    files = IndexFiles()
    for name in names(repository):
        try:
            entries = entries_of(repository, name)
        except DamagedError as error:
            if not tolerant:
                raise
            files.broken[name] = str(error)
            continue
        files.add(name, entries)
        for pack, blobs in entries:
            repository.index.add(pack, blobs)
    return files


def names(repository: Repository) -> list[str]:
    """Return the names of the index files."""
    return sorted(stored.name for stored in repository.storage.list(FileKind.INDEX))


def entries_of(repository: Repository, name: str) -> list[PackEntry]:
    """Return the packs of one index file."""
    return index_file.decode(repository.load_document(FileKind.INDEX, name))


class IndexWriter:
    """Writes packs into index files, each as full as it may be. Holds no more than one file in memory."""

    def __init__(self, repository: Repository) -> None:
        self.written: list[str] = []
        self._repository = repository
        self._entries: list[PackEntry] = []
        self._blobs = 0
        self._seen: set[tuple[PackID, int]] = set()

    def add(self, pack: PackID, blobs: list[PackedBlob]) -> None:
        """Take a pack; one that is listed the same again is left out."""
        key = (pack, hash(frozenset(blobs)))
        if key in self._seen:
            return
        self._seen.add(key)
        self._entries.append((pack, blobs))
        self._blobs += len(blobs)
        if self._blobs >= FULL_BLOBS:
            self.flush()

    def flush(self) -> None:
        """Write what is there."""
        entries, self._entries, self._blobs = self._entries, [], 0
        if entries:
            self.written.append(self._repository.publish_document(FileKind.INDEX, index_file.encode(entries)))


def copy_entries(
    repository: Repository, old: Iterable[str], into: IndexWriter, *, gone: Collection[PackID]
) -> None:
    """Write again what files list, but for the packs that are gone."""
    for name in old:
        for pack, blobs in entries_of(repository, name):
            if pack not in gone:
                into.add(pack, blobs)
    into.flush()


def entries_in(
    repository: Repository, files: Iterable[str], packs: Collection[PackID]
) -> Iterator[PackEntry]:
    """Yield the entries of some packs, each once, a file in memory at a time."""
    seen: set[PackID] = set()
    for name in files:
        for pack, blobs in entries_of(repository, name):
            if pack in packs and pack not in seen:
                seen.add(pack)
                yield pack, blobs


def require_written(repository: Repository, written: Collection[str], *, beside: Iterable[str] = ()) -> None:
    """Read new index files back, before the old ones go; all have to be listed, and so have those `beside` them.

    Raises:
        StorageError: One is not there, whatever the store said when it was written.
        DamagedError: One is another than was written.
    """
    require_listed(repository, {*written, *beside})
    for name in written:
        try:
            repository.load_document(FileKind.INDEX, name)
        except DamagedError as error:
            raise DamagedError(
                f"index {name} was just written to {repository.storage.location}, and is read back as another "
                f"one, so what it was to replace stays: {error}"
            ) from error


def require_listed(repository: Repository, written: Iterable[str]) -> None:
    """See that the store lists what was written to it: only then may the old files go.

    Raises:
        StorageError: It does not.
    """
    unseen = set(written) - set(names(repository))
    if unseen:
        raise StorageError(
            f"{repository.storage.location} does not list index {min(unseen)}, which was just written; "
            "its listings cannot be trusted, and what is in use stays"
        )
