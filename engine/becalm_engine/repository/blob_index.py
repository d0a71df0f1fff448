"""Which pack holds which blob: 48 bytes a blob, whatever the repository holds.

Records lie unsorted in buckets that the first two bytes of the id choose; a bucket is searched by its bytes.
So nothing is sorted when an index is loaded, and a new blob costs an append.

    record = id (32) | pack number (4) | offset (4) | kind bit and stored length (4) | plain length (4)
"""

import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, compress, repeat
from operator import add
from typing import NamedTuple

from becalm_engine.format.crypto import OVERHEAD_BYTES
from becalm_engine.format.pack import BlobKind, PackedBlob, PackListing
from becalm_engine.ids import BlobID, PackID

_RECORD = struct.Struct("<32sIIII")
_RECORD_BYTES = _RECORD.size
_TREE_BIT = 1 << 31
_KIND_BYTE, _KIND_MASK = 43, 0x80
"""Where the kind's bit lies in a record."""
_LENGTHS, _LENGTHS_AT = struct.Struct("<II"), 40
_SPOT, _SPOT_AT = struct.Struct("<IIII"), 32
_DATA, _TREE = (
    BlobKind.DATA,
    BlobKind.TREE,
)  # asked for by the million; to look them up in the enum takes longer


Spot = tuple[int, int, int, int]
"""Number of a pack, offset in it, stored length, and plain length or 0: all in bytes, and below 2**32."""


class Location(NamedTuple):
    """Where one blob lies."""

    pack: PackID
    blob: PackedBlob


class PackFacts(NamedTuple):
    """What is asked of a whole pack: where its last blob ends, how many there are, and how long the file must be.

    `content_bytes` is the sum of what its blobs take.
    """

    end: int
    blob_count: int
    content_bytes: int
    size_bytes: int
    is_contiguous: bool
    has_trees: bool


class BlobIndex:
    """Looks blobs up. Adding from several threads needs the caller's lock; looking up does not."""

    def __init__(self) -> None:
        self.differing: set[PackID] = set()
        """Packs of which two listings did not say the same."""
        self._buckets: dict[bytes, bytearray] = {}
        self._packs: list[PackID] = []
        self._facts: list[PackFacts] = []
        self._pack_numbers: dict[PackID, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, blob: BlobID) -> bool:
        return self._find(blob) is not None

    def add(self, pack: PackID, blobs: Sequence[PackedBlob]) -> None:
        """Add what one place lists of a pack: all of it, or a part, as restic before 0.10 wrote it into index files.

        Nothing is added twice.
        """
        self.add_listing(pack, PackListing.of(blobs))

    def add_listing(self, pack: PackID, listing: PackListing) -> None:
        """Add what one place lists of a pack; see `add`."""
        number = self._pack_numbers.get(pack)
        if number is not None:
            self._complete(pack, number, listing)
            return
        number = self._pack_numbers[pack] = len(self._packs)
        self._packs.append(pack)
        self._facts.append(_facts_of(listing))
        self._append(number, listing)

    def _complete(self, pack: PackID, number: int, listing: PackListing) -> None:
        """Add what was not listed yet of a pack that is known: as a rule nothing."""
        lacking = [not self._has(record) for record in _records(number, listing)]
        if any(lacking) or len(lacking) != self._facts[number].blob_count:
            self.differing.add(pack)
        if any(lacking):
            missing = PackListing.of(list(dict.fromkeys(compress(listing.blobs, lacking))))
            self._facts[number] = _joined(self._facts[number], _facts_of(missing))
            self._append(number, missing)

    def _append(self, number: int, listing: PackListing) -> None:
        buckets = self._buckets
        for record in _records(number, listing):
            bucket = buckets.get(record[:2])
            if bucket is None:
                buckets[record[:2]] = bytearray(record)
            else:
                bucket += record
        self._count += len(listing.ids)

    def facts_of(self, pack: PackID) -> PackFacts:
        """Return what is known of a whole pack.

        Raises:
            KeyError: It is not in the index.
        """
        return self._facts[self._pack_numbers[pack]]

    def lists(self, pack: PackID, blobs: Sequence[PackedBlob]) -> bool:
        """Say whether these are the blobs of a pack. No two of them may begin at one place."""
        number = self._pack_numbers.get(pack)
        if number is None or self._facts[number].blob_count != len(blobs):
            return False
        return all(map(self._has, _records(number, PackListing.of(blobs))))

    def _has(self, record: bytes) -> bool:
        bucket = self._buckets.get(record[:2], b"")
        at = bucket.find(record)
        return at >= 0 and (at % _RECORD_BYTES == 0 or next(_matches(bucket, record), None) is not None)

    def find(self, blob: BlobID) -> Location | None:
        """Return where a blob lies, or None."""
        found = self._find(blob)
        return None if found is None else self._location(*found)

    def spot_of(self, blob: BlobID) -> Spot | None:
        """Return where `find` finds a blob, in numbers only: for those that ask for millions."""
        found = self._find(blob)
        if found is None:
            return None
        number, offset, length, plain = _SPOT.unpack_from(found[0], found[1] + _SPOT_AT)
        return number, offset, length & ~_TREE_BIT, plain

    def pack_at(self, number: int) -> PackID:
        """Return the pack that has a number."""
        return self._packs[number]

    def content_bytes(self, kind: BlobKind, blob: BlobID) -> int | None:
        """Return how long a blob of a kind is once opened, or None if it is not there as that."""
        found = self._find(blob)
        if found is None:
            return None
        length, plain = _LENGTHS.unpack_from(found[0], found[1] + _LENGTHS_AT)
        if bool(length & _TREE_BIT) is (kind is _TREE):
            return int(plain or (length & ~_TREE_BIT) - OVERHEAD_BYTES)
        return next(
            (place.blob.content_bytes for place in self.find_all(blob) if place.blob.kind is kind), None
        )

    def holds(self, kind: BlobKind, blob: BlobID) -> bool:
        """Say whether a blob is there as what it is needed for: a file may be the text of a directory."""
        found = self._find(blob)
        if found is None:
            return False
        bucket, at = found
        if bool(bucket[at + _KIND_BYTE] & _KIND_MASK) is (kind is _TREE):
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
        kind = _TREE if length & _TREE_BIT else _DATA
        blob = PackedBlob(raw, kind, offset, length & ~_TREE_BIT, plain)
        return Location(self._packs[number], blob)


