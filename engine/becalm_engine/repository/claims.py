"""Which blobs one of several processes has begun to store: a hash table in memory that they share.

Nothing guards it. Two processes that claim the same blob at the same moment both store it, which costs room and
does no harm; that one waits for what nobody stores cannot happen, since a claim is a blob's whole id.
"""

import mmap
from collections.abc import Iterable

from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import ID_BYTES, BlobID

_EMPTY = bytes(ID_BYTES)
_MOST_PROBES = 64
_REACH_BYTES = _MOST_PROBES * ID_BYTES


class Claims:
    """The claims of processes that are forked after it was made.

    A full table takes no more, and lets everybody store: what this process could not claim is in `missed`.
    """

    def __init__(self, slots: int) -> None:
        self.missed: set[BlobID] = set()
        self._slots = slots
        self._memory = mmap.mmap(-1, slots * ID_BYTES + _REACH_BYTES)

    def claim(self, kind: BlobKind, blob: BlobID) -> bool:
        """Say whether the caller is to store a blob: true for the first one that asks."""
        # a file may have the content, and so the id, of a tree
        mark = blob[::-1] if kind is BlobKind.TREE else blob
        at = int.from_bytes(mark[:8], "little") % self._slots * ID_BYTES
        found = self._memory[at : at + ID_BYTES]
        if found == _EMPTY:
            self._memory[at : at + ID_BYTES] = mark
            return True
        return found != mark and self._claim_beyond(at + ID_BYTES, mark, blob)

    def _claim_beyond(self, start: int, mark: bytes, blob: BlobID) -> bool:
        """Claim a blob in one of the slots that follow its own, which is taken."""
        beyond = self._memory[start : start + _REACH_BYTES - ID_BYTES]
        if mark in beyond:
            return False
        empty = beyond.find(_EMPTY)
        if empty < 0:
            self.missed.add(blob)
            return True
        at = start + -(-empty // ID_BYTES) * ID_BYTES  # the id before an empty slot may end with zeros
        self._memory[at : at + ID_BYTES] = mark
        return True

    def take_missed(self, blobs: Iterable[BlobID]) -> set[BlobID]:
        """Take away and return those of these blobs that this process could not claim: they are stored now."""
        missed = self.missed.intersection(blobs) if self.missed else set[BlobID]()
        self.missed.difference_update(missed)
        return missed
