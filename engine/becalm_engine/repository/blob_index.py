"""Which pack holds which blob: 48 bytes a blob, whatever the repository holds.

Records lie unsorted in buckets that the first two bytes of the id choose; a bucket is searched by its bytes.
So nothing is sorted when an index is loaded, and a new blob costs an append.

    record = id (32) | pack number (4) | offset (4) | kind bit and stored length (4) | plain length (4)
"""

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.ids import BlobID, PackID

_RECORD = struct.Struct("<32sIIII")
_RECORD_BYTES = _RECORD.size
_TREE_BIT = 1 << 31
_KIND_BYTE, _KIND_MASK = 43, 0x80
"""Where the kind's bit lies in a record."""


class Location(NamedTuple):
    """Where one blob lies."""

    pack: PackID
    blob: PackedBlob


class BlobIndex:
    """Looks blobs up. Adding from several threads needs the caller's lock; looking up does not."""

    def __init__(self) -> None:
        self._buckets: dict[bytes, bytearray] = {}
        self._packs: list[PackID] = []
        self._ends: list[int] = []
        self._pack_numbers: dict[PackID, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, blob: BlobID) -> bool:
        return self._find(blob) is not None

    def add(self, pack: PackID, blobs: Iterable[PackedBlob]) -> None:
        """Add a whole pack. A pack that is known already is not added again."""
        if pack in self._pack_numbers:
            return
        number = self._pack_numbers[pack] = len(self._packs)
        self._packs.append(pack)
        end = 0
        for blob in blobs:
            end = max(end, blob.offset + blob.stored_bytes)
            length = blob.stored_bytes | (_TREE_BIT if blob.kind is BlobKind.TREE else 0)
            record = _RECORD.pack(blob.id, number, blob.offset, length, blob.plain_bytes)
            bucket = self._buckets.get(record[:2])
            if bucket is None:
                self._buckets[record[:2]] = bytearray(record)
            else:
                bucket += record
            self._count += 1
        self._ends.append(end)

    def end_of(self, pack: PackID) -> int:
        """Return where the last blob of a pack ends."""
        return self._ends[self._pack_numbers[pack]]

    def find(self, blob: BlobID) -> Location | None:
        """Return where a blob lies, or None."""
        found = self._find(blob)
        return None if found is None else self._location(*found)

    def holds(self, kind: BlobKind, blob: BlobID) -> bool:
        """Say whether a blob is there as what it is needed for: a file may be the text of a directory."""
        found = self._find(blob)
        if found is None:
            return False
        bucket, at = found
        if bool(bucket[at + _KIND_BYTE] & _KIND_MASK) is (kind is BlobKind.TREE):
            return True
        return any(place.blob.kind is kind for place in self.find_all(blob))

    def find_all(self, blob: BlobID) -> list[Location]:
        """Return every place where a blob lies: an interrupted run may have stored it twice."""
        bucket = self._buckets.get(blob[:2], b"")
        return [self._location(bucket, at) for at in _matches(bucket, blob)]

    def packs(self) -> list[PackID]:
        """Return all packs, in the order they were added."""
        return list(self._packs)

    def by_pack(self) -> "ByPack":
        """Return a view of the blobs of every pack, by offset. What is added later is not in it."""
        return ByPack(self)

    def numbered(self) -> Iterator[tuple[int, int]]:
        """Yield the pack number of every record, and where the record lies."""
        for key, bucket in self._buckets.items():
            above = int.from_bytes(key) << 32
            for at, record in enumerate(_RECORD.iter_unpack(bucket)):
                yield record[1], above | at * _RECORD_BYTES

    def number_of(self, pack: PackID) -> int:
        """Return the number of a pack.

        Raises:
            KeyError: It is not in the index.
        """
        return self._pack_numbers[pack]

    def at(self, place: int) -> PackedBlob:
        """Return the blob of a record that `numbered` has named."""
        bucket = self._buckets[(place >> 32).to_bytes(2)]
        return self._location(bucket, place & 0xFFFFFFFF).blob

    def __iter__(self) -> Iterator[Location]:
        for bucket in self._buckets.values():
            for at in range(0, len(bucket), _RECORD_BYTES):
                yield self._location(bucket, at)

    def _find(self, blob: BlobID) -> tuple[bytearray, int] | None:
        bucket = self._buckets.get(blob[:2])
        if bucket is None:
            return None
        at = bucket.find(blob)
        if at >= 0 and at % _RECORD_BYTES == 0:
            return bucket, at
        return next(((bucket, match) for match in _matches(bucket, blob)), None)

    def _location(self, bucket: bytes | bytearray, at: int) -> Location:
        raw, number, offset, length, plain = _RECORD.unpack_from(bucket, at)
        kind = BlobKind.TREE if length & _TREE_BIT else BlobKind.DATA
        blob = PackedBlob(BlobID(raw), kind, offset, length & ~_TREE_BIT, plain)
        return Location(self._packs[number], blob)


def _matches(bucket: bytes | bytearray, blob: BlobID) -> Iterator[int]:
    """Yield where records of a blob begin; the same bytes across two records are no match."""
    at = bucket.find(blob)
    while at >= 0:
        if at % _RECORD_BYTES == 0:
            yield at
        at = bucket.find(blob, at + 1)


class ByPack(Mapping[PackID, list[PackedBlob]]):
    """The blobs of every pack, by offset: 8 bytes a blob beside the index, and objects only for one pack at a time."""

    def __init__(self, index: BlobIndex) -> None:
        self._index = index
        self._packs = index.packs()
        ends = array("Q", bytes(8 * (len(self._packs) + 1)))
        for number, _ in index.numbered():
            ends[number + 1] += 1
        for number in range(len(self._packs)):
            ends[number + 1] += ends[number]
        self._starts = array("Q", ends)
        self._places = array("Q", bytes(8 * len(index)))
        for number, place in index.numbered():
            self._places[ends[number]] = place
            ends[number] += 1

    def __getitem__(self, pack: PackID) -> list[PackedBlob]:
        number = self._index.number_of(pack)
        places = self._places[self._starts[number] : self._starts[number + 1]]
        return sorted(map(self._index.at, places), key=lambda blob: blob.offset)

    def __iter__(self) -> Iterator[PackID]:
        return iter(self._packs)

    def __len__(self) -> int:
        return len(self._packs)
