"""Whole commands on S3 as people have it: locked, append-only, behind proxies, with secrets around."""

import base64
import hashlib
import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from becalm_engine.repository.repository import initialise, open_repository
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import StorageOptions
from becalm_engine.storage.s3 import S3Storage
from tests.engine.cli.conftest import Becalm
from tests.engine.repository.repositories import CHEAP, PASSWORD
from tests.engine.storage.http_server import Answer, HttpServer, Request, forwarding, refusal, serving_http
from tests.engine.storage.s3_server import S3Server, serving, use_credentials

pytestmark = pytest.mark.s3
numbers = itertools.count()
STORAGE_CLASS = ("--option=s3.storage-class=STANDARD_IA",)
DOCUMENTS = ("config", "keys", "locks", "index", "snapshots")


def client_of(server: S3Server) -> Any:
    """Return a client with the rights of the server's root."""
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )


def make(url: str, bucket: str, password: str = PASSWORD) -> str:
    """Make a repository with a cheap key; return its location."""
    storage = S3Storage(S3Location(url, bucket, "shop"), StorageOptions())
    initialise(storage, password, cost=CHEAP)
    return f"s3:{url}/{bucket}/shop"


@pytest.fixture
def proxied(s3: S3Server) -> Iterator[HttpServer]:
    """A proxy before the server, that keeps the requests."""
    with serving_http(forwarding(s3.url)) as proxy:
        yield proxy


def run_all(becalm: Becalm, location: str, source: Path) -> None:
    """Run what writes each kind of file, and what removes some."""
    for content in ("first", "second"):
        (source / "file").write_text(content)
        assert becalm("backup", source, *STORAGE_CLASS, RESTIC_REPOSITORY=location).status == 0
    forgotten = becalm(
        "forget", "--keep-last=1", "--prune", "--max-unused=0", *STORAGE_CLASS, RESTIC_REPOSITORY=location
    )
    assert forgotten.status == 0
    assert becalm("check", "--read-data", RESTIC_REPOSITORY=location).status == 0


@pytest.mark.slow
def test_only_packs_get_the_storage_class(becalm: Becalm, proxied: HttpServer, source: Path) -> None:
    location = f"s3:{proxied.url}/classes/shop"
    assert becalm("init", *STORAGE_CLASS, RESTIC_REPOSITORY=location).status == 0

    run_all(becalm, location, source)

    assert proxied.asked("PUT", "data")
    for pack in proxied.asked("PUT", "data"):
        assert pack.headers["x-amz-storage-class"] == "STANDARD_IA"
    for kind in DOCUMENTS:
        assert proxied.asked("PUT", kind), kind
        for document in proxied.asked("PUT", kind):
            assert "x-amz-storage-class" not in document.headers


@pytest.fixture(scope="module")
def running_versioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("versioned")
    (folder / "versions").mkdir()
    with serving(folder, posix_flags=("--versioning-dir", str(folder / "versions"))) as server:
        yield server


@pytest.mark.slow
class TestObjectLock:
    @pytest.fixture
    def versioned(self, running_versioned: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
        """A server that keeps old versions."""
        running_versioned.log_in(monkeypatch)
        return running_versioned

    def bucket(self, server: S3Server, name: str) -> str:
        """Make a bucket that keeps everything for a day."""
        client = client_of(server)
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        retention = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        client.put_object_lock_configuration(
            Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention}
        )
        return name

    def test_all_that_is_written_has_the_checksum_that_a_locked_bucket_wants(
        self, becalm: Becalm, versioned: S3Server, source: Path
    ) -> None:
        """AWS refuses what has none; the proxy does it for a server that takes all."""

        def refuse(request: Request) -> Answer | None:
            digest = base64.b64encode(hashlib.md5(request.body).digest()).decode()
            if request.method == "PUT" and request.headers.get("content-md5") != digest:
                return refusal(
                    400, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required"
                )
            return None

        bucket = self.bucket(versioned, "locked")
        with serving_http(forwarding(versioned.url, refuse)) as proxy:
            run_all(becalm, make(proxy.url, bucket), source)

        assert {request.kind for request in proxy.asked("PUT")} == {*DOCUMENTS, "data"}
        versions = client_of(versioned).list_object_versions(Bucket=bucket)
        assert versions["DeleteMarkers"]  # what was forgotten is still there below

    def test_what_may_not_be_deleted_yet_is_said(self, becalm: Becalm, s3: S3Server, source: Path) -> None:
        """A server without versions refuses to delete."""
        client = client_of(s3)
        client.create_bucket(Bucket="retained", ObjectLockEnabledForBucket=True)
        location = make(s3.url, "retained")
        for _ in range(2):
            assert becalm("backup", source, RESTIC_REPOSITORY=location).status == 0
        stored = client.list_objects_v2(Bucket="retained", Prefix="shop/snapshots/")["Contents"]
        until = datetime.now(UTC) + timedelta(days=1)
        for entry in stored:
            client.put_object_retention(
                Bucket="retained",
                Key=entry["Key"],
                Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until},
            )

        result = becalm("forget", "--keep-last=1", RESTIC_REPOSITORY=location)

        assert result.status == 3
        assert "cannot delete shop/snapshots/" in result.err
        assert "object lock" in result.err
        assert "under retention" in result.err
        assert (result.report["error"]["type"], result.report["error"]["retryable"]) == (
            "StorageDenied",
            False,
        )
        left = client.list_objects_v2(Bucket="retained", Prefix="shop/snapshots/")["Contents"]
        assert [entry["Key"] for entry in left] == [entry["Key"] for entry in stored]


