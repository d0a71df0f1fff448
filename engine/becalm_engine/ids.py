"""Names of things in a repository: SHA-256 values, raw inside the engine, hex at its edges."""

import hashlib
from typing import NewType

from becalm_engine.errors import DamagedError

BlobID = NewType("BlobID", bytes)
PackID = NewType("PackID", bytes)
FileID = NewType("FileID", bytes)
"""Id of an index, snapshot, lock or key file: the SHA-256 of its stored bytes."""

ID_BYTES = 32
HEX_CHARS = 64

Buffer = bytes | bytearray | memoryview
"""Bytes wherever they lie."""


def blob_id(plaintext: Buffer) -> BlobID:
    """Return the id of a blob: the SHA-256 of its plaintext."""
    return BlobID(hashlib.sha256(plaintext).digest())


def stored_id(stored: Buffer) -> bytes:
    """Return the name of a stored file: the SHA-256 of its stored bytes."""
    return hashlib.sha256(stored).digest()


def digest(content: Buffer) -> bytes:
    """Return 16 bytes that tell contents apart in memory, where they need not be a blob's name."""
    return hashlib.blake2b(content, digest_size=16).digest()


def is_name(text: str) -> bool:
    """Say whether `text` can be the name of a stored file: 64 lower-case hex digits."""
    return len(text) == HEX_CHARS and all(c in "0123456789abcdef" for c in text)


def parse_id(text: object) -> bytes:
    """Return the 32 bytes of an id written in hex.

    Raises:
        DamagedError: It is not one.
    """
    if isinstance(text, str) and len(text) == HEX_CHARS:
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raw = b""
        if len(raw) == ID_BYTES:  # blanks between digits are skipped, and make it shorter
            return raw
    raise DamagedError(f"{text!r:.80} is not an id of 64 hex digits")
