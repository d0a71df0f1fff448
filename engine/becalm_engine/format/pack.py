"""Pack files: sealed blobs end to end, a sealed header, its length in four bytes.

    header plaintext, per blob:  type (1) | stored length (4) | [plain length (4)] | id (32)
    types: 0 data, 1 tree, 2 data compressed, 3 tree compressed; numbers little-endian

A stored length includes the envelope. Offsets follow from the order; there are no gaps.
"""

import enum
import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple, Self

from becalm_engine.errors import DamagedError
from becalm_engine.format.crypto import OVERHEAD_BYTES
from becalm_engine.ids import BlobID

_PLAIN_ENTRY = struct.Struct("<BI32s")
_COMPRESSED_ENTRY = struct.Struct("<BII32s")
_LENGTH = struct.Struct("<I")
_COMPRESSED = 2
_COMPRESSED_TYPES = bytes((_COMPRESSED, _COMPRESSED + 1))
LENGTH_BYTES = _LENGTH.size
MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_PACK_BYTES = 2**32 - 1
MAX_STORED_BYTES = 2**31 - 1
"""No blob is longer; the top bit of its length is free for other use."""


class BlobKind(enum.IntEnum):
    """What a blob is: file content, or the JSON of a directory."""

    DATA = 0
    TREE = 1


_KIND_OF_TYPE = (BlobKind.DATA, BlobKind.TREE) * 2


class PackedBlob(NamedTuple):
    """Where a blob lies in its pack. `plain_bytes` is 0 for one that is stored uncompressed."""

    id: BlobID
    kind: BlobKind
    offset: int
    stored_bytes: int
    plain_bytes: int = 0

    @property
    def content_bytes(self) -> int:
        """How long the blob is once opened."""
        return self.plain_bytes or self.stored_bytes - OVERHEAD_BYTES


class PackListing(NamedTuple):
    """The blobs of a pack, a column for each of what is known of them: for those who take in millions of blobs."""

    ids: Sequence[BlobID]
    kinds: Sequence[BlobKind]
    offsets: Sequence[int]
    stored_bytes: Sequence[int]
    plain_bytes: Sequence[int]

    @classmethod
    def of(cls, blobs: Sequence[PackedBlob]) -> Self:
        """Return blobs as columns."""
        return cls(*zip(*blobs, strict=True)) if blobs else cls((), (), (), (), ())

    @property
    def blobs(self) -> list[PackedBlob]:
        """The blobs themselves."""
        return list(map(PackedBlob, *self))

    @property
    def pack_bytes(self) -> int:
        """How long a pack of these blobs must be."""
        uncompressed = self.plain_bytes.count(0)
        compressed = len(self.plain_bytes) - uncompressed
        header = compressed * _COMPRESSED_ENTRY.size + uncompressed * _PLAIN_ENTRY.size
        return sum(self.stored_bytes) + header + OVERHEAD_BYTES + LENGTH_BYTES

    @property
    def is_contiguous(self) -> bool:
        """Whether the blobs lie end to end, from the start of their pack."""
        offsets, lengths = self.offsets, self.stored_bytes
        if list(offsets) != sorted(offsets):
            offsets, lengths = zip(*sorted(zip(offsets, lengths, strict=True)), strict=True)
        return list(accumulate(lengths, initial=0))[:-1] == list(offsets)


def encode_header(blobs: Iterable[PackedBlob]) -> bytes:
    """Return the header's plaintext for blobs in the order they lie in the pack."""
    parts = []
    for blob in blobs:
        if blob.plain_bytes:
            kind = blob.kind + _COMPRESSED
            parts.append(_COMPRESSED_ENTRY.pack(kind, blob.stored_bytes, blob.plain_bytes, blob.id))
        else:
            parts.append(_PLAIN_ENTRY.pack(blob.kind, blob.stored_bytes, blob.id))
    return b"".join(parts)


def encode_length(sealed_header_bytes: int) -> bytes:
    """Return the last four bytes of a pack."""
    return _LENGTH.pack(sealed_header_bytes)


def header_range(*, pack_bytes: int, tail: bytes) -> range:
    """Return the positions of the sealed header, given a pack's size and its last four bytes.

    Raises:
        DamagedError: The stated header cannot fit into the pack.
    """
    if len(tail) != _LENGTH.size:
        raise DamagedError(f"a pack of {pack_bytes} bytes is too short for a header")
    (sealed_bytes,) = _LENGTH.unpack(tail)
    end = pack_bytes - _LENGTH.size
    if not OVERHEAD_BYTES < sealed_bytes <= min(end, MAX_HEADER_BYTES + OVERHEAD_BYTES):
        raise DamagedError(f"a pack of {pack_bytes} bytes states {sealed_bytes} bytes of header")
    return range(end - sealed_bytes, end)


def decode_header(plaintext: bytes) -> list[PackedBlob]:
    """Return the blobs that a header lists.

    Raises:
        DamagedError: It is cut short or names an unknown type.
    """
    size = _COMPRESSED_ENTRY.size
    # the first entry says where the next one begins: if all of them are of one length, so it stands here
    if plaintext and len(plaintext) % size == 0 and not plaintext[::size].strip(_COMPRESSED_TYPES):
        return _compressed_entries(plaintext)
    blobs: list[PackedBlob] = []
    at = offset = 0
    while at < len(plaintext):
        blob, size = _entry(plaintext, at, offset)
        blobs.append(blob)
        at += size
        offset += blob.stored_bytes
    return blobs


def _compressed_entries(plaintext: bytes) -> list[PackedBlob]:
    """Return the blobs of a header in which all are compressed, as they mostly are."""
    kinds, lengths, plain, ids = zip(*_COMPRESSED_ENTRY.iter_unpack(plaintext), strict=True)
    if min(lengths) < OVERHEAD_BYTES:
        raise DamagedError(f"a pack header states a blob of {min(lengths)} bytes")
    offsets = accumulate(lengths, initial=0)
    named = map(_KIND_OF_TYPE.__getitem__, kinds)
    return list(map(PackedBlob, map(BlobID, ids), named, offsets, lengths, plain))


def _entry(plaintext: bytes, at: int, offset: int) -> tuple[PackedBlob, int]:
    kind = plaintext[at]
    layout = _COMPRESSED_ENTRY if kind & _COMPRESSED else _PLAIN_ENTRY
    if kind > BlobKind.TREE + _COMPRESSED or at + layout.size > len(plaintext):
        raise DamagedError(f"a pack header has a broken entry of type {kind} at {at}")
    if kind & _COMPRESSED:
        _, stored, plain, raw = _COMPRESSED_ENTRY.unpack_from(plaintext, at)
    else:
        (_, stored, raw), plain = _PLAIN_ENTRY.unpack_from(plaintext, at), 0
    if stored < OVERHEAD_BYTES:
        raise DamagedError(f"a pack header states a blob of {stored} bytes")
    return PackedBlob(BlobID(raw), _KIND_OF_TYPE[kind], offset, stored, plain), layout.size


def header_entry_bytes(*, compressed: bool) -> int:
    """Return how long one entry is."""
    return _COMPRESSED_ENTRY.size if compressed else _PLAIN_ENTRY.size


def header_bytes(count: int) -> int:
    """Return how long the end of a pack of so many blobs is at most: its sealed header and the length of that."""
    return count * _COMPRESSED_ENTRY.size + OVERHEAD_BYTES + LENGTH_BYTES


def expected_size(blobs: Sequence[PackedBlob]) -> int:
    """Return how long a pack of these blobs must be."""
    return PackListing.of(blobs).pack_bytes