@pytest.fixture(scope="module")
def running_with_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that has a user with few rights."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "iam").mkdir()
    with serving(folder, "--iam-dir", str(folder / "iam")) as server:
        server.admin("create-user", "--access", "writer", "--secret", "writer-secret", "--role", "user")
        yield server


def policy(bucket: str) -> str:
    """Return a policy that lets the user add, and delete locks."""

    def allow(resource: str, *actions: str) -> dict[str, Any]:
        return {
            "Effect": "Allow",
            "Principal": {"AWS": ["writer"]},
            "Action": [f"s3:{action}" for action in actions],
            "Resource": f"arn:aws:s3:::{bucket}{resource}",
        }

    statements = [
        allow("", "ListBucket"),
        allow("/*", "GetObject", "PutObject"),
        allow("/*/locks/*", "DeleteObject"),
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class NoChanges:
    """Refuses to delete, but for locks, and also to overwrite, which no policy can."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, request: Request) -> Answer | None:
        overwrites = request.method == "PUT" and request.path in self._seen
        if request.method == "PUT":
            self._seen.add(request.path)
        removes = request.method == "DELETE" and request.kind != "locks"
        return refusal(403, "AccessDenied", "append only") if overwrites or removes else None


@pytest.mark.slow
class TestAppendOnly:
    """Credentials that may read, write, and delete nothing but locks."""

    @pytest.fixture(params=["policy", "proxy"])
    def location(
        self,
        request: pytest.FixtureRequest,
        running_with_users: S3Server,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[str]:
        bucket = f"append-only-{next(numbers)}"
        client = client_of(running_with_users)
        client.create_bucket(Bucket=bucket)
        if request.param == "policy":
            client.put_bucket_policy(Bucket=bucket, Policy=policy(bucket))
            use_credentials(monkeypatch, "writer", "writer-secret")
            yield make(running_with_users.url, bucket)
        else:
            running_with_users.log_in(monkeypatch)
            with serving_http(forwarding(running_with_users.url, NoChanges())) as proxy:
                yield make(proxy.url, bucket)

    def test_they_suffice_for_everything_that_only_adds(
        self, becalm: Becalm, location: str, source: Path, tmp_path: Path
    ) -> None:
        for content in ("first", "second"):
            (source / "file").write_text(content)
            assert becalm("backup", source, RESTIC_REPOSITORY=location).status == 0

        assert becalm("check", "--read-data", RESTIC_REPOSITORY=location).status == 0
        restored = becalm("restore", "latest", f"--target={tmp_path / 'out'}", RESTIC_REPOSITORY=location)
        assert restored.status == 0
        assert (tmp_path / "out" / source.relative_to("/") / "file").read_text() == "second"
        assert becalm("list", "locks", "--no-lock", RESTIC_REPOSITORY=location).out == ""

    @pytest.mark.parametrize(
        "command", [("forget", "--keep-last=1"), ("forget", "--keep-last=1", "--prune")], ids=" ".join
    )
    def test_what_removes_something_fails_and_says_why(
        self, becalm: Becalm, location: str, source: Path, command: tuple[str, ...]
    ) -> None:
        for _ in range(2):
            assert becalm("backup", source, RESTIC_REPOSITORY=location).status == 0

        result = becalm(*command, RESTIC_REPOSITORY=location)

        assert result.status == 3
        assert "cannot delete shop/snapshots/" in result.err
        assert "AccessDenied" in result.err
        assert "may not delete" in result.err
        assert (result.report["error"]["type"], result.report["error"]["retryable"]) == (
            "StorageDenied",
            False,
        )
        left = becalm("snapshots", "--json", RESTIC_REPOSITORY=location)
        assert len(json.loads(left.out)) == 2
        assert becalm("list", "locks", "--no-lock", RESTIC_REPOSITORY=location).out == ""


class Together:
    """Lets two requests of a kind go on only when both are there: neither sees what the other does then."""

    def __init__(self) -> None:
        self._looking = threading.Barrier(2)
        self._writing = threading.Barrier(2)

    def __call__(self, request: Request) -> Answer | None:
        if request.method == "GET" and "prefix=shop%2Fkeys" in request.target:
            self._meet(self._looking)
        if request.method == "PUT" and request.kind == "config":
            self._meet(self._writing)
        return None

    def _meet(self, barrier: threading.Barrier) -> None:
        try:
            barrier.wait(30)
        except threading.BrokenBarrierError:
            return  # only one came: the test will see it


@pytest.mark.slow
def test_of_two_who_make_a_repository_at_the_same_moment_one_does(s3: S3Server, becalm: Becalm) -> None:
    client_of(s3).create_bucket(Bucket="raced")
    passwords = ("first's password", "second's password")
    with serving_http(forwarding(s3.url, Together())) as proxy:
        location = f"s3:{proxy.url}/raced/shop"
        runs = [start(location, password) for password in passwords]
        ends = [(run.wait(), run.communicate()[1].decode()) for run in runs]

    assert len(proxy.asked("PUT", "config")) == 2  # so it was a race
    assert sorted(status for status, _ in ends) == [0, 1]
    winner = 0 if ends[0][0] == 0 else 1
    assert "shop/config already exists in bucket raced" in ends[1 - winner][1]
    storage = S3Storage(S3Location(s3.url, "raced", "shop"), StorageOptions())
    assert open_repository(storage, passwords[winner]).config.version == 2
    direct = f"s3:{s3.url}/raced/shop"
    assert becalm("check", RESTIC_REPOSITORY=direct, RESTIC_PASSWORD=passwords[winner]).status == 0
    assert (
        becalm("list", "keys", RESTIC_REPOSITORY=direct, RESTIC_PASSWORD=passwords[winner]).out.count("\n")
        == 1
    )
    assert becalm("snapshots", RESTIC_REPOSITORY=direct, RESTIC_PASSWORD=passwords[1 - winner]).status == 12


def start(location: str, password: str) -> "subprocess.Popen[bytes]":
    program = "from becalm_engine.cli import main; main()"
    environment = {**os.environ, "RESTIC_REPOSITORY": location, "RESTIC_PASSWORD": password}
    return subprocess.Popen(
        [sys.executable, "-c", program, "init"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_total_time_of_retries_may_be_said(becalm: Becalm, some_credentials: object) -> None:
    with serving_http(lambda _: refusal(503, "SlowDown")) as server:
        result = becalm("snapshots", "--retry-store=0s", RESTIC_REPOSITORY=f"s3:{server.url}/bucket")

    assert result.status == 1
    assert (result.report["error"]["type"], result.report["error"]["retryable"]) == (
        "StorageUnavailable",
        True,
    )
    assert len(server.requests) == 1


def test_a_stuck_request_is_given_up_when_it_was_said(becalm: Becalm, some_credentials: object) -> None:
    flags = ("--retry-store=0s", "--stuck-request-timeout=0.2s")
    with serving_http(lambda _: Answer(silent=True)) as server:
        result = becalm("snapshots", *flags, RESTIC_REPOSITORY=f"s3:{server.url}/bucket")

    assert result.status == 1
    assert "timeout" in result.err.lower()


@pytest.mark.parametrize(
    "flag", ["--stuck-request-timeout=0s", "--stuck-request-timeout=5", "--retry-store=x"]
)
def test_a_time_that_makes_no_sense_is_refused(becalm: Becalm, flag: str) -> None:
    assert becalm("snapshots", flag).status == 1


def test_limits_are_kept_by_whole_commands(
    becalm: Becalm, repository: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte that comes into the repository was asked for."""
    from becalm_engine.storage.limits import Limit  # noqa: PLC0415  what is replaced

    taken: list[int] = []

    def take(self: Limit, count: int, *, breakable: bool = False) -> None:
        if self:
            taken.append(count)

    monkeypatch.setattr(Limit, "take", take)
    before = stored_bytes(repository)
    (source / "large").write_bytes(os.urandom(300_000))

    assert becalm("backup", "--limit-upload=1000", source).status == 0

    assert stored_bytes(repository) - before > 300_000
    assert sum(taken) >= stored_bytes(repository) - before  # and the lock, which is gone


def stored_bytes(repository: Path) -> int:
    return sum(path.stat().st_size for path in repository.rglob("*") if path.is_file())
