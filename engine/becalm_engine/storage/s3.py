"""A repository in an S3 bucket: all requests are made here."""

import contextlib
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from becalm_engine.errors import (
    ObjectMissingError,
    RepositoryExistsError,
    StorageDeniedError,
    StorageError,
)
from becalm_engine.ids import Buffer, is_name
from becalm_engine.storage.base import FileKind, StoredFile, longest_of, refuse_too_long
from becalm_engine.storage.limits import Limit, Limits
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.s3_body import Body, send_bodies
from becalm_engine.storage.s3_client import connect, region_of
from becalm_engine.storage.s3_errors import EXISTS, NO_CONDITIONS, code_of, note_page, translated, wants_md5
from becalm_engine.storage.s3_listing import refuse_cut_short
from becalm_engine.storage.s3_models import Models

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from types_boto3_s3.type_defs import GetObjectOutputTypeDef, PutObjectRequestTypeDef

_HOME_REGION = "us-east-1"
"""The one region that AWS does not want to be named."""
_NO_REASON = "400"


class S3Storage:
    """Objects below a prefix of a bucket. Credentials come from botocore's own chain: environment, files, roles."""

    def __init__(
        self,
        location: S3Location,
        options: StorageOptions,
        limits: Limits | None = None,
        models: Models | None = None,
    ) -> None:
        self._location = location
        self._options = options
        self._limits = limits or Limits(Limit(), Limit())
        self._models = models or Models()
        self._client = connect(location, options, self._models, checked=models is not None)
        self._token = ""
        # whoever signs nothing has no other checksum
        self._md5_of_all = options.anonymous
        send_bodies(self._client)
        self._client.meta.events.register("before-send.s3", self._remember_token)
        self._client.meta.events.register("before-parse.s3", self._count_answer)
        self._client.meta.events.register("before-parse.s3", note_page)
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
                self._look_for_bucket(bucket)
        except StorageDeniedError:
            return  # whoever may only use objects is not told of buckets; what comes next will show
        except ObjectMissingError:
            self._create_bucket(bucket)

    def _look_for_bucket(self, bucket: str) -> None:
        try:
            self._client.head_bucket(Bucket=bucket)
        except ClientError as error:
            if code_of(error) != _NO_REASON:
                raise
            # the reason, which may be that requests are to be signed for another region, has no room in this answer
            getattr(self._client, self._listing)(Bucket=bucket, MaxKeys=1)

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
        with self._translated(f"save {request['Key']}"):
            if only_if_absent:
                self._put_new(request)
            else:
                self._put(request)

    def _put_request(self, kind: FileKind, name: str, data: Buffer) -> "PutObjectRequestTypeDef":
        body: Any = Body(name, data, self._limits.upload, breakable=kind is FileKind.PACK)
        request: PutObjectRequestTypeDef = {
            "Bucket": self._location.bucket,
            "Key": self._key(kind, name),
            "Body": body,
        }
        if self._storage_class and kind is FileKind.PACK:
            request["StorageClass"] = self._storage_class  # type: ignore[typeddict-item]  # any the server knows
        return request

    def _put(self, request: "PutObjectRequestTypeDef") -> None:
        """Send a file; a long one with its MD5 only if the server has once asked for it."""
        body: Any = request["Body"]
        with_md5 = self._md5_of_all or not body.is_long
        try:
            self._put_once(request, with_md5=with_md5)
        except ClientError as error:
            if with_md5 or not wants_md5(error):
                raise
            self._md5_of_all = True
            self._put_once(request, with_md5=True)

    def _put_once(self, request: "PutObjectRequestTypeDef", *, with_md5: bool) -> None:
        body: Any = request["Body"]
        body.seek(0)
        self._client.put_object(**({**request, "ContentMD5": body.md5()} if with_md5 else request))

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

    def _put_new(self, request: "PutObjectRequestTypeDef") -> None:
        """Send with a condition where the server knows it; elsewhere look first, which is all one can do."""
        exists = RepositoryExistsError(f"{request['Key']} already exists in bucket {request['Bucket']}")
        if self._exists(request["Key"]):
            raise exists
        try:
            self._put({**request, "IfNoneMatch": "*"})
        except ClientError as error:
            code = code_of(error)
            if code in EXISTS:
                raise exists from error
            if code not in NO_CONDITIONS:
                raise
            self._put(request)

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
                content = self._received(answer, longest_of(kind), breakable=kind is FileKind.PACK)
        refuse_too_long(kind, key, len(content))
        return content

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        key = self._key(kind, name)
        span = f"bytes={offset}-{offset + length - 1}"
        with self._translated(f"read {key}"):
            answer = self._client.get_object(Bucket=self._location.bucket, Key=key, Range=span)
            part = self._received(answer, length, breakable=True)
        if len(part) != length:
            more = " or more" if len(part) > length else ""
            raise StorageError(f"{key} gave {len(part)} bytes{more} where {length} were asked for")
        return part

    def load_pieces(self, kind: FileKind, name: str, lengths: Sequence[int]) -> Generator[bytes, None, None]:
        key = self._key(kind, name)
        with self._translated(f"read {key}"):
            answer = self._client.get_object(Bucket=self._location.bucket, Key=key)
            with contextlib.closing(answer["Body"]) as body:
                for length in lengths:
                    part = self._limits.download.up_to(length, body.read)
                    if len(part) != length:
                        raise StorageError(f"{key} ends {length - len(part)} bytes too early")
                    yield part

    def _received(self, answer: "GetObjectOutputTypeDef", longest: int, *, breakable: bool) -> bytes:
        """Return what an answer holds, or the beginning of it if that is longer than what was asked for."""
        body, limit = answer["Body"], self._limits.download
        with contextlib.closing(body):  # a body broken off must not be taken for the next answer
            if not limit and answer.get("ContentLength", longest + 1) <= longest:
                return body.read()
            return limit.gathered(body.read, longest=longest, breakable=breakable)

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        prefix = self._key(kind, "") + "/"
        pages: Any = self._client.get_paginator(self._listing)  # type: ignore[call-overload]  # one of two
        with self._translated(f"list {prefix}"):
            for page in pages.paginate(Bucket=self._location.bucket, Prefix=prefix):
                refuse_cut_short(page, self._listing, prefix)
                for entry in page.get("Contents", ()):
                    name = entry["Key"].rsplit("/", 1)[-1]
                    if is_name(name) and entry["Key"] == self._key(
                        kind, name
                    ):  # else it is not found by its name
                        when = entry.get("LastModified")
                        yield StoredFile(name, entry["Size"], when.timestamp() if when else None)

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
        # two processes cannot speak on one connection, but may have read the same
        copy = S3Storage(self._location, self._options, self._limits.forked(stop), self._models)
        copy._md5_of_all = self._md5_of_all
        return copy

    def close(self) -> None:
        self._client.close()

    def _key(self, kind: FileKind, name: str) -> str:
        parts = [self._location.prefix, kind.value]
        if kind is FileKind.PACK and name:
            parts.append(name[:2])
        return "/".join(part for part in (*parts, name) if part)
