"""`becalm repair packs`: saves what is whole in damaged packs, and removes them.

Each pack is read twice, first to tell what is whole and then to save it, and has to be the same both times.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.removal import delete_files, delete_packs, require_written
from becalm_engine.errors import DamagedError, InternalError, ObjectMissingError, StorageError, UsageError
from becalm_engine.format.pack import LENGTH_BYTES, BlobKind, PackedBlob, header_range
from becalm_engine.ids import BlobID, PackID, stored_id
from becalm_engine.repository import index_files
from becalm_engine.repository.index_files import IndexFiles, IndexWriter
from becalm_engine.repository.pack_header import checked_header
from becalm_engine.repository.reader import view_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind

_Blobs = dict[PackID, set[PackedBlob]]
_Key = tuple[BlobKind, BlobID]


@dataclass(slots=True)
class PackRepair:
    """How many blobs were saved, and how many are lost that no other pack holds."""

    saved: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class _Told:
    """What was told of a pack: the hash of its bytes, all blobs that may be in it, and which of them are whole."""

    digest: bytes
    blobs: frozenset[PackedBlob]
    whole: frozenset[_Key]


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
    return list(dict.fromkeys(found))


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

    Raises:
        UsageError: A text names no pack, or several.
        StorageError: A pack, or the list of index files, was not the same when it was read again. Nothing was
            removed then.
    """
    files = index_files.load(repository)
    packs = find_packs(repository, files, texts)
    listed = _listed(repository, files, packs)
    repair = PackRepair()
    told = {pack: _examine(repository, pack, listed, keep_copy) for pack in packs}
    _tell(repository, told, repair, say)
    _require_same_index(repository, files)
    indexes = _save(repository, told, progress)
    old = files.to_replace(packs)
    index = IndexWriter(repository)
    index_files.copy_entries(repository, old, index, gone=frozenset(packs))
    index_files.require_written(repository, [*indexes, *index.written])
    delete_files(repository, FileKind.INDEX, old, progress)
    delete_packs(repository, packs, progress)
    return repair


def _require_same_index(repository: Repository, files: IndexFiles) -> None:
    """See that no listing has left out an index file: it may know what is in a pack, and would list it for ever."""
    if set(index_files.names(repository)) != files.names:
        raise StorageError("the list of index files has changed meanwhile; nothing was deleted. Try again")


def _save(repository: Repository, told: Mapping[PackID, _Told], progress: Progress) -> list[str]:
    """Write again what is whole in packs, all that was told; return the new index files."""
    target = repository.without_index()
    with Writer(target) as writer:
        for pack, seen in told.items():
            progress.check()
            data = _load(repository, pack)
            if stored_id(data) != seen.digest:
                raise StorageError(
                    f"pack {pack.hex()} was read differently a second time; nothing was deleted. Try again"
                )
            for blob, sealed in _whole(repository, data, seen.blobs):
                writer.put_sealed(blob, sealed)
    lost = sum(not target.index.holds(*key) for seen in told.values() for key in seen.whole)
    if lost:
        raise InternalError(f"internal error: {lost} blobs were not saved; nothing was deleted")
    require_written(target, target.index.packs())
    return writer.indexes


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
    keep_copy: Callable[[str, bytes], None],
) -> _Told:
    """Find out what is whole in a pack, adding what its header knows."""
    data = _load(repository, pack)
    if data:
        keep_copy(pack.hex(), data)
        listed[pack].update(_header(repository, pack, data))
    blobs = frozenset(listed[pack])
    whole = frozenset(_key(blob) for blob, _ in _whole(repository, data, blobs))
    return _Told(stored_id(data), blobs, whole)


def _tell(
    repository: Repository, told: Mapping[PackID, _Told], repair: PackRepair, say: Callable[[str], None]
) -> None:
    """Tell what is not whole, and what of that is in no other pack, be it one of those that are repaired."""
    saved = {key: pack for pack, seen in told.items() for key in seen.whole}
    lost: set[_Key] = set()
    for pack, seen in told.items():
        every = {_key(blob) for blob in seen.blobs}
        say(f"pack {pack.hex()}: {len(seen.whole)} of {len(every)} blobs are whole")
        for kind, blob in sorted(every - seen.whole):
            places = [place for place in repository.index.find_all(blob) if place.blob.kind is kind]
            others = [place.pack for place in places if place.pack not in told]
            other = saved.get((kind, blob)) or next(iter(others), None)
            if other is not None:
                say(f"  blob {blob.hex()} is damaged; pack {other.hex()} holds it too")
            else:
                lost.add((kind, blob))
                say(f"  blob {blob.hex()} is damaged and will be lost")
    repair.saved, repair.lost = len(saved), len(lost)


def _key(blob: PackedBlob) -> _Key:
    return blob.kind, blob.id


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
    repository: Repository, data: bytes, blobs: Iterable[PackedBlob]
) -> Iterator[tuple[PackedBlob, bytes]]:
    """Yield the blobs in the bytes of a pack that open, each once."""
    seen: set[_Key] = set()
    for blob in sorted(blobs, key=lambda one: one.offset):
        sealed = data[blob.offset : blob.offset + blob.stored_bytes]
        if _key(blob) in seen:
            continue
        try:
            view_blob(repository, blob, sealed)
        except DamagedError:
            continue
        seen.add(_key(blob))
        yield blob, sealed
