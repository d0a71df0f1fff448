"""What a check found."""

from dataclasses import dataclass, field

from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.ids import BlobID
from becalm_engine.policy.blob_counts import MOST, BlobCounts
from becalm_engine.repository.blob_index import BlobIndex


class BadBlobs:
    """Counts the copies of blobs that are not whole: a blob is lost if none is left. True if there are any."""

    def __init__(self) -> None:
        self._counts = BlobCounts()
        self._are_there = False

    def __bool__(self) -> bool:
        return self._are_there

    def add(self, blob: PackedBlob) -> None:
        """Note one bad copy."""
        self._are_there = True
        self._counts.add(blob.kind, blob.id)
        self._counts.put(blob.kind, blob.id, min(MOST, (self._counts.get(blob.kind, blob.id) or 0) + 1))

    def is_lost(self, index: BlobIndex, kind: BlobKind, blob: BlobID) -> bool:
        """Say whether no whole copy of a blob is known."""
        if not self._are_there:
            return False
        bad = self._counts.get(kind, blob)
        return bool(bad) and bad == min(MOST, sum(place.blob.kind is kind for place in index.find_all(blob)))


@dataclass(slots=True)
class Findings:
    """What a check found. Hints need no action. `lost` knows the blobs that no restore can read."""

    errors: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    broken_packs: list[str] = field(default_factory=list)
    damaged_snapshots: list[str] = field(default_factory=list)
    broken_index: bool = False
    unlisted_packs: int = 0
    lost: BadBlobs = field(default_factory=BadBlobs)
