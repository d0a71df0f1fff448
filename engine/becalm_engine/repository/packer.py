"""Gives blobs their places in packs. Holds no thread and does no I/O.

Blobs go at random to one of two open packs: an observer of the store then sees sums of blob sizes, never the
sequence that would fingerprint a known file (eprint 2025/532, 2025/558).

A pack is one buffer in which places are reserved in turn and filled at once by several threads. Buffers are used
again and again: fresh memory costs more than what is done with it.
"""

import contextlib
import mmap
import secrets
from collections.abc import Callable, Sequence

from becalm_engine.chunking import MAX_BYTES
from becalm_engine.errors import MachineError
from becalm_engine.format.crypto import IV_BYTES, Envelope
from becalm_engine.format.pack import (
    BlobKind,
    PackedBlob,
    encode_header,
    encode_length,
    header_bytes,
)
from becalm_engine.ids import BlobID

_OPEN_PACKS = 2
_MOST_BLOBS = 20_000
_LARGE_BYTES = MAX_BYTES + 64 * 1024
"""No chunk of a file is longer once it is sealed, however badly it compresses; the tree of a huge directory may be."""
_HEADER_BYTES = header_bytes(_MOST_BLOBS)


class OpenPack:
    """A pack that still takes blobs until it has `enough_bytes`, and what its header will say of them."""

    def __init__(self, buffer: mmap.mmap, enough_bytes: int) -> None:
        self.buffer = buffer
        self._enough_bytes = enough_bytes
        self._view = memoryview(buffer)
        self.blobs: list[PackedBlob] = []
        self.size_bytes = 0
        self.unfilled = 0
        self.is_full = False

    def reserve(self, blob: BlobID, kind: BlobKind, stored_bytes: int, plain_bytes: int) -> memoryview:
        """Return the place of the next blob. `plain_bytes` is 0 for one that is not compressed."""
        self.unfilled += 1  # first of all: an interrupt may come between any two of these
        start = self.size_bytes
        end = self.size_bytes = start + stored_bytes
        self.blobs.append(PackedBlob(blob, kind, start, stored_bytes, plain_bytes))
        self.is_full = end >= self._enough_bytes or len(self.blobs) >= _MOST_BLOBS
        return self._view[start:end]

    def content(self, blob: PackedBlob) -> memoryview:
        """Return the sealed bytes of one of its blobs."""
        return self._view[blob.offset : blob.offset + blob.stored_bytes]

    def takes(self, size_bytes: int, count: int) -> bool:
        """Say whether there is room for so many more bytes and blobs."""
        header = header_bytes(len(self.blobs) + count)
        return self.size_bytes + size_bytes + header <= len(self.buffer)

    def finish(self, envelope: Envelope) -> memoryview:
        """Add the header, and return the bytes of the pack."""
        header = envelope.seal(encode_header(self.blobs), iv=secrets.token_bytes(IV_BYTES))
        end = header + encode_length(len(header))
        whole = self._view[: self.size_bytes + len(end)]
        whole[self.size_bytes :] = end
        return whole


class _Chance:
    """Draws numbers below a power of two, from random bytes that are fetched many at a time."""

    def __init__(self) -> None:
        self._drawn = iter(b"")

    def __call__(self, below: int) -> int:
        for drawn in self._drawn:
            return drawn % below
        self._drawn = iter(secrets.token_bytes(256))
        return self(below)


class Packer:
    """Spreads the blobs of one kind over open packs. Its caller sees to it that calls follow one another."""

    def __init__(self, kind: BlobKind, pack_bytes: int, choose: Callable[[int], int] | None = None) -> None:
        self._kind = kind
        self._pack_bytes = pack_bytes
        self._choose = choose or _Chance()
        self._buffer_bytes = pack_bytes + _LARGE_BYTES + _HEADER_BYTES
        self._buffers: list[mmap.mmap] = []
        self._open: list[OpenPack | None] = [None] * _OPEN_PACKS

    def reserve(self, blob: BlobID, stored_bytes: int, plain_bytes: int) -> tuple[OpenPack, memoryview]:
        """Return a place for a sealed blob, and its pack. Once the place is filled, `filled` wants to know."""
        if stored_bytes > _LARGE_BYTES:
            pack = OpenPack(_new_buffer(stored_bytes + header_bytes(1)), stored_bytes)
            return pack, pack.reserve(blob, self._kind, stored_bytes, plain_bytes)
        at = self._choose(_OPEN_PACKS)
        pack = self._open[at] or self._begun(beside=self._open[1 - at])
        place = pack.reserve(blob, self._kind, stored_bytes, plain_bytes)
        self._open[at] = None if pack.is_full else pack
        return pack, place

    def _begun(self, beside: OpenPack | None) -> OpenPack:
        """Return a new pack. Of two that are begun together one ends half-full, so that they never end together.

        Otherwise a buffer more would be needed: two packs are uploaded while two others fill.
        """
        together = beside is not None and beside.size_bytes < self._pack_bytes // 4
        buffer = self._buffers.pop() if self._buffers else _new_buffer(self._buffer_bytes)
        return OpenPack(buffer, self._pack_bytes // 2 if together else self._pack_bytes)

    def filled(self, pack: OpenPack) -> bool:
        """Note that a place of a pack is filled; say whether the pack is complete now."""
        pack.unfilled -= 1
        return pack.is_full and not pack.unfilled

    def flush(self) -> Sequence[OpenPack]:
        """Give away what is open; leftovers that fit together become one pack.

        A pack in which a place was never filled is left out: whoever was to fill it was interrupted.
        """
        whole = (pack for pack in self._open if pack and not pack.unfilled)
        packs = sorted(whole, key=lambda pack: pack.size_bytes)
        self._open = [None] * _OPEN_PACKS
        if len(packs) == _OPEN_PACKS and self._fit_together(*packs):
            return [_merged(*packs)]
        return packs

    def give_back(self, pack: OpenPack) -> None:
        """Take the buffer of a pack that is stored. May be called by any thread."""
        if len(pack.buffer) == self._buffer_bytes:
            self._buffers.append(pack.buffer)

    def _fit_together(self, smaller: OpenPack, larger: OpenPack) -> bool:
        size = smaller.size_bytes + larger.size_bytes
        return size <= 1.5 * self._pack_bytes and larger.takes(smaller.size_bytes, len(smaller.blobs))


def _new_buffer(size: int) -> mmap.mmap:
    """Return memory that takes room only where it is used: packs end long before the largest blob would.

    It comes in pages of 2 MiB where the kernel has them: 4000 small ones take half as long as to encrypt a pack.

    Raises:
        MachineError: There is none: no fault of the file that is stored just then.
    """
    try:
        buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MachineError(f"no memory for a pack of up to {size >> 20} MiB: {error.strerror}") from error
    with contextlib.suppress(OSError):
        buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


def _merged(smaller: OpenPack, larger: OpenPack) -> OpenPack:
    for blob in smaller.blobs:
        larger.reserve(blob.id, blob.kind, blob.stored_bytes, blob.plain_bytes)[:] = smaller.content(blob)
    return larger
