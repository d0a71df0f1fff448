"""Writes blobs again into new packs: as they lie, or compressed. Each is verified on the way."""

from collections.abc import Iterator, Sequence

from becalm_engine.commands.progress import Progress
from becalm_engine.errors import DamagedError
from becalm_engine.format.compression import Compression
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.ids import Buffer, PackID
from becalm_engine.repository.reader import PackRange, load_blob, open_blob, ranges_of, read_range
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer


def compresses(repository: Repository, kind: BlobKind, *, data: bool) -> bool:
    """Say whether uncompressed blobs of a kind are to be compressed: directories wherever the format can."""
    return (kind is BlobKind.TREE or data) and repository.compression is not Compression.OFF


def copy_blobs(
    repository: Repository,
    writer: Writer,
    pack: PackID,
    blobs: Sequence[PackedBlob],
    *,
    compress_data: bool,
    progress: Progress,
) -> None:
    """Copy some blobs of a pack. One that is damaged there is sought in other packs.

    Raises:
        DamagedError: No copy of it is whole.
    """
    for part in ranges_of(pack, blobs):
        progress.check()
        for packed, sealed, content in _opened(repository, part):
            compress = not packed.plain_bytes and compresses(repository, packed.kind, data=compress_data)
            if sealed is None or compress:
                writer.put(packed.id, packed.kind, content)
            else:
                writer.put_sealed(packed, sealed)
        progress.bytes_done += part.length


def _opened(repository: Repository, part: PackRange) -> Iterator[tuple[PackedBlob, Buffer | None, bytes]]:
    """Yield blobs of a range, sealed and opened; what comes from another pack has no sealed form."""
    stored = read_range(repository, part)
    for packed in part.blobs:
        at = packed.offset - part.offset
        sealed = stored[at : at + packed.stored_bytes]
        try:
            yield packed, sealed, open_blob(repository, packed, sealed)
        except DamagedError:
            yield packed, None, load_blob(repository, packed.id)
