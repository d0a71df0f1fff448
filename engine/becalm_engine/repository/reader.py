"""Loading blobs: one at a time for trees, pack by pack for file content."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from becalm_engine.errors import DamagedError, EngineError, StorageError, tells_of_data
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.tree import Node, decode_tree
from becalm_engine.ids import BlobID, PackID, blob_id
from becalm_engine.repository.blob_index import Location
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind

_MOST_GAP_BYTES = 1024 * 1024
_MOST_RANGE_BYTES = 32 * 1024 * 1024
MAX_BLOB_BYTES = 1 << 30
"""Trees of a million files have hundreds of MiB; beyond this a stated length is an attack."""


def load_blob(repository: Repository, blob: BlobID) -> bytes:
    """Return the content of a blob, verified.

    Raises:
        DamagedError: No copy of it is whole, or the index does not know it.
        StorageError: Its only pack cannot be read.
    """
    problem: EngineError = DamagedError(f"blob {blob.hex()} is in no index")
    for location in repository.index.find_all(blob):
        packed = location.blob
        try:
            return open_blob(repository, packed, _stored(repository, location))
        except DamagedError as error:
            repository.windows.forget(location.pack, offset=packed.offset)
            problem = DamagedError(f"pack {location.pack.hex()}: {error}")
        except StorageError as error:  # a pack that is gone or cut short; another may hold the blob too
            if error.retryable:
                raise
            problem = error
    raise problem


def _stored(repository: Repository, location: Location) -> bytes:
    pack, blob = location.pack, location.blob
    if blob.kind is BlobKind.TREE:
        end = repository.index.facts_of(pack).end
        try:
            return repository.windows.load(pack, offset=blob.offset, length=blob.stored_bytes, end=end)
        except StorageError as error:
            if not tells_of_data(error):
                raise
            # a pack that is cut short has lost its end only: its neighbours cannot be had, and this one perhaps can
    return load_stored(repository, location)


def load_stored(repository: Repository, location: Location) -> bytes:
    """Return a blob as it is stored, read by itself."""
    pack, blob = location.pack, location.blob
    return repository.storage.load_range(
        FileKind.PACK, pack.hex(), offset=blob.offset, length=blob.stored_bytes
    )


def open_blob(repository: Repository, packed: PackedBlob, stored: bytes | memoryview) -> bytes:
    """Return the content of a stored blob: authenticated, decompressed, and compared with its id.

    Raises:
        DamagedError: Any of it fails.
    """
    return bytes(view_blob(repository, packed, stored))


def view_blob(repository: Repository, packed: PackedBlob, stored: bytes | memoryview) -> bytes | memoryview:
    """Return the content of a stored blob as `open_blob` does, good until this thread opens the next one.

    Raises:
        DamagedError: Any of it fails.
    """
    try:
        content: bytes | memoryview = repository.envelope.unseal_briefly(stored)
        if packed.plain_bytes:
            plain_bytes = min(packed.plain_bytes, MAX_BLOB_BYTES)
            content = repository.codec.decompress(content, plain_bytes=plain_bytes)
    except DamagedError as error:
        raise DamagedError(f"blob {packed.id.hex()}: {error}") from error
    if blob_id(content) != packed.id:
        raise DamagedError(f"blob {packed.id.hex()}: its content has another hash")
    return content


def load_tree(repository: Repository, tree: BlobID) -> list[Node]:
    """Return the nodes of a directory.

    Raises:
        DamagedError: It cannot be read.
    """
    content = load_blob(repository, tree)
    try:
        return decode_tree(content)
    except DamagedError as error:
        raise DamagedError(f"tree {tree.hex()}: {error}") from error


@dataclass(frozen=True, slots=True)
class PackRange:
    """Neighbouring blobs of a pack that are read in one go."""

    pack: PackID
    offset: int
    length: int
    blobs: tuple[PackedBlob, ...]


def ranges_of(
    pack: PackID, blobs: Iterable[PackedBlob], *, most_bytes: int = _MOST_RANGE_BYTES
) -> list[PackRange]:
    """Plan how to read blobs of a pack: small gaps are read too, since a request costs more.

    No range is longer than `most_bytes`, unless it holds only one blob.
    """
    ranges: list[PackRange] = []
    group: list[PackedBlob] = []
    for blob in sorted(blobs, key=lambda b: b.offset):
        if group and not _joins(group, blob, most_bytes):
            ranges.append(_range(pack, group))
            group = []
        group.append(blob)
    if group:
        ranges.append(_range(pack, group))
    return ranges


def _joins(group: Sequence[PackedBlob], blob: PackedBlob, most_bytes: int) -> bool:
    gap = blob.offset - (group[-1].offset + group[-1].stored_bytes)
    length = blob.offset + blob.stored_bytes - group[0].offset
    return gap <= _MOST_GAP_BYTES and length <= most_bytes


def _range(pack: PackID, group: Sequence[PackedBlob]) -> PackRange:
    start, last = group[0].offset, group[-1]
    return PackRange(pack, start, last.offset + last.stored_bytes - start, tuple(group))


def read_range(repository: Repository, wanted: PackRange) -> memoryview:
    """Return the bytes of a range as they are stored; none if they cannot be had, which only retrying may change."""
    try:
        return memoryview(
            repository.storage.load_range(
                FileKind.PACK, wanted.pack.hex(), offset=wanted.offset, length=wanted.length
            )
        )
    except StorageError as error:
        if error.retryable:
            raise
        return memoryview(b"")


def view_in_range(
    repository: Repository, wanted: PackRange, stored: memoryview, packed: PackedBlob
) -> bytes | memoryview:
    """Return the content of one blob of a range, verified; a damaged one is sought in other packs.

    It is good until this thread opens the next blob.

    Raises:
        DamagedError: No copy of it is whole.
        StorageError: It cannot be read.
    """
    at = packed.offset - wanted.offset
    try:
        return view_blob(repository, packed, stored[at : at + packed.stored_bytes])
    except DamagedError:
        return load_blob(repository, packed.id)


def load_range(repository: Repository, wanted: PackRange) -> Iterator[tuple[PackedBlob, bytes]]:
    """Yield the blobs of a range with their content, verified; a damaged one is sought in other packs."""
    stored = read_range(repository, wanted)
    for packed in wanted.blobs:
        yield packed, bytes(view_in_range(repository, wanted, stored, packed))
