"""A repository in an S3 bucket: the only module that knows boto3."""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from becalm_engine.errors import (
    ObjectMissingError,
    RepositoryExistsError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from becalm_engine.ids import Buffer, is_name
from becalm_engine.storage.base import FileKind, StoredFile
from becalm_engine.storage.location import S3Location, StorageOptions

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_MISSING = frozenset(("NoSuchKey", "NoSuchBucket", "404", "NotFound"))
_DENIED = frozenset(
    (
        "AccessDenied",
        "403",
        "Forbidden",
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "XAdminUserNotFound",  # versitygw's word for an unknown access key
    )
)
_FULL = frozenset(("QuotaExceeded", "XMinioStorageFull", "EntityTooLarge"))
_BUSY = frozenset(("SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "RequestTimeTooSkewed"))
_EXISTS = frozenset(("PreconditionFailed", "ConditionalRequestConflict", "412", "409"))
_NO_CONDITIONS = frozenset(("NotImplemented", "501"))


class S3Storage:
    """Objects below a prefix of a bucket. Credentials come from boto3's own chain: environment, files, roles."""

    def __init__(self, location: S3Location, options: StorageOptions) -> None:
        self._location = location
        self._options = options
        self._client = _client(location, options)
        self._extra_arguments = {"StorageClass": options.storage_class} if options.storage_class else {}
        self.connections = options.connections

    @property
    def location(self) -> str:
        return str(self._location)

    def create(self) -> None:
        bucket = self._location.bucket
        try:
            with _translated(f"look for bucket {bucket}"):
                self._client.head_bucket(Bucket=bucket)
        except ObjectMissingError:
            with _translated(f"create bucket {bucket}"):
                self._client.create_bucket(Bucket=bucket)

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        key = self._key(kind, name)
        if only_if_absent:
            self._save_new(key, data)
            return
        with _translated(f"save {key}"):
            extra = self._extra_arguments if kind is FileKind.PACK else {}
            self._client.put_object(Bucket=self._location.bucket, Key=key, Body=bytes(data), **extra)  # type: ignore[arg-type]  # the storage class is any string that the server knows

    def _save_new(self, key: str, data: Buffer) -> None:
        """Save with a condition where the server knows it; elsewhere look first, which is all one can do."""
        bucket = self._location.bucket
        with _translated(f"look for {key}"):
            if self._exists(key):
                raise RepositoryExistsError(f"{key} already exists in bucket {bucket}")
        with _translated(f"save {key}"):
            try:
                self._client.put_object(Bucket=bucket, Key=key, Body=bytes(data), IfNoneMatch="*")
            except ClientError as error:
                code = _code(error)
                if code in _EXISTS:
                    raise RepositoryExistsError(f"{key} already exists in bucket {bucket}") from error
                if code not in _NO_CONDITIONS:
                    raise
                self._client.put_object(Bucket=bucket, Key=key, Body=bytes(data))

    def _exists(self, key: str) -> bool:
        try:
            self._client.head_object(Bucket=self._location.bucket, Key=key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return False
            raise
        return True

    def load(self, kind: FileKind, name: str) -> bytes:
        key = self._key(kind, name)
        with _translated(f"read {key}"):
            return self._client.get_object(Bucket=self._location.bucket, Key=key)["Body"].read()

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        key = self._key(kind, name)
        span = f"bytes={offset}-{offset + length - 1}"
        with _translated(f"read {key}"):
            answer = self._client.get_object(Bucket=self._location.bucket, Key=key, Range=span)
            part = answer["Body"].read()
        if len(part) != length:
            raise StorageError(f"{key} gave {len(part)} bytes where {length} were asked for")
        return part

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        prefix = self._key(kind, "") + "/"
        pages = self._client.get_paginator("list_objects_v2")
        with _translated(f"list {prefix}"):
            for page in pages.paginate(Bucket=self._location.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    name = entry["Key"].rsplit("/", 1)[-1]
                    if is_name(name):
                        yield StoredFile(name, entry["Size"])

    def delete(self, kind: FileKind, name: str) -> None:
        key = self._key(kind, name)
        with _translated(f"delete {key}"), contextlib.suppress(ObjectMissingError):
            self._client.delete_object(Bucket=self._location.bucket, Key=key)

    def forked(self, stop: threading.Event) -> "S3Storage":  # noqa: ARG002  it does not repeat anything
        return S3Storage(self._location, self._options)  # two processes cannot speak on one connection

    def close(self) -> None:
        self._client.close()

    def _key(self, kind: FileKind, name: str) -> str:
        parts = [self._location.prefix, kind.value]
        if kind is FileKind.PACK and name:
            parts.append(name[:2])
        return "/".join(part for part in (*parts, name) if part)


def _client(location: S3Location, options: StorageOptions) -> "S3Client":
    config = Config(
        connect_timeout=15,
        read_timeout=120,
        max_pool_connections=options.connections + 2,
        retries={"mode": "standard", "total_max_attempts": 2},
        s3={"addressing_style": _addressing(location, options)},
        # newer checksums in every request are refused by many servers that are not AWS
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with _translated("set up S3"):
        # a session of its own: boto3's default one is global, and not for several threads
        return boto3.Session().client(
            "s3",
            endpoint_url=location.endpoint or None,
            region_name=options.region or "us-east-1",
            verify=False if options.insecure_tls else options.ca_file or None,
            config=config,
        )


def _addressing(location: S3Location, options: StorageOptions) -> Literal["auto", "virtual", "path"]:
    if options.bucket_lookup == "dns":
        return "virtual"
    # servers other than AWS seldom have a host name for each bucket
    return "path" if options.bucket_lookup == "path" or location.endpoint else "auto"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn botocore's errors into ours. Its messages name keys and hosts, never credentials."""
    try:
        yield
    except ClientError as error:
        raise _from_answer(error, what) from error
    except (NoCredentialsError, CredentialRetrievalError) as error:
        raise StorageDeniedError(f"cannot {what}: no S3 credentials found (AWS_ACCESS_KEY_ID …)") from error
    except (SSLError, ssl.SSLError) as error:
        raise StorageError(f"cannot {what}: {error}; is --cacert right?") from error
    except (
        HTTPClientError,
        BotoConnectionError,
        IncompleteReadError,
        ConnectionError,
        TimeoutError,
    ) as error:
        raise StorageUnavailableError(f"cannot {what}: {error}") from error
    except BotoCoreError as error:
        raise StorageError(f"cannot {what}: {error}") from error


def _from_answer(error: ClientError, what: str) -> StorageError:
    code = _code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = f"cannot {what}: {code or status} {error.response.get('Error', {}).get('Message', '')}".rstrip()
    if code in _MISSING:
        return ObjectMissingError(text)
    if code in _DENIED:
        return StorageDeniedError(text)
    if code in _FULL or status == 507:
        return StorageFullError(text)
    if code in _BUSY or status >= 500 or status == 429:
        return StorageUnavailableError(text)
    return StorageError(text)
