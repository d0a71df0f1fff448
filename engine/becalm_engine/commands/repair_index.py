"""`becalm repair index`: makes the index agree with the packs that are there.

What an index file says of a pack is dropped only for what the pack says of itself: where its header is lost, the
index is all that knows which blobs are in it, and `becalm repair packs` needs that to save them.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.removal import confirm_missing, delete_files, pack_sizes
from becalm_engine.errors import DamagedError
from becalm_engine.format.pack import PackedBlob
from becalm_engine.ids import PackID
from becalm_engine.policy.prune import unsound_packs
from becalm_engine.repository import index_files
from becalm_engine.repository.index_files import IndexFiles, IndexWriter
from becalm_engine.repository.pack_header import read_header
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind

_STEP = 64
_LOOKS = 2
"""A header that seems damaged is looked at again: it may have been the way here."""


@dataclass(slots=True)
class IndexRepair:
    """What was found and done; false if nothing was.

    The headers of `kept` and of `dropped` packs cannot be read. What the index says of the former stays; of the
    latter it says nothing.
    """

    broken_files: list[str] = field(default_factory=list)
    missing: list[PackID] = field(default_factory=list)
    added: list[PackID] = field(default_factory=list)
    dropped: list[PackID] = field(default_factory=list)
    kept: list[PackID] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.changes_index or self.dropped or self.kept)

    @property
    def changes_index(self) -> bool:
        """Whether the index is wrong, and is written anew."""
        return bool(self.broken_files or self.missing or self.added)


def repair_index(
    repository: Repository, *, read_all: bool, progress: Progress, say: Callable[[str], None]
) -> IndexRepair:
    """Write the index anew where it is wrong: what it lacks is read from the packs, packs that are gone are dropped.

    All that will be dropped is told before it is. With `read_all` no index file is trusted.
    """
    say("loading indexes...")
    files = _loaded(repository)
    sizes = pack_sizes(repository)
    repair = IndexRepair(sorted(files.broken), [pack for pack in files.listed if pack not in sizes])
    confirm_missing(repository, repair.missing)
    to_read = sizes if read_all else _not_as_listed(repository, files, sizes)
    say("getting pack files to read...")
    writer = IndexWriter(repository)
    _read(repository, {pack: sizes[pack] for pack in to_read}, files.listed, writer, repair, progress)
    _tell(files, repair, say)
    if repair.changes_index or read_all:
        say("rebuilding index")
        _replace(repository, files, writer, repair, progress, everything=read_all)
    return repair


def _loaded(repository: Repository) -> IndexFiles:
    """Read the index files; if one seems damaged, again."""
    files = index_files.load(repository, tolerant=True)
    return index_files.load(repository, tolerant=True) if files.broken else files


def _not_as_listed(repository: Repository, files: IndexFiles, sizes: dict[PackID, int]) -> list[PackID]:
    """Return the packs that cannot be what the index says, and those that it does not list."""
    unsound = unsound_packs(repository.index, sizes, files.doubtful)
    return [*unsound, *(pack for pack in sizes if pack not in files.listed)]


def _read(
    repository: Repository,
    sizes: dict[PackID, int],
    listed: Collection[PackID],
    writer: IndexWriter,
    repair: IndexRepair,
    progress: Progress,
) -> None:
    """Read the headers of packs. Where one is broken, what the index says stays, whether it fits or not."""
    progress.files_done, progress.files_total = 0, len(sizes)
    for pack, blobs in _headers(repository, sizes):
        progress.check()
        progress.files_done += 1
        if blobs is not None:
            writer.add(pack, blobs)
            repair.added.append(pack)
        elif pack in listed:
            repair.kept.append(pack)
        else:
            repair.dropped.append(pack)


def _headers(
    repository: Repository, sizes: dict[PackID, int]
) -> Iterator[tuple[PackID, list[PackedBlob] | None]]:
    def read(pack: PackID) -> list[PackedBlob] | None:
        for _ in range(_LOOKS):
            with contextlib.suppress(DamagedError):
                return read_header(repository, pack, size_bytes=sizes[pack])
        return None

    packs = sorted(sizes)
    with ThreadPoolExecutor(repository.storage.connections) as pool:
        for at in range(0, len(packs), _STEP):
            some = packs[at : at + _STEP]
            yield from zip(some, pool.map(read, some), strict=True)


def _tell(files: IndexFiles, repair: IndexRepair, say: Callable[[str], None]) -> None:
    for name in repair.broken_files:
        say(f"removing invalid index {name}: {files.broken[name]}")
    for pack in repair.missing:
        say(f"removing not found pack file {pack.hex()}")
    for pack in repair.added:
        if pack not in files.listed:
            say(f"adding pack file to index {pack.hex()}")
    for pack in repair.dropped:
        say(
            f"leaving out pack file {pack.hex()}: its header cannot be read, and no index knows what is in it"
        )
    for pack in repair.kept:
        say(
            f"the header of pack file {pack.hex()} cannot be read; what the index says of it stays. "
            f"`becalm repair packs {pack.hex()}` saves what is whole"
        )


def _replace(
    repository: Repository,
    files: IndexFiles,
    writer: IndexWriter,
    repair: IndexRepair,
    progress: Progress,
    *,
    everything: bool,
) -> None:
    gone = {*repair.missing, *repair.added}
    old = sorted(files.packs) if everything else files.to_replace(gone)
    index_files.copy_entries(repository, old, writer, gone=gone)
    index_files.require_written(repository, writer.written)
    delete_files(repository, FileKind.INDEX, [*old, *repair.broken_files], progress)
