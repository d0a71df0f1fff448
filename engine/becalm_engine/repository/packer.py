"""Collects sealed blobs into packs. Holds no thread and does no I/O.

Blobs go at random to one of two open packs: an observer of the store then sees sums of blob sizes, never the
sequence that would fingerprint a known file (eprint 2025/532, 2025/558).
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from becalm_engine.format.crypto import IV_BYTES, Key, seal
from becalm_engine.format.pack import BlobKind, PackedBlob, encode_header, encode_length
from becalm_engine.ids import BlobID

_OPEN_PACKS = 2
_MOST_BLOBS = 20_000


@dataclass(slots=True)
class OpenPack:
    """A pack that still takes blobs: sealed parts and what the header will say of them."""

    parts: list[bytes] = field(default_factory=list)
    blobs: list[PackedBlob] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, blob: BlobID, kind: BlobKind, sealed: bytes, plain_bytes: int) -> None:
        """Append a sealed blob. `plain_bytes` is 0 for one that is not compressed."""
        self.blobs.append(PackedBlob(blob, kind, self.size_bytes, len(sealed), plain_bytes))
        self.parts.append(sealed)
        self.size_bytes += len(sealed)

    def merge(self, other: "OpenPack") -> None:
        """Append all blobs of another pack."""
        for blob, part in zip(other.blobs, other.parts, strict=True):
            self.add(blob.id, blob.kind, part, blob.plain_bytes)

    def finish(self, key: Key) -> bytes:
        """Return the bytes of the pack."""
        header = seal(key, encode_header(self.blobs), iv=secrets.token_bytes(IV_BYTES))
        return b"".join((*self.parts, header, encode_length(len(header))))


class Packer:
    """Spreads the blobs of one kind over open packs, and gives those that are full to `full`."""

    def __init__(
        self,
        kind: BlobKind,
        pack_bytes: int,
        full: Callable[[OpenPack], None],
        choose: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self._kind = kind
        self._pack_bytes = pack_bytes
        self._full = full
        self._choose = choose
        self._open = [OpenPack() for _ in range(_OPEN_PACKS)]

    def add(self, blob: BlobID, sealed: bytes, plain_bytes: int) -> None:
        """Take a sealed blob; calls `full` when that completes a pack."""
        at = self._choose(_OPEN_PACKS)
        pack = self._open[at]
        pack.add(blob, self._kind, sealed, plain_bytes)
        if pack.size_bytes >= self._pack_bytes or len(pack.blobs) >= _MOST_BLOBS:
            self._open[at] = OpenPack()
            self._full(pack)

    def flush(self) -> None:
        """Give away what is open; leftovers that fit together become one pack."""
        packs = sorted((pack for pack in self._open if pack.blobs), key=lambda pack: pack.size_bytes)
        self._open = [OpenPack() for _ in range(_OPEN_PACKS)]
        if len(packs) == _OPEN_PACKS and sum(pack.size_bytes for pack in packs) <= 1.5 * self._pack_bytes:
            packs[1].merge(packs[0])
            packs = packs[1:]
        for pack in packs:
            self._full(pack)
