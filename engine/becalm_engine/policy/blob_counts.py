"""A number for each of many blobs: 34 bytes a blob, where a dictionary would take two hundred.

Records lie unsorted in buckets that the first two bytes of the id choose, as in the blob index.

    record = id (32) | kind (1) | number (1)
"""

from collections.abc import Iterator
from dataclasses import dataclass

from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.ids import ID_BYTES, BlobID, PackID

MOST = 255
_RECORD_BYTES = ID_BYTES + 2
_NUMBER_AT = ID_BYTES + 1


class BlobCounts:
    """Numbers from 0 to 255 by kind and id: one id may name a file's content and a directory at once."""

    def __init__(self) -> None:
        self._buckets: dict[bytes, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, kind: BlobKind, blob: BlobID) -> bool:
        """Take a blob in with the number 0; say whether it is new."""
        bucket = self._buckets.setdefault(blob[:2], bytearray())
        if _position(bucket, kind, blob) is not None:
            return False
        bucket += blob + bytes((kind, 0))
        self._count += 1
        return True

    def get(self, kind: BlobKind, blob: BlobID) -> int | None:
        """Return a blob's number, or None if it was never taken in."""
        bucket = self._buckets.get(blob[:2], bytearray())
        at = _position(bucket, kind, blob)
        return None if at is None else bucket[at + _NUMBER_AT]

    def put(self, kind: BlobKind, blob: BlobID, number: int) -> None:
        """Change the number of a blob that was taken in."""
        bucket = self._buckets[blob[:2]]
        at = _position(bucket, kind, blob)
        assert at is not None
        bucket[at + _NUMBER_AT] = number

    def of_kind(self, kind: BlobKind) -> Iterator[BlobID]:
        """Yield the blobs of a kind; the others take no time."""
        for bucket in self._buckets.values():
            kinds = bucket[ID_BYTES::_RECORD_BYTES]
            at = kinds.find(kind)
            while at >= 0:
                start = at * _RECORD_BYTES
                yield BlobID(bytes(bucket[start : start + ID_BYTES]))
                at = kinds.find(kind, at + 1)

    def __iter__(self) -> Iterator[tuple[BlobKind, BlobID, int]]:
        for bucket in self._buckets.values():
            for at in range(0, len(bucket), _RECORD_BYTES):
                record = bytes(bucket[at : at + _RECORD_BYTES])
                yield BlobKind(record[ID_BYTES]), BlobID(record[:ID_BYTES]), record[_NUMBER_AT]


Copy = tuple[PackID, int]
"""A copy of a blob: the pack that holds it, and where in that it begins."""


@dataclass(frozen=True, slots=True)
class Copies:
    """The numbers of blobs, as they count for each copy: one that is damaged is no copy of any."""

    used: BlobCounts
    damaged: frozenset[Copy]

    def get(self, pack: PackID, blob: PackedBlob) -> int | None:
        """Return the number of the blob of which this is a copy, or None if it is a copy of none that was taken in."""
        if self.damaged and (pack, blob.offset) in self.damaged:
            return None
        return self.used.get(blob.kind, blob.id)

    def put(self, blob: PackedBlob, number: int) -> None:
        """Change the number of a blob that was taken in."""
        self.used.put(blob.kind, blob.id, number)


def _position(bucket: bytearray, kind: BlobKind, blob: BlobID) -> int | None:
    """Return where a blob's record begins; the same bytes across two records are no match."""
    wanted = blob + bytes((kind,))
    at = bucket.find(wanted)
    while at >= 0:
        if at % _RECORD_BYTES == 0:
            return at
        at = bucket.find(wanted, at + 1)
    return None
