"""What is sent to S3: a body that flows piece by piece, its checksums, and a signature over what is known of it."""

import base64
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

from becalm_engine.ids import Buffer, is_name
from becalm_engine.storage.limits import Limit

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSRequest
    from types_boto3_s3 import S3Client

_PIECE_BYTES = 128 * 1024
_LONG_BYTES = 1024 * 1024
_USUAL = frozenset(("v4", "s3v4"))
"""What S3 calls its signature, and what the rules of its addresses call it."""
_BY_NAME = "becalm-s3v4"


class Body:
    """The bytes of one file as a file that can be read again and again; it keeps a view of them, no copy.

    `sha256` is their digest in hex. A long file is believed to be what it is named after: the server compares,
    as it is part of the signature, and refuses what was changed in memory or on its way.
    """

    def __init__(self, name: str, data: Buffer, limit: Limit, *, breakable: bool) -> None:
        self._data = memoryview(data)
        self._limit = limit
        self._breakable = breakable
        self._pieces: Iterator[memoryview] = iter(())
        self.is_long = len(self._data) > _LONG_BYTES
        self.sha256 = name if self.is_long and is_name(name) else hashlib.sha256(data).hexdigest()
        self.seek(0)

    def __len__(self) -> int:
        return len(self._data)

    def read(self, _size: int = -1) -> memoryview:
        """Return the next piece when the limit lets it pass, and nothing at the end.

        Pieces are as long as suits the limit: the time that a socket gets is that for one.
        """
        return next(self._pieces, self._data[:0])

    def seek(self, _position: int) -> None:
        """Go back to the beginning, which is all that a client asks for."""
        self._pieces = self._limit.pieces(self._data, breakable=self._breakable, longest=_PIECE_BYTES)

    def tell(self) -> int:
        """Return the beginning: whoever signs otherwise asks before he reads."""
        return 0

    def md5(self) -> str:
        """Return what `Content-MD5` says; no security rests on it."""
        return base64.b64encode(hashlib.md5(self._data, usedforsecurity=False).digest()).decode()


class _BodyAuth(S3SigV4Auth):
    """Signs a body by the digest that it has, instead of reading it once more."""

    def payload(self, request: "AWSRequest") -> str:
        """Return the digest, or what botocore makes of other bodies."""
        known: Any = request.data
        digest: str = known.sha256 if isinstance(known, Body) else super().payload(request)
        return digest


def send_bodies(client: "S3Client") -> None:
    """Have a client sign bodies by their digests, and ask beforehand only whether a long one is wanted.

    Requests without one, and other signatures, are left as they are.
    """
    AUTH_TYPE_MAPS.setdefault(_BY_NAME, _BodyAuth)  # where botocore looks for what a signature's name means
    choose: Any = _chosen
    client.meta.events.register("choose-signer.s3.PutObject", choose)
    client.meta.events.register("before-send.s3.PutObject", _unasked)


def _chosen(signature_version: object, **_: object) -> str | None:
    return _BY_NAME if signature_version in _USUAL else None


def _unasked(request: "AWSPreparedRequest", **_: object) -> None:
    """Send what is short without `Expect`: it would wait for an answer, a second where the server gives none."""
    body: Any = request.body
    if isinstance(body, Body) and not body.is_long and "Expect" in request.headers:
        del request.headers["Expect"]
