"""A repository in an S3 bucket: the only module that knows boto3."""

import base64
import contextlib
import hashlib
import io
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from becalm_engine.errors import (
    ObjectMissingError,
    RepositoryExistsError,
    StorageDeniedError,
    StorageError,
)
from becalm_engine.ids import Buffer, is_name
from becalm_engine.storage.base import FileKind, StoredFile, refuse_too_long
from becalm_engine.storage.limits import Limit, Limits
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.s3_client import connect, region_of
from becalm_engine.storage.s3_errors import EXISTS, NO_CONDITIONS, code_of, translated

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.response import StreamingBody
    from types_boto3_s3.type_defs import PutObjectRequestTypeDef

_PIECE_BYTES = 128 * 1024
_PACK_URL = re.compile(r"/data/[0-9a-f]{2}/[0-9a-f]{64}$")
_HOME_REGION = "us-east-1"
"""The one region that AWS does not want to be named."""


class S3Storage:
    """Objects below a prefix of a bucket. Credentials come from boto3's own chain: environment, files, roles."""

    def __init__(self, location: S3Location, options: StorageOptions, limits: Limits | None = None) -> None:
        self._location = location
        self._options = options
        self._limits = limits or Limits(Limit(), Limit())
        self._client = connect(location, options)
        self._token = ""
        self._client.meta.events.register("before-send.s3", self._remember_token)
        self._client.meta.events.register("before-send.s3.PutObject", self._send_in_pieces)
        self._client.meta.events.register("before-parse.s3", self._count_answer)
        self._listing = "list_objects" if options.list_objects_v1 else "list_objects_v2"
        self._storage_class = options.storage_class
        self.connections = options.connections

    @property
    def location(self) -> str:
        return str(self._location)

    def create(self) -> None:
        bucket = self._location.bucket
        try:
            with self._translated(f"look for bucket {bucket}"):
                self._client.head_bucket(Bucket=bucket)
        except StorageDeniedError:
            return  # whoever may only use objects is not told of buckets; what comes next will show
        except ObjectMissingError:
            self._create_bucket(bucket)

    def _create_bucket(self, bucket: str) -> None:
        region = region_of(self._client)
        where: Any = {"LocationConstraint": region}  # whatever the server calls its regions
        more = {} if region == _HOME_REGION else {"CreateBucketConfiguration": where}
        with self._translated(f"create bucket {bucket}"):
            try:
                self._client.create_bucket(Bucket=bucket, **more)
            except ClientError as error:
                if code_of(error) != "BucketAlreadyOwnedByYou":  # another run of ours was first
                    raise

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        request = self._put_request(kind, name, data)
        if only_if_absent:
            self._save_new(request)
            return
        with self._translated(f"save {request['Key']}"):
            self._client.put_object(**request)

    def _put_request(self, kind: FileKind, name: str, data: Buffer) -> "PutObjectRequestTypeDef":
        body = bytes(data)
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        request: PutObjectRequestTypeDef = {
            "Bucket": self._location.bucket,
            "Key": self._key(kind, name),
            "Body": body,
            # buckets with Object Lock refuse what has no checksum, and all servers know this one
            "ContentMD5": base64.b64encode(digest).decode(),
        }
        if self._storage_class and kind is FileKind.PACK:
            request["StorageClass"] = self._storage_class  # type: ignore[typeddict-item]  # any the server knows
        return request

    def _send_in_pieces(self, request: "AWSPreparedRequest", **_: object) -> None:
        """Let a body flow: by the limit, and so that the time a socket gets is that for a piece."""
        if isinstance(request.body, io.BytesIO):  # botocore has wrapped the bytes
            is_pack = _PACK_URL.search(request.url) is not None
            body: Any = _Body(request.body.getvalue(), self._limits.upload, breakable=is_pack)
            request.body = body

    def _remember_token(self, request: "AWSPreparedRequest", **_: object) -> None:
        token = request.headers.get("X-Amz-Security-Token", "")
        self._token = token.decode() if isinstance(token, bytes) else token

    @contextlib.contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Turn botocore's errors into ours. A server may repeat the token it was sent; the message does not."""
        try:
            with translated(what):
                yield
        except StorageError as error:
            if not self._token or self._token not in str(error):
                raise
            raise type(error)(str(error).replace(self._token, "(token)")) from None

    def _count_answer(self, response_dict: dict[str, Any], **_: object) -> None:
        """Count listings as downloads. What objects hold comes as a stream, and is counted there."""
        if isinstance(response_dict["body"], bytes):
            self._limits.download.take(len(response_dict["body"]))

    def _save_new(self, request: "PutObjectRequestTypeDef") -> None:
        """Save with a condition where the server knows it; elsewhere look first, which is all one can do."""
        bucket, key = request["Bucket"], request["Key"]
        conditional: PutObjectRequestTypeDef = {**request, "IfNoneMatch": "*"}
        if self._exists(key):
            raise RepositoryExistsError(f"{key} already exists in bucket {bucket}")
        with self._translated(f"save {key}"):
            try:
                self._client.put_object(**conditional)
            except ClientError as error:
                code = code_of(error)
                if code in EXISTS:
                    raise RepositoryExistsError(f"{key} already exists in bucket {bucket}") from error
                if code not in NO_CONDITIONS:
                    raise
                self._client.put_object(**request)

    def _exists(self, key: str) -> bool:
        try:
            with self._translated(f"look for {key}"):
                self._client.head_object(Bucket=self._location.bucket, Key=key)
        except ObjectMissingError:
            return False
        return True

    def load(self, kind: FileKind, name: str) -> bytes:
        key = self._key(kind, name)
        with self._translated(f"read {key}"):
            answer = self._client.get_object(Bucket=self._location.bucket, Key=key)
            with contextlib.closing(answer["Body"]):
                refuse_too_long(kind, key, answer.get("ContentLength", 0))
                return self._received(answer["Body"], breakable=kind is FileKind.PACK)

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        key = self._key(kind, name)
        span = f"bytes={offset}-{offset + length - 1}"
        with self._translated(f"read {key}"):
            answer = self._client.get_object(Bucket=self._location.bucket, Key=key, Range=span)
            part = self._received(answer["Body"], breakable=True)
        if len(part) != length:
            raise StorageError(f"{key} gave {len(part)} bytes where {length} were asked for")
        return part

    def _received(self, body: "StreamingBody", *, breakable: bool) -> bytes:
        with contextlib.closing(body):  # a body broken off must not be taken for the next answer
            limit = self._limits.download
            return limit.gathered(body.read, breakable=breakable) if limit else body.read()

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        prefix = self._key(kind, "") + "/"
        pages: Any = self._client.get_paginator(self._listing)  # type: ignore[call-overload]  # one of two
        with self._translated(f"list {prefix}"):
            for page in pages.paginate(Bucket=self._location.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    name = entry["Key"].rsplit("/", 1)[-1]
                    if is_name(name):
                        yield StoredFile(name, entry["Size"])

    def delete(self, kind: FileKind, name: str) -> None:
        key = self._key(kind, name)
        try:
            with contextlib.suppress(ObjectMissingError), self._translated(f"delete {key}"):
                self._client.delete_object(Bucket=self._location.bucket, Key=key)
        except StorageDeniedError as error:
            raise StorageDeniedError(
                f"{error}; the credentials may not delete, or the object is under retention"
            ) from error

    def forked(self, stop: threading.Event) -> "S3Storage":
        # two processes cannot speak on one connection
        return S3Storage(self._location, self._options, self._limits.forked(stop))

    def close(self) -> None:
        self._client.close()

    def _key(self, kind: FileKind, name: str) -> str:
        parts = [self._location.prefix, kind.value]
        if kind is FileKind.PACK and name:
            parts.append(name[:2])
        return "/".join(part for part in (*parts, name) if part)


class _Body:
    """The body of a request, sent piece by piece each time it is iterated over."""

    def __init__(self, data: bytes, limit: Limit, *, breakable: bool) -> None:
        self._data = data
        self._limit = limit
        self._breakable = breakable

    def __iter__(self) -> Iterator[memoryview]:
        return self._limit.pieces(self._data, breakable=self._breakable, longest=_PIECE_BYTES)

    def seek(self, _position: int) -> None:
        """Do nothing: botocore goes back to the beginning so, which each iteration does."""
