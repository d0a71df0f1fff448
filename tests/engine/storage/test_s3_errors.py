"""What servers and networks do wrong, each as bytes on a socket."""

import http.client
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, SSLError
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import (
    ObjectMissingError,
    RepositoryExistsError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from becalm_engine.storage.base import CONFIG_NAME, FileKind, Storage
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.retry import RetryingStorage
from becalm_engine.storage.s3 import S3Storage
from becalm_engine.storage.s3_errors import _from_answer, _from_tls
from tests.engine.storage.contract import NAME
from tests.engine.storage.http_server import Answer, Request, refusal, serving_http
from tests.engine.storage.test_retry import FakeClock

pytestmark = pytest.mark.usefixtures("some_credentials")

LISTED = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>snapshots/%s</Key><Size>7</Size>"
    b"</Contents></ListBucketResult>" % NAME.encode()
)


def opened(url: str, **options: Any) -> S3Storage:
    return S3Storage(S3Location(url, "bucket", ""), StorageOptions(**options))


def retrying(url: str, **options: Any) -> RetryingStorage:
    """A storage whose retries take no time."""
    clock = FakeClock()
    return RetryingStorage(opened(url, **options), sleep=clock.sleep, clock=clock)


class Faulty:
    """Answers with a fault as often as is wanted, and properly then."""

    def __init__(self, fault: Answer = Answer(), times: int = 0, proper: Answer = Answer()) -> None:  # noqa: B008  immutable
        self.prepare(fault, times, proper)

    def prepare(self, fault: Answer, times: int, proper: Answer) -> None:
        self._answers = itertools.chain([fault] * times, itertools.repeat(proper))

    def __call__(self, _: Request) -> Answer:
        return next(self._answers)


def load(storage: Storage) -> object:
    return storage.load(FileKind.PACK, NAME)


def load_range(storage: Storage) -> object:
    return storage.load_range(FileKind.PACK, NAME, offset=0, length=7)


def load_pieces(storage: Storage) -> object:
    return b"".join(storage.load_pieces(FileKind.PACK, NAME, [7]))


def save(storage: Storage) -> None:
    storage.save(FileKind.PACK, NAME, b"content")


def listing(storage: Storage) -> object:
    return [stored.name for stored in storage.list(FileKind.SNAPSHOT)]


def delete(storage: Storage) -> None:
    storage.delete(FileKind.LOCK, NAME)


CALLS: dict[Callable[[Storage], object], tuple[bytes, object]] = {
    load: (b"content", b"content"),
    load_range: (b"content", b"content"),
    load_pieces: (b"content", b"content"),
    save: (b"", None),
    listing: (LISTED, [NAME]),
    delete: (b"", None),
}
"""The calls, each with the body of a proper answer and what comes of it."""

PASSING = {
    "408": refusal(408, "RequestTimeout"),
    "409": refusal(409, "OperationAborted"),
    "429": refusal(429, "TooManyRequests"),
    "500": refusal(500, "InternalError"),
    "502 without a body": Answer(502),
    "503": refusal(503, "ServiceUnavailable"),
    "503 SlowDown": refusal(503, "SlowDown"),
    "400 RequestTimeout": refusal(400, "RequestTimeout"),
    "400 BadDigest": refusal(400, "BadDigest"),
    "reset": Answer(reset=True),
    "504 that is a page": Answer(504, b"<html><body>Gateway Time-out</body></html>"),
    "404 that is a line": Answer(404, b"404 page not found\n"),
    "404 that is a page": Answer(404, b"<html>\n<body>\n<h1>Not Found</h1>\n<hr>\n</body>\n</html>\n"),
    "404 that is well-formed": Answer(404, b"<html><body><h1>Not Found</h1></body></html>"),
    "404 in JSON": Answer(404, b'{"message":"no Route matched with those values"}'),
}

