"""The envelope around everything secret: AES-256-CTR and Poly1305-AES.

    sealed = IV (16) | ciphertext | tag (16)
    tag    = Poly1305(key = r | AES-128_k(IV), message = ciphertext)

`r` is stored unmasked; Poly1305 clamps it itself.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.poly1305 import Poly1305

from becalm_engine.errors import DamagedError

IV_BYTES = 16
TAG_BYTES = 16
OVERHEAD_BYTES = IV_BYTES + TAG_BYTES
KEY_BYTES = 64


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


def seal(key: Key, plaintext: bytes | bytearray | memoryview, *, iv: bytes) -> bytes:
    """Encrypt and authenticate. `iv` is 16 random bytes, never used twice with one key."""
    return seal_with_pad(key, plaintext, iv=iv, pad=mac_pads(key, (iv,))[0])


def seal_with_pad(key: Key, plaintext: bytes | bytearray | memoryview, *, iv: bytes, pad: bytes) -> bytes:
    """Seal as `seal` does, with the pad that `mac_pads` made for `iv`."""
    ciphertext = Cipher(AES(key.encrypt), CTR(iv)).encryptor().update(plaintext)
    tag = Poly1305.generate_tag(key.mac_r + pad, ciphertext)
    return b"".join((iv, ciphertext, tag))


def mac_pads(key: Key, ivs: Sequence[bytes]) -> list[bytes]:
    """Return the one-time pad of each IV. One call for many: a cipher object costs more than a block."""
    blocks = Cipher(AES(key.mac_k), ECB()).encryptor().update(b"".join(ivs))  # noqa: S305
    return [blocks[at : at + IV_BYTES] for at in range(0, len(blocks), IV_BYTES)]


def unseal(key: Key, sealed: bytes | memoryview) -> bytes:
    """Authenticate, then decrypt.

    Raises:
        DamagedError: It was changed, is too short, or was sealed with another key.
    """
    if len(sealed) < OVERHEAD_BYTES:
        raise DamagedError(f"{len(sealed)} bytes are too short for anything sealed")
    view = memoryview(sealed)
    iv, ciphertext = bytes(view[:IV_BYTES]), view[IV_BYTES:-TAG_BYTES]
    expected = Poly1305.generate_tag(key.mac_r + mac_pads(key, (iv,))[0], ciphertext)
    if not hmac.compare_digest(expected, view[-TAG_BYTES:]):
        raise DamagedError("the message authentication code is wrong")
    return Cipher(AES(key.encrypt), CTR(iv)).decryptor().update(ciphertext)
