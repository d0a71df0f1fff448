"""zstd in a version 2 repository: blobs, and the marker in front of documents.

A blob's plain length stands in the pack header and the index. A document (index, snapshot, lock) is
`0x02 | zstd(JSON)`, or the JSON itself.
"""

import enum
import threading

import zstandard

from becalm_engine.errors import DamagedError, UsageError

_DOCUMENT_MARKER = b"\x02"
_JSON_STARTS = (b"{", b"[")
_SAMPLED_BYTES = 256 * 1024
_SAMPLES, _SAMPLE_BYTES = 16, 1024
_STEP_BYTES = 16 * 1024 * 1024
MAX_DOCUMENT_BYTES = 1 << 27
"""Index files are full at some 10 MiB; beyond this is an attack. What is read of it may take 20 times as much."""


class Compression(enum.Enum):
    """How hard to compress: the names restic uses, and zstd's level for each."""

    OFF = "off"
    FASTEST = "fastest"
    AUTO = "auto"
    BETTER = "better"
    MAX = "max"

    @classmethod
    def parse(cls, text: str) -> "Compression":
        """Read the value of `--compression`.

        Raises:
            UsageError: It is none of the names.
        """
        try:
            return cls(text)
        except ValueError:
            names = ", ".join(mode.value for mode in cls)
            raise UsageError(f"compression {text!r} is none of {names}") from None

    @property
    def samples(self) -> bool:
        """Whether what does not seem to gain by it is left uncompressed: those who ask for more want all there is."""
        return self in (Compression.AUTO, Compression.FASTEST)

    @property
    def level(self) -> int:
        """The zstd level; meaningless for OFF."""
        return {"off": 0, "fastest": 1, "auto": 3, "better": 7, "max": 15}[self.value]


class Codec(threading.local):
    """zstd contexts of one thread; making one costs more than compressing a small blob."""

    def __init__(self, level: int = 3) -> None:
        self.compressor = zstandard.ZstdCompressor(level=level, write_checksum=False)
        self.decompressor = zstandard.ZstdDecompressor()

    def compress(self, plaintext: bytes | bytearray | memoryview) -> bytes:
        """Return one zstd frame."""
        return self.compressor.compress(plaintext)

    def seems_to_gain(self, plaintext: bytes | bytearray | memoryview) -> bool:
        """Say whether compressing is worth its while, by samples from all over a long content.

        They cost a tenth of compressing it, and encrypted, compressed or random content gains nothing.
        """
        last = len(plaintext) - _SAMPLE_BYTES
        if last < _SAMPLED_BYTES:
            return True
        view = memoryview(plaintext)
        starts = range(0, last + 1, last // (_SAMPLES - 1))
        sample = b"".join([view[at : at + _SAMPLE_BYTES] for at in starts])
        return len(self.compressor.compress(sample)) < len(sample)

    def decompress(self, packed: bytes | memoryview, *, plain_bytes: int) -> bytes:
        """Return the plaintext, which must have exactly `plain_bytes` bytes.

        Raises:
            DamagedError: It is no zstd data, or of another length.
        """
        try:
            # as all of ours: one frame that states its length, so no more than that can come out
            if zstandard.frame_content_size(packed) == plain_bytes:
                return self.decompressor.decompress(packed)
        except zstandard.ZstdError as error:
            raise DamagedError(f"not valid zstd data: {error}") from error
        plaintext = self.decompress_at_most(packed, max_bytes=plain_bytes)
        if len(plaintext) != plain_bytes:
            raise DamagedError(f"{len(plaintext)} bytes came out where {plain_bytes} were stated")
        return plaintext

    def decompress_at_most(self, packed: bytes | memoryview, *, max_bytes: int) -> bytes:
        """Return the plaintext of all frames, refusing to make more than `max_bytes`.

        Raises:
            DamagedError: It is no zstd data, or longer.
        """
        reader = self.decompressor.stream_reader(packed, read_across_frames=True)
        parts: list[bytes] = []
        left = max_bytes + 1
        while left:
            # a buffer is made as long as what is asked for, whatever is there
            asked = min(left, _STEP_BYTES)
            try:
                part = reader.read(asked)
            except zstandard.ZstdError as error:
                raise DamagedError(f"not valid zstd data: {error}") from error
            parts.append(part)
            left -= len(part)
            if len(part) < asked:
                return parts[0] if len(parts) == 1 else b"".join(parts)
        raise DamagedError(f"decompresses to more than {max_bytes} bytes")


def wrap_document(json_bytes: bytes, codec: Codec, *, version: int) -> bytes:
    """Return the plaintext of a document file: compressed and marked, or bare in version 1."""
    if version < 2:
        return json_bytes
    return _DOCUMENT_MARKER + codec.compress(json_bytes)


def unwrap_document(plaintext: bytes, codec: Codec) -> bytes:
    """Return the JSON of a document file.

    Raises:
        DamagedError: It is neither marked nor JSON.
    """
    if plaintext[:1] in _JSON_STARTS:
        return plaintext
    if plaintext[:1] == _DOCUMENT_MARKER:
        return codec.decompress_at_most(plaintext[1:], max_bytes=MAX_DOCUMENT_BYTES)
    raise DamagedError(f"unknown document encoding {plaintext[:1]!r}")
