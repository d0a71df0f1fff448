"""The envelope around everything secret: AES-256-CTR and Poly1305-AES.

    sealed = IV (16) | ciphertext | tag (16)
    tag    = Poly1305(key = r | AES-128_k(IV), message = ciphertext)

`r` is stored unmasked; Poly1305 clamps it itself.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.poly1305 import Poly1305

from becalm_engine.errors import DamagedError
from becalm_engine.ids import Buffer

IV_BYTES = 16
TAG_BYTES = 16
OVERHEAD_BYTES = IV_BYTES + TAG_BYTES
KEY_BYTES = 64
_PLACE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Key:
    """Both halves of a key: 32 bytes to encrypt, twice 16 to authenticate. Never shown."""

    encrypt: bytes = field(repr=False)
    mac_k: bytes = field(repr=False)
    mac_r: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Cut 64 bytes of key material into a key."""
        if len(raw) != KEY_BYTES:
            raise DamagedError(f"a key has {KEY_BYTES} bytes, not {len(raw)}")
        return cls(raw[:32], raw[32:48], raw[48:])

    def to_bytes(self) -> bytes:
        """Return the 64 bytes of key material."""
        return self.encrypt + self.mac_k + self.mac_r


class Envelope(threading.local):
    """Seals and opens with one key.

    Each thread has cipher objects of its own, for good: making one costs more than to seal a small blob.
    """

    def __init__(self, key: Key) -> None:
        self._mac_r = key.mac_r
        # counter mode is its own inverse
        self._stream = Cipher(AES(key.encrypt), CTR(bytes(IV_BYTES))).encryptor()
        self._block = Cipher(AES(key.mac_k), ECB()).encryptor()  # noqa: S305  one block, as the format has it
        self._place = memoryview(bytearray())

    def seal(self, plaintext: Buffer, *, iv: bytes) -> bytes:
        """Encrypt and authenticate. `iv` is 16 random bytes, never used twice with one key."""
        self._stream.reset_nonce(iv)
        ciphertext = self._stream.update(plaintext)
        return b"".join((iv, ciphertext, self._tag(iv, ciphertext)))

    def seal_into(self, plaintext: Buffer, place: memoryview, *, iv: bytes) -> None:
        """Seal into a place that is `OVERHEAD_BYTES` longer than the plaintext."""
        place[:IV_BYTES] = iv
        self._stream.reset_nonce(iv)
        self._stream.update_into(plaintext, place[IV_BYTES:-TAG_BYTES])
        place[-TAG_BYTES:] = self._tag(iv, place[IV_BYTES:-TAG_BYTES])

    def seal_each(self, pairs: Iterable[tuple[Buffer, memoryview]], *, ivs: bytes) -> None:
        """Seal many plaintexts, each into its place; `ivs` holds one after the other. For blobs by the million."""
        reset, encrypt, block = self._stream.reset_nonce, self._stream.update_into, self._block.update
        mac_r, tag_of, at = self._mac_r, Poly1305.generate_tag, 0
        for plaintext, place in pairs:
            iv = ivs[at : at + IV_BYTES]
            at += IV_BYTES
            ciphertext = place[IV_BYTES:-TAG_BYTES]
            reset(iv)
            encrypt(plaintext, ciphertext)
            place[:IV_BYTES] = iv
            place[-TAG_BYTES:] = tag_of(mac_r + block(iv), ciphertext)

    def unseal(self, sealed: bytes | memoryview) -> bytes:
        """Authenticate, then decrypt.

        Raises:
            DamagedError: It was changed, is too short, or was sealed with another key.
        """
        return bytes(self.unseal_briefly(sealed))

    def unseal_briefly(self, sealed: bytes | memoryview) -> memoryview:
        """Unseal for a look: what is returned is good until this thread unseals the next thing.

        To give each plaintext memory of its own takes as long as to decrypt it.

        Raises:
            DamagedError: It was changed, is too short, or was sealed with another key.
        """
        length = len(sealed) - OVERHEAD_BYTES
        if length < 0:
            raise DamagedError(f"{len(sealed)} bytes are too short for anything sealed")
        view = memoryview(sealed)
        iv, ciphertext = bytes(view[:IV_BYTES]), view[IV_BYTES:-TAG_BYTES]
        try:
            Poly1305.verify_tag(self._mac_r + self._block.update(iv), ciphertext, bytes(view[-TAG_BYTES:]))
        except InvalidSignature:
            raise DamagedError("the message authentication code is wrong") from None
        place = self._place_for(length)
        self._stream.reset_nonce(iv)
        self._stream.update_into(ciphertext, place)
        return place

    def _place_for(self, length: int) -> memoryview:
        if length > len(self._place):
            self._place = memoryview(bytearray(-(-length // _PLACE_BYTES) * _PLACE_BYTES))
        return self._place[:length]

    def _tag(self, iv: bytes, ciphertext: bytes | memoryview) -> bytes:
        return Poly1305.generate_tag(self._mac_r + self._block.update(iv), ciphertext)


def seal(key: Key, plaintext: Buffer, *, iv: bytes) -> bytes:
    """Seal one thing; see `Envelope.seal`."""
    return Envelope(key).seal(plaintext, iv=iv)


def unseal(key: Key, sealed: bytes | memoryview) -> bytes:
    """Open one thing; see `Envelope.unseal`."""
    return Envelope(key).unseal(sealed)