def _records(number: int, listing: PackListing) -> Iterator[bytes]:
    ids, kinds, offsets, lengths, plain = listing
    if _TREE in kinds:
        lengths = [
            length | _TREE_BIT if kind else length for kind, length in zip(kinds, lengths, strict=True)
        ]
    return map(_RECORD.pack, ids, repeat(number), offsets, lengths, plain)


def _facts_of(listing: PackListing) -> PackFacts:
    end = max(map(add, listing.offsets, listing.stored_bytes), default=0)
    return PackFacts(
        end,
        len(listing.ids),
        sum(listing.stored_bytes),
        listing.pack_bytes,
        listing.is_contiguous,
        _TREE in listing.kinds,
    )


def _joined(one: PackFacts, other: PackFacts) -> PackFacts:
    """Return the facts of a pack of which two parts are known that have no blob in common."""
    end, content = max(one.end, other.end), one.content_bytes + other.content_bytes
    return PackFacts(
        end,
        one.blob_count + other.blob_count,
        content,
        one.size_bytes + other.size_bytes - PackListing.of(()).pack_bytes,
        content == end,
        one.has_trees or other.has_trees,
    )


def _matches(bucket: bytes | bytearray, start: bytes) -> Iterator[int]:
    """Yield where records begin that start so; the same bytes across two records are no match."""
    at = bucket.find(start)
    while at >= 0:
        if at % _RECORD_BYTES == 0:
            yield at
        at = bucket.find(start, at + 1)


class ByPack(Mapping[PackID, list[PackedBlob]]):
    """The blobs of every pack, by offset: 8 bytes a blob beside the index, and objects only for one pack at a time.

    Nothing is arranged before the first pack is asked for.
    """

    def __init__(self, index: BlobIndex) -> None:
        self._index = index
        self._packs = index.packs()
        self._arranged: tuple[array[int], array[int]] | None = None

    def __getitem__(self, pack: PackID) -> list[PackedBlob]:
        number = self._index.number_of(pack)
        if number >= len(self._packs):
            raise KeyError(pack)
        if self._arranged is None:
            self._arranged = self._arrange()
        starts, places = self._arranged
        found = places[starts[number] : starts[number + 1]]
        return sorted(map(self._index.at, found), key=lambda blob: blob.offset)

    def _arrange(self) -> "tuple[array[int], array[int]]":
        """Return where the blobs of each pack begin in a list of places, and that list."""
        starts = array(
            "Q", accumulate((self._index.facts_of(pack).blob_count for pack in self._packs), initial=0)
        )
        places, ends = array("Q", bytes(8 * starts[-1])), array("Q", starts)
        for number, place in self._index.numbered():
            if number < len(self._packs):  # others were added since
                places[ends[number]] = place
                ends[number] += 1
        return starts, places

    def __iter__(self) -> Iterator[PackID]:
        return iter(self._packs)

    def __len__(self) -> int:
        return len(self._packs)