LASTING = {
    "301": (refusal(301, "PermanentRedirect"), StorageError),
    "400": (refusal(400, "InvalidArgument"), StorageError),
    "400 ExpiredToken": (refusal(400, "ExpiredToken"), StorageDeniedError),
    "403": (refusal(403, "AccessDenied"), StorageDeniedError),
    "403 SignatureDoesNotMatch": (refusal(403, "SignatureDoesNotMatch"), StorageDeniedError),
    "403 RequestTimeTooSkewed": (refusal(403, "RequestTimeTooSkewed"), StorageDeniedError),
    "403 that is a page": (Answer(403, b"<html><body>Forbidden</body></html>"), StorageDeniedError),
    "404 NoSuchBucket": (refusal(404, "NoSuchBucket"), ObjectMissingError),
    "404 NoSuchKey": (refusal(404, "NoSuchKey"), ObjectMissingError),
    "404 without a body": (Answer(404), ObjectMissingError),
    "405": (refusal(405, "MethodNotAllowed"), StorageError),
    "501": (refusal(501, "NotImplemented"), StorageError),
    "507": (refusal(507, "InsufficientStorage"), StorageFullError),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_what_passes_is_repeated_until_it_has_passed(fault: Answer) -> None:
    respond = Faulty()
    with serving_http(respond) as server:
        storage = retrying(server.url)
        for call, (body, result) in CALLS.items():
            respond.prepare(fault, 2, Answer(200, body))
            assert call(storage) == result

    assert len(server.requests) == 3 * len(CALLS)


@pytest.mark.parametrize(("fault", "kind"), LASTING.values(), ids=LASTING)
def test_what_lasts_is_not_repeated(fault: Answer, kind: type[StorageError]) -> None:
    with serving_http(lambda _: fault) as server:
        storage = retrying(server.url)
        for call in (load, load_pieces, save, listing):
            with pytest.raises(StorageError) as raised:
                call(storage)
            assert type(raised.value) is kind

    # where a redirection leads nowhere, the client also asks for the bucket's region
    assert [one.method for one in server.requests if one.method != "HEAD"] == ["GET", "GET", "PUT", "GET"]


def test_half_an_answer_is_never_taken_for_all_of_it() -> None:
    respond = Faulty()
    with serving_http(respond) as server:
        storage = retrying(server.url)
        for call in (load, load_range, load_pieces, listing):
            body, result = CALLS[call]
            half = Answer(200, body[: len(body) // 2], promised_bytes=len(body))
            respond.prepare(half, 2, Answer(200, body))
            assert call(storage) == result

    assert len(server.requests) == 12


def test_a_server_that_falls_silent_is_given_up_and_asked_again() -> None:
    with serving_http(Faulty(Answer(silent=True), 1, Answer(200, b"content"))) as server:
        assert load(retrying(server.url, stuck_seconds=0.2)) == b"content"


def test_a_server_that_is_not_there_may_be_retried() -> None:
    with serving_http(lambda _: Answer()) as server:
        storage = opened(server.url)

    with pytest.raises(StorageUnavailableError):
        storage.load(FileKind.PACK, NAME)


def test_a_server_that_ignores_the_range_is_not_believed() -> None:
    with (
        serving_http(lambda _: Answer(200, b"0123456789")) as server,
        pytest.raises(StorageError, match="10 bytes or more where 4"),
    ):
        opened(server.url).load_range(FileKind.PACK, NAME, offset=2, length=4)


def test_pieces_come_out_of_one_request_and_a_broken_one_goes_on_where_it_was() -> None:
    def respond(request: Request) -> Answer:
        if "range" not in request.headers:
            return Answer(200, b"01234", promised_bytes=10)
        return Answer(206, b"456789")

    with serving_http(respond) as server:
        pieces = list(retrying(server.url).load_pieces(FileKind.PACK, NAME, [4, 6]))

    assert pieces == [b"0123", b"456789"]
    assert [one.headers.get("range") for one in server.requests] == [None, "bytes=4-9"]


def test_a_refusal_is_told_in_the_words_of_the_server() -> None:
    with (
        serving_http(lambda _: refusal(403, "AccessDenied")) as server,
        pytest.raises(StorageDeniedError, match=r"cannot read data/ab/abab.*: AccessDenied so it is"),
    ):
        load(opened(server.url))


def test_a_refused_deletion_says_what_may_be_the_reason() -> None:
    with (
        serving_http(lambda _: refusal(403, "AccessDenied")) as server,
        pytest.raises(StorageDeniedError, match=r"delete locks/.*may not delete, or .* under retention"),
    ):
        delete(opened(server.url))


def test_a_server_that_complains_of_deleting_nothing_is_passed_over() -> None:
    with serving_http(lambda _: refusal(404, "NoSuchKey")) as server:
        delete(opened(server.url))

    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"404 page not found\n", b"<html><body>Not Found</body></html>"])
def test_a_proxy_that_has_lost_the_server_does_not_tell_what_is_stored(body: bytes) -> None:
    with serving_http(lambda _: Answer(404, body)) as server:
        for call in CALLS:
            with pytest.raises(StorageUnavailableError, match="no words of S3: has a proxy"):
                call(opened(server.url))


def test_a_head_has_no_body_to_tell_by() -> None:
    def respond(request: Request) -> Answer:
        return Answer(404, b"not found") if request.method == "HEAD" else Answer()

    with serving_http(respond) as server:
        opened(server.url).save(FileKind.CONFIG, CONFIG_NAME, b"config", only_if_absent=True)

    assert [one.method for one in server.requests] == ["HEAD", "PUT"]


def test_the_body_of_a_repeated_save_is_whole_each_time() -> None:
    content = bytes(range(256)) * 2000
    with serving_http(Faulty(refusal(503, "SlowDown"), 2, Answer())) as server:
        retrying(server.url).save(FileKind.PACK, NAME, content)

    assert [request.body for request in server.requests] == [content] * 3


def test_a_body_goes_out_in_pieces_so_that_a_slow_server_gets_time_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[int] = []
    send: Any = http.client.HTTPConnection.send

    def noting(connection: object, data: Any) -> None:
        sent.append(len(data))
        send(connection, data)

    monkeypatch.setattr(http.client.HTTPConnection, "send", noting)
    with serving_http(lambda _: Answer()) as server:
        opened(server.url).save(FileKind.PACK, NAME, bytes(1 << 20))

    assert server.requests[0].body == bytes(1 << 20)
    assert max(sent) <= 128 * 1024


class Once:
    """A server that stores what is saved under a condition and loses its first answer."""

    def __init__(self, stored: bytes | None = None) -> None:
        self.stored = stored
        self._answers = False

    def __call__(self, request: Request) -> Answer:
        if request.method == "HEAD":
            return Answer(404)
        if request.method == "GET":
            return Answer(200, self.stored or b"")
        if self.stored is not None and request.headers.get("if-none-match") == "*":
            return refusal(412, "PreconditionFailed")
        self.stored = request.body
        return Answer(reset=True)


def test_what_the_first_try_stored_unseen_is_no_conflict() -> None:
    respond = Once()
    with serving_http(respond) as server:
        retrying(server.url).save(FileKind.CONFIG, CONFIG_NAME, b"ours", only_if_absent=True)

    assert respond.stored == b"ours"
    assert len(server.asked("PUT")) == 2


def test_what_somebody_else_stored_is_one() -> None:
    with serving_http(Once(b"theirs")) as server, pytest.raises(RepositoryExistsError):
        retrying(server.url).save(FileKind.CONFIG, CONFIG_NAME, b"ours", only_if_absent=True)

    assert len(server.asked("PUT")) == 1


def test_two_at_the_same_moment_are_told_to_try_again() -> None:
    conflict = refusal(409, "ConditionalRequestConflict")

    def respond(request: Request) -> Answer:
        if request.method == "HEAD":
            return Answer(404)
        if request.method == "GET":
            return Answer(200, b"theirs")
        first = len(server.asked("PUT")) == 1
        return conflict if first else refusal(412, "PreconditionFailed")

    with serving_http(respond) as server, pytest.raises(RepositoryExistsError):
        retrying(server.url).save(FileKind.CONFIG, CONFIG_NAME, b"ours", only_if_absent=True)

    assert len(server.asked("PUT")) == 2


def test_a_server_that_knows_no_conditions_is_asked_first_and_then_written_to() -> None:
    def respond(request: Request) -> Answer:
        if request.method == "HEAD":
            return Answer(404)
        return refusal(501, "NotImplemented") if "if-none-match" in request.headers else Answer()

    with serving_http(respond) as server:
        opened(server.url).save(FileKind.CONFIG, CONFIG_NAME, b"config", only_if_absent=True)

    assert [one.method for one in server.requests] == ["HEAD", "PUT", "PUT"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (507, "InsufficientStorage", StorageFullError),
        (400, "QuotaExceeded", StorageFullError),
        (404, "404", ObjectMissingError),
        (403, "403", StorageDeniedError),
        (400, "ObjectLocked", StorageDeniedError),
        (505, "", StorageError),
    ],
)
def test_what_a_server_refuses_becomes_our_error(status: int, code: str, kind: type[StorageError]) -> None:
    answer: Any = {
        "Error": {"Code": code, "Message": "so it is"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }

    error = _from_answer(ClientError(answer, "PutObject"), "save x")

    assert type(error) is kind
    assert str(error) == f"cannot save x: {code or status} so it is"


@given(st.integers(400, 599), st.text("abc", max_size=20))
def test_what_a_server_calls_its_own_fault_may_be_retried_if_its_word_is_unknown(
    status: int, code: str
) -> None:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}

    error = _from_answer(ClientError(answer, "GetObject"), "read x")

    if status >= 500:
        assert error.retryable == (status not in (501, 505, 507))


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        ("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred", StorageUnavailableError, ""),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", StorageError, "http://"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert", StorageError, "--tls-client-cert"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed", StorageError, "--cacert"),
    ],
)
def test_a_broken_handshake_is_repeated_and_a_wrong_certificate_is_not(
    text: str, kind: type[StorageError], hint: str
) -> None:
    error = _from_tls(SSLError(endpoint_url="https://rose.example", error=OSError(text)), "read x")

    assert type(error) is kind
    assert hint in str(error)
