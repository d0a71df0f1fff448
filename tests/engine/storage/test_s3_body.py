"""What goes out with a body: checksums, a signature, and no copy of it."""

import base64
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import StorageDeniedError, StorageError, StorageUnavailableError
from becalm_engine.storage.base import FileKind, Storage
from becalm_engine.storage.limits import Limit
from becalm_engine.storage.s3_body import Body
from tests.engine.storage.certificates import Authority
from tests.engine.storage.contract import NAME
from tests.engine.storage.http_server import Answer, Request, refusal, serving_http
from tests.engine.storage.s3_clients import opened
from tests.engine.storage.s3_server import S3Server

LONG = bytes(range(256)) * 5000
LONG_NAME = hashlib.sha256(LONG).hexdigest()

LOCKED = {
    "AWS": refusal(
        400,
        "InvalidRequest",
        "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock"
        " parameters",
    ),
    "AWS, formerly": refusal(
        400, "InvalidRequest", "Content-MD5 HTTP header is required for Put Object requests"
    ),
    "MinIO": refusal(400, "MissingContentMD5", "Missing required header for this request: Content-Md5."),
}


def save(storage: Storage, data: bytes = LONG) -> None:
    storage.save(FileKind.PACK, hashlib.sha256(data).hexdigest(), data)


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def locked(answer: Answer) -> Callable[[Request], Answer]:
    return lambda request: Answer() if "content-md5" in request.headers else answer


@given(st.binary(max_size=5000), st.integers(1, 3))
def test_a_body_is_the_same_each_time_it_is_read(data: bytes, times: int) -> None:
    body = Body(NAME, data, Limit(), breakable=False)

    for _ in range(times):
        body.seek(0)
        assert b"".join(iter(body.read, b"")) == data
        assert not body.read()

    assert len(body) == len(data)
    assert body.sha256 == hashlib.sha256(data).hexdigest()
    assert body.md5() == md5(data)


def test_a_body_is_no_copy() -> None:
    data = bytearray(LONG)

    assert Body(LONG_NAME, data, Limit(), breakable=True).read().obj is data


@pytest.mark.usefixtures("some_credentials")
@pytest.mark.parametrize("data", [b"", b"short", LONG], ids=["empty", "short", "long"])
def test_each_body_is_signed(data: bytes) -> None:
    with serving_http(lambda _: Answer()) as server:
        save(opened(server.url), data)

    (request,) = server.requests
    assert request.body == data
    assert request.headers["x-amz-content-sha256"] == hashlib.sha256(data).hexdigest()
    assert "x-amz-content-sha256" in request.headers["authorization"]


@pytest.mark.usefixtures("some_credentials")
def test_a_body_is_signed_over_tls_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.server_context(authority.issue("server"))
    with serving_http(lambda _: Answer(), tls=context) as server:
        save(opened(server.url, ca_file=str(authority.file)))

    assert [request.headers["x-amz-content-sha256"] for request in server.requests] == [LONG_NAME]


def test_other_signatures_read_a_body_as_they_read_a_file() -> None:
    body = Body(LONG_NAME, LONG, Limit(), breakable=True)
    usual = S3SigV4Auth(Credentials("AKIDSOMEBODY", "secret"), "s3", "us-east-1")

    assert usual.payload(AWSRequest("PUT", "http://rose.example/bucket/key", data=body)) == LONG_NAME
    assert b"".join(iter(body.read, b"")) == LONG


@pytest.mark.s3
def test_a_server_takes_no_long_file_that_is_not_what_it_is_named_after(s3: S3Server) -> None:
    storage = opened(s3.url)
    storage.create()

    save(storage)
    with pytest.raises(StorageUnavailableError, match="XAmzContentSHA256Mismatch"):
        storage.save(FileKind.PACK, LONG_NAME, LONG[:-1] + b"?")

    assert storage.load(FileKind.PACK, LONG_NAME) == LONG


@pytest.mark.usefixtures("some_credentials")
def test_what_is_short_has_its_md5_and_what_is_long_only_if_nothing_else_speaks_for_it() -> None:
    with serving_http(lambda _: Answer()) as server:
        save(opened(server.url), b"short")
        save(opened(server.url))
        save(opened(server.url, anonymous=True))

    sums = [request.headers.get("content-md5") for request in server.requests]
    assert sums == [md5(b"short"), None, md5(LONG)]


@pytest.mark.usefixtures("some_credentials")
@pytest.mark.parametrize("answer", LOCKED.values(), ids=LOCKED)
def test_a_bucket_that_wants_a_checksum_gets_it_from_then_on(answer: Answer) -> None:
    with serving_http(locked(answer)) as server:
        storage = opened(server.url)
        save(storage)
        save(storage)
        save(storage.forked(threading.Event()))

    assert [request.body for request in server.requests] == [LONG] * 4
    assert [request.headers.get("content-md5") for request in server.requests] == [None] + [md5(LONG)] * 3


@pytest.mark.usefixtures("some_credentials")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(400, "InvalidRequest", "so it is"), StorageError),
        (refusal(400, "BadDigest", "The Content-MD5 you specified did not match"), StorageUnavailableError),
        (refusal(403, "AccessDenied"), StorageDeniedError),
    ],
    ids=["400", "digest", "403"],
)
def test_other_refusals_are_no_wish_for_a_checksum(answer: Answer, kind: type[StorageError]) -> None:
    with serving_http(lambda _: answer) as server, pytest.raises(kind):
        save(opened(server.url))

    assert len(server.requests) == 1


@pytest.mark.usefixtures("some_credentials")
def test_only_what_is_long_is_asked_for_before_it_is_sent() -> None:
    with serving_http(lambda _: Answer()) as server:
        save(opened(server.url), b"short")
        save(opened(server.url))

    assert [request.headers.get("expect") for request in server.requests] == [None, "100-continue"]
