"""Where requests go, for whom they are signed, and how a bucket is made: as each kind of server wants it."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.errors import StorageDeniedError, StorageError, UsageError
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.location import S3Location, parse_location
from becalm_engine.storage.options import StorageOptions, parse_options
from becalm_engine.storage.s3 import S3Storage
from becalm_engine.storage.s3_client import addressing
from tests.engine.storage.contract import NAME
from tests.engine.storage.http_server import Answer, Request, refusal, serving_http
from tests.engine.storage.s3_clients import opened
from tests.engine.storage.s3_server import S3Server, serving

believing = pytest.mark.usefixtures("some_credentials")


@pytest.mark.parametrize(
    ("location", "lookup", "chosen"),
    [
        ("s3:s3.amazonaws.com/shop", "auto", "virtual"),
        ("s3:s3.amazonaws.com/shop", "path", "path"),
        ("s3:s3.amazonaws.com/shop.example", "auto", "path"),
        ("s3:https://s3.eu-west-1.amazonaws.com/shop", "auto", "virtual"),
        ("s3:https://minio.example:9000/shop", "auto", "path"),
        ("s3:https://minio.example:9000/shop", "dns", "virtual"),
    ],
)
def test_the_bucket_is_named_where_restic_names_it(location: str, lookup: str, chosen: str) -> None:
    parsed = parse_location(location)

    assert isinstance(parsed, S3Location)
    assert addressing(parsed, parse_options({"s3.bucket-lookup": lookup}, {}, StorageOptions())) == chosen


@believing
@pytest.mark.parametrize(
    ("location", "lookup", "url"),
    [
        ("s3:s3.amazonaws.com/shop/a", "auto", "https://shop.s3.amazonaws.com/a/keys/"),
        ("s3:s3.amazonaws.com/shop/a", "path", "https://s3.amazonaws.com/shop/a/keys/"),
        (
            "s3:https://s3.eu-west-1.amazonaws.com/shop/a",
            "auto",
            "https://shop.s3.eu-west-1.amazonaws.com/a/keys/",
        ),
        ("s3:http://minio.example:9000/shop/a", "auto", "http://minio.example:9000/shop/a/keys/"),
        ("s3:http://minio.example:9000/shop/a", "dns", "http://shop.minio.example:9000/a/keys/"),
    ],
)
def test_requests_go_to_the_host_and_path_that_the_location_means(
    location: str, lookup: str, url: str
) -> None:
    sent = []

    def catch(request: Any, **_: object) -> None:
        sent.append(request.url)
        raise ConnectionError("nothing leaves the test")

    parsed = parse_location(location)
    assert isinstance(parsed, S3Location)
    storage = S3Storage(parsed, StorageOptions(bucket_lookup=lookup))
    storage._client.meta.events.register("before-send.s3", catch)
    with pytest.raises(StorageError):
        storage.load(FileKind.KEY, NAME)

    assert sent == [url + NAME]


@pytest.mark.s3
class TestHostNames:
    @pytest.fixture
    def server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
        """A server that knows buckets by their hosts, whose names lead to loopback."""
        resolve: Any = socket.getaddrinfo

        def resolved(host: str, *arguments: Any, **more: Any) -> Any:
            return resolve("127.0.0.1" if host.endswith("s3.test") else host, *arguments, **more)

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        with serving(tmp_path, "--virtual-domain", "s3.test", "--region", "eu-west-1") as server:
            server.log_in(monkeypatch)
            yield server

    def test_a_bucket_may_have_a_host_name(self, server: S3Server) -> None:
        url = f"http://s3.test:{server.port}"
        storage = opened(url, bucket_lookup="dns", region="eu-west-1")

        storage.create()
        storage.save(FileKind.KEY, NAME, b"key")

        assert (server.folder / "bucket/a/keys" / NAME).read_bytes() == b"key"
        assert [stored.name for stored in storage.list(FileKind.KEY)] == [NAME]

    def test_the_region_may_come_from_the_environment(self, server: S3Server) -> None:
        environment = {"AWS_DEFAULT_REGION": "eu-west-1"}
        options = parse_options({}, environment, StorageOptions())

        S3Storage(S3Location(server.url, "region", ""), options).create()

        assert (server.folder / "region").is_dir()

    def test_a_wrong_region_is_set_right_by_what_the_server_says(self, server: S3Server) -> None:
        opened(server.url, region="eu-west-1").create()
        storage = opened(server.url, region="us-west-7")

        storage.save(FileKind.KEY, NAME, b"key")

        assert storage.load(FileKind.KEY, NAME) == b"key"


@believing
@pytest.mark.parametrize(
    ("region", "constraint"),
    [("", b""), ("us-east-1", b""), ("eu-west-1", b"eu-west-1"), ("garage", b"garage")],
)
def test_a_bucket_is_made_in_the_region_that_was_named(region: str, constraint: bytes) -> None:
    def respond(request: Request) -> Answer:
        return Answer(404) if request.method == "HEAD" else Answer()

    with serving_http(respond) as server:
        opened(server.url, region=region).create()

    (made,) = server.asked("PUT")
    assert made.path == "/bucket"
    expected = b"<LocationConstraint>" + constraint + b"</LocationConstraint>" if constraint else b""
    assert made.body.count(b"LocationConstraint") == (2 if constraint else 0)
    assert expected in made.body
    assert made.signed_for[2] == (region or "us-east-1")


@believing
def test_a_bucket_that_is_there_is_not_made_again() -> None:
    with serving_http(lambda _: Answer()) as server:
        opened(server.url).create()

    assert [one.method for one in server.requests] == ["HEAD"]


@believing
def test_a_bucket_that_another_run_has_just_made_is_ours() -> None:
    def respond(request: Request) -> Answer:
        return Answer(404) if request.method == "HEAD" else refusal(409, "BucketAlreadyOwnedByYou")

    with serving_http(respond) as server:
        opened(server.url).create()

    assert [one.method for one in server.requests] == ["HEAD", "PUT"]


@believing
def test_a_bucket_of_somebody_else_is_not() -> None:
    def respond(request: Request) -> Answer:
        return Answer(404) if request.method == "HEAD" else refusal(409, "BucketAlreadyExists")

    with serving_http(respond) as server, pytest.raises(StorageError, match="BucketAlreadyExists"):
        opened(server.url).create()


@believing
def test_credentials_that_may_not_look_at_the_bucket_may_use_it() -> None:
    def respond(request: Request) -> Answer:
        return Answer(403) if request.path == "/bucket" else Answer()

    with serving_http(respond) as server:
        storage = opened(server.url)
        storage.create()
        storage.save(FileKind.KEY, NAME, b"key")

    assert [one.method for one in server.requests] == ["HEAD", "PUT"]


@believing
def test_credentials_that_may_make_no_bucket_are_told_so() -> None:
    def respond(request: Request) -> Answer:
        return Answer(404) if request.method == "HEAD" else refusal(403, "AccessDenied")

    with serving_http(respond) as server, pytest.raises(StorageDeniedError, match="create bucket bucket"):
        opened(server.url).create()


@believing
def test_a_server_that_names_another_region_is_asked_again_for_that_one() -> None:
    """Garage, and AWS where no region was named."""

    def respond(request: Request) -> Answer:
        if request.signed_for[2] != "garage":
            return refusal(400, "AuthorizationHeaderMalformed", more="<Region>garage</Region>")
        return Answer(200, b"key")

    with serving_http(respond) as server:
        assert opened(server.url).load(FileKind.KEY, NAME) == b"key"

    assert [one.signed_for[2] for one in server.requests] == ["us-east-1", "garage"]


@believing
@pytest.mark.parametrize("there", [True, False])
def test_a_bucket_of_another_region_is_found_or_made_though_the_first_answer_says_nothing(
    there: bool,
) -> None:
    """Garage: an answer to HEAD has no body, and the region is named in no header."""

    def respond(request: Request) -> Answer:
        if request.signed_for[2] != "garage":
            body = refusal(400, "AuthorizationHeaderMalformed", more="<Region>garage</Region>")
            return Answer(400) if request.method == "HEAD" else body
        if request.method == "GET" and not there:
            return refusal(404, "NoSuchBucket")
        return Answer(200, b"<ListBucketResult></ListBucketResult>" if request.method == "GET" else b"")

    with serving_http(respond) as server:
        opened(server.url).create()

    asked = [(one.method, one.signed_for[2]) for one in server.requests]
    looked = [("HEAD", "us-east-1"), ("GET", "us-east-1"), ("GET", "garage")]
    assert asked == (looked if there else [*looked, ("PUT", "garage")])


@believing
def test_a_save_that_was_sent_to_another_region_is_whole() -> None:
    def respond(request: Request) -> Answer:
        if request.signed_for[2] != "garage":
            return refusal(400, "AuthorizationHeaderMalformed", more="<Region>garage</Region>")
        return Answer()

    with serving_http(respond) as server:
        opened(server.url).save(FileKind.PACK, NAME, b"pack" * 100_000)

    assert [one.body for one in server.requests] == [b"pack" * 100_000] * 2


@believing
def test_an_old_server_is_listed_the_old_way() -> None:
    page = (
        b"<ListBucketResult><IsTruncated>%s</IsTruncated><Contents><Key>a/keys/%s</Key><Size>1</Size></Contents>"
        b"</ListBucketResult>"
    )
    other = "cd" * 32

    def respond(request: Request) -> Answer:
        assert "list-type" not in request.target
        first = "marker" not in request.target
        name = NAME if first else other
        return Answer(200, page % (b"true" if first else b"false", name.encode()))

    with serving_http(respond) as server:
        listed = [stored.name for stored in opened(server.url, list_objects_v1=True).list(FileKind.KEY)]

    assert listed == [NAME, other]


def test_anonymous_requests_carry_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with serving_http(lambda _: Answer(200, b"key")) as server:
        assert opened(server.url, anonymous=True).load(FileKind.KEY, NAME) == b"key"

    assert "authorization" not in server.requests[0].headers


@believing
def test_a_bucket_that_no_server_would_have_is_refused_early() -> None:
    with pytest.raises((StorageError, UsageError), match="Bucket"):
        S3Storage(S3Location("http://127.0.0.1:1", "no bucket", ""), StorageOptions()).load(
            FileKind.KEY, NAME
        )
