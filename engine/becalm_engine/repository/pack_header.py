"""Reads what a pack says of itself, for those who cannot ask the index."""

from becalm_engine.errors import DamagedError
from becalm_engine.format.pack import LENGTH_BYTES, PackedBlob, decode_header, expected_size, header_range
from becalm_engine.ids import PackID
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind

_FIRST_READ_BYTES = 64 * 1024


def read_header(repository: Repository, pack: PackID, *, size_bytes: int) -> list[PackedBlob]:
    """Return the blobs of a pack of a known length, from its header.

    Raises:
        DamagedError: The header is broken, or lists something else than the pack can hold.
    """
    if size_bytes <= LENGTH_BYTES:
        raise DamagedError(f"pack {pack.hex()} has only {size_bytes} bytes")
    start = max(0, size_bytes - _FIRST_READ_BYTES)
    end = _load(repository, pack, start, size_bytes)
    span = header_range(pack_bytes=size_bytes, tail=end[-LENGTH_BYTES:])
    if span.start < start:
        sealed = _load(repository, pack, span.start, span.stop)
    else:
        sealed = end[span.start - start : span.stop - start]
    return checked_header(repository, pack, sealed, size_bytes=size_bytes)


def checked_header(
    repository: Repository, pack: PackID, sealed: bytes, *, size_bytes: int
) -> list[PackedBlob]:
    """Return the blobs that a sealed header lists, which must fill a pack of this length."""
    try:
        blobs = decode_header(repository.envelope.unseal(sealed))
    except DamagedError as error:
        raise DamagedError(f"pack {pack.hex()}: {error}") from error
    if expected_size(blobs) != size_bytes:
        raise DamagedError(
            f"pack {pack.hex()} has {size_bytes} bytes, but its header says {expected_size(blobs)}"
        )
    return blobs


def _load(repository: Repository, pack: PackID, start: int, stop: int) -> bytes:
    return repository.storage.load_range(FileKind.PACK, pack.hex(), offset=start, length=stop - start)
