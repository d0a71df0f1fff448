"""`becalm repair packs`: saves what is whole in damaged packs, and removes them."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.removal import delete_files, delete_packs, require_written
from becalm_engine.errors import DamagedError, ObjectMissingError, UsageError
from becalm_engine.format.pack import LENGTH_BYTES, PackedBlob, header_range
from becalm_engine.ids import PackID
from becalm_engine.repository import index_files
from becalm_engine.repository.index_files import IndexFiles, IndexWriter
from becalm_engine.repository.pack_header import checked_header
from becalm_engine.repository.reader import open_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind

_Blobs = dict[PackID, set[PackedBlob]]


@dataclass(slots=True)
class PackRepair:
    """How many blobs were saved, and how many are lost that no other pack holds."""

    saved: int = 0
    lost: int = 0


def find_packs(repository: Repository, files: IndexFiles, texts: Iterable[str]) -> list[PackID]:
    """Return the packs that ids or their beginnings name, in the store or only in the index.

    Raises:
        UsageError: One names none, or several.
    """
    known = {stored.name for stored in repository.storage.list(FileKind.PACK)}
    known.update(pack.hex() for pack in files.listed)
    found = []
    for text in texts:
        fitting = [name for name in known if name.startswith(text)]
        if len(fitting) != 1:
            raise UsageError(f"{len(fitting)} packs begin with {text!r}")
        found.append(PackID(bytes.fromhex(fitting[0])))
    return found


def repair_packs(
    repository: Repository,
    texts: Iterable[str],
    *,
    keep_copy: Callable[[str, bytes], None],
    progress: Progress,
    say: Callable[[str], None],
) -> PackRepair:
    """Write the whole blobs of some packs again, and remove the packs. What is lost is told before it is.

    `keep_copy` is given each pack as it is, before anything changes.
    """
    files = index_files.load(repository)
    packs = find_packs(repository, files, texts)
    listed = _listed(repository, files, packs)
    repair = PackRepair()
    for pack in packs:
        _examine(repository, pack, listed, repair, keep_copy, say)
    target = repository.without_index()
    with Writer(target) as writer:
        for pack in packs:
            progress.check()
            for blob, sealed in _whole(repository, pack, listed[pack]):
                writer.put_sealed(blob, sealed)
    require_written(repository, target.index.packs())
    old = files.to_replace(packs)
    index = IndexWriter(repository)
    index_files.copy_entries(repository, old, index, gone=frozenset(packs))
    index_files.require_listed(repository, [*writer.indexes, *index.written])
    delete_files(repository, FileKind.INDEX, old, progress)
    delete_packs(repository, packs, progress)
    return repair


def _listed(repository: Repository, files: IndexFiles, packs: Collection[PackID]) -> _Blobs:
    """Return all that any index file says of some packs."""
    wanted: _Blobs = {pack: set() for pack in packs}
    for name, listed in files.packs.items():
        if listed.isdisjoint(packs):
            continue
        for pack, blobs in index_files.entries_of(repository, name):
            if pack in wanted:
                wanted[pack].update(blobs)
    return wanted


def _examine(
    repository: Repository,
    pack: PackID,
    listed: _Blobs,
    repair: PackRepair,
    keep_copy: Callable[[str, bytes], None],
    say: Callable[[str], None],
) -> None:
    """Find out what is whole in a pack, adding what its header knows, and tell what is not."""
    data = _load(repository, pack)
    if data:
        keep_copy(pack.hex(), data)
        listed[pack].update(_header(repository, pack, data))
    whole = {blob.id for blob, _ in _whole(repository, pack, listed[pack])}
    repair.saved += len(whole)
    say(f"pack {pack.hex()}: {len(whole)} of {len({blob.id for blob in listed[pack]})} blobs are whole")
    for blob in sorted({blob.id for blob in listed[pack]} - whole):
        others = [place.pack for place in repository.index.find_all(blob) if place.pack not in listed]
        if others:
            say(f"  blob {blob.hex()} is damaged; pack {others[0].hex()} holds it too")
        else:
            repair.lost += 1
            say(f"  blob {blob.hex()} is damaged and will be lost")


def _header(repository: Repository, pack: PackID, data: bytes) -> list[PackedBlob]:
    try:
        span = header_range(pack_bytes=len(data), tail=data[-LENGTH_BYTES:])
        return checked_header(repository, pack, data[span.start : span.stop], size_bytes=len(data))
    except DamagedError:
        return []


def _load(repository: Repository, pack: PackID) -> bytes:
    try:
        return repository.storage.load(FileKind.PACK, pack.hex())
    except ObjectMissingError:
        return b""


def _whole(
    repository: Repository, pack: PackID, blobs: Iterable[PackedBlob]
) -> Iterator[tuple[PackedBlob, bytes]]:
    """Yield the blobs of a pack that open, each once."""
    data, seen = _load(repository, pack), set()
    for blob in sorted(blobs, key=lambda one: one.offset):
        sealed = data[blob.offset : blob.offset + blob.stored_bytes]
        if (blob.kind, blob.id) in seen:
            continue
        try:
            open_blob(repository, blob, sealed)
        except DamagedError:
            continue
        seen.add((blob.kind, blob.id))
        yield blob, sealed
