"""`becalm repair index`: makes the index agree with the packs that are there."""

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


@dataclass(slots=True)
class IndexRepair:
    """What was found and done. `dropped` packs cannot be read; `kept` ones only by what the index says of them."""

    broken_files: list[str] = field(default_factory=list)
    missing: list[PackID] = field(default_factory=list)
    added: list[PackID] = field(default_factory=list)
    dropped: list[PackID] = field(default_factory=list)
    kept: list[PackID] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.broken_files or self.missing or self.added or self.dropped)


def repair_index(
    repository: Repository, *, read_all: bool, progress: Progress, say: Callable[[str], None]
) -> IndexRepair:
    """Write the index anew where it is wrong: what it lacks is read from the packs, what is gone is dropped.

    All that will be dropped is told before it is. With `read_all` no index file is trusted.
    """
    say("loading indexes...")
    files = index_files.load(repository, tolerant=True)
    sizes = pack_sizes(repository)
    repair = IndexRepair(sorted(files.broken), [pack for pack in files.listed if pack not in sizes])
    confirm_missing(repository, repair.missing)
    unsound = unsound_packs(repository.index, sizes, files.doubtful)
    to_read = list(sizes) if read_all else [*unsound, *(p for p in sizes if p not in files.listed)]
    say("getting pack files to read...")
    writer = IndexWriter(repository)
    trusted = files.listed - set(unsound)
    _read(repository, {pack: sizes[pack] for pack in to_read}, trusted, writer, repair, progress)
    _tell(files, repair, say)
    if repair or read_all:
        say("rebuilding index")
        _replace(repository, files, writer, repair, progress, everything=read_all)
    return repair


def _read(
    repository: Repository,
    sizes: dict[PackID, int],
    trusted: Collection[PackID],
    writer: IndexWriter,
    repair: IndexRepair,
    progress: Progress,
) -> None:
    """Read the headers of packs. Where one is broken and the index fits, the index is believed."""
    progress.files_done, progress.files_total = 0, len(sizes)
    for pack, blobs in _headers(repository, sizes):
        progress.check()
        progress.files_done += 1
        if blobs is not None:
            writer.add(pack, blobs)
            repair.added.append(pack)
        elif pack in trusted:
            repair.kept.append(pack)
        else:
            repair.dropped.append(pack)


def _headers(
    repository: Repository, sizes: dict[PackID, int]
) -> Iterator[tuple[PackID, list[PackedBlob] | None]]:
    def read(pack: PackID) -> list[PackedBlob] | None:
        try:
            return read_header(repository, pack, size_bytes=sizes[pack])
        except DamagedError:
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
        say(f"dropping pack file {pack.hex()} from the index: its header cannot be read")
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
    gone = {*repair.missing, *repair.added, *repair.dropped}
    old = sorted(files.packs) if everything else files.to_replace(gone)
    index_files.copy_entries(repository, old, writer, gone=gone)
    index_files.require_listed(repository, writer.written)
    delete_files(repository, FileKind.INDEX, [*old, *repair.broken_files], progress)
