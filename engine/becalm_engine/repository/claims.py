"""Which blobs one of several processes has begun to store: a hash table in memory that they share.

Nothing guards it. Two processes that claim the same blob at the same moment both store it, which costs room and
does no harm; that one waits for what nobody stores cannot happen, since a claim is a blob's whole id.
"""

import mmap

from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import ID_BYTES, BlobID

_EMPTY = bytes(ID_BYTES)
_MOST_PROBES = 16


class Claims:
    """The claims of processes that are forked after it was made. A full table takes no more, and claims all."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._memory = mmap.mmap(-1, slots * ID_BYTES)

    def claim(self, kind: BlobKind, blob: BlobID) -> bool:
        """Say whether the caller is to store a blob: true for the first one that asks."""
        if kind is BlobKind.TREE:  # a file may have the content, and so the id, of a tree
            blob = BlobID(blob[::-1])
        slot = int.from_bytes(blob[:8], "little")
        for probe in range(_MOST_PROBES):
            at = (slot + probe) % self._slots * ID_BYTES
            found = self._memory[at : at + ID_BYTES]
            if found == blob:
                return False
            if found == _EMPTY:
                self._memory[at : at + ID_BYTES] = blob
                return True
        return True
