"""Certificates: of authorities that are not the system's, and of clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from becalm_engine.errors import StorageError, UsageError
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.options import AssumedRole
from becalm_engine.storage.s3 import S3Storage
from tests.engine.storage.certificates import Authority
from tests.engine.storage.contract import NAME
from tests.engine.storage.http_server import Answer, HttpServer, serving_http
from tests.engine.storage.identity import StsServer
from tests.engine.storage.s3_clients import opened
from tests.engine.storage.s3_server import S3Server, serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def running(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    file = str(authority.issue("server"))
    with serving(tmp_path_factory.mktemp("tls"), "--cert", file, "--key", file) as server:
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """A real S3 server that speaks TLS."""
    running.log_in(monkeypatch)
    return running


@pytest.fixture
def asking(authority: Authority, some_credentials: object) -> Iterator[HttpServer]:
    """A server that wants a certificate of its clients."""
    context = authority.server_context(authority.issue("asking"), asks_for_client=True)
    with serving_http(lambda _: Answer(200, b"key"), tls=context) as server:
        yield server


def save_and_load(storage: S3Storage) -> bytes:
    storage.create()
    storage.save(FileKind.PACK, NAME, b"pack" * 100_000)
    return storage.load(FileKind.PACK, NAME)


@pytest.mark.s3
def test_an_authority_may_be_named(server: S3Server, authority: Authority) -> None:
    assert save_and_load(opened(server.url, ca_file=str(authority.file))) == b"pack" * 100_000


@pytest.mark.s3
def test_aws_s_variable_names_one_too(
    server: S3Server, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.file))

    assert save_and_load(opened(server.url)) == b"pack" * 100_000


@pytest.mark.s3
def test_the_flag_goes_before_the_variable(
    server: S3Server, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(Authority(tmp_path / "other").file))

    assert save_and_load(opened(server.url, ca_file=str(authority.file))) == b"pack" * 100_000


@pytest.mark.s3
def test_without_it_the_server_is_not_believed_and_nothing_is_retried(server: S3Server) -> None:
    with pytest.raises(StorageError, match="--cacert") as raised:
        opened(server.url).load(FileKind.KEY, NAME)

    assert not raised.value.retryable


@pytest.mark.s3
def test_whoever_says_so_believes_any_certificate(server: S3Server, recwarn: pytest.WarningsRecorder) -> None:
    assert save_and_load(opened(server.url, insecure_tls=True)) == b"pack" * 100_000
    assert len(recwarn) == 0


@pytest.mark.s3
def test_a_server_without_tls_is_told_from_one_with_a_wrong_certificate(
    server: S3Server, s3: S3Server
) -> None:
    with pytest.raises(StorageError, match="http://"):
        opened(s3.url.replace("http:", "https:")).load(FileKind.KEY, NAME)


def test_a_client_may_have_a_certificate(asking: HttpServer, authority: Authority) -> None:
    client = str(authority.issue("client"))

    storage = opened(asking.url, ca_file=str(authority.file), client_cert_file=client)

    assert storage.load(FileKind.KEY, NAME) == b"key"


def test_without_one_the_server_refuses(asking: HttpServer, authority: Authority) -> None:
    with pytest.raises(StorageError):
        opened(asking.url, ca_file=str(authority.file)).load(FileKind.KEY, NAME)

    assert asking.requests == []


def test_the_service_that_gives_out_roles_is_met_with_the_same_certificates(
    authority: Authority, some_credentials: object
) -> None:
    context = authority.server_context(authority.issue("asking"), asks_for_client=True)
    sts = StsServer()
    with serving_http(sts, tls=context) as identity, serving_http(lambda _: Answer(200, b"key")) as store:
        role = AssumedRole("arn:aws:iam::1:role/backup", sts_endpoint=identity.url)
        client = str(authority.issue("client"))
        storage = opened(store.url, ca_file=str(authority.file), client_cert_file=client, role=role)
        assert storage.load(FileKind.KEY, NAME) == b"key"

    assert store.requests[0].signed_for[0] == "AKIDROLE1"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"", "holds no certificates"), (b"no certificate", "holds no certificates")],
)
@pytest.mark.parametrize(
    ("option", "flag"), [("ca_file", "--cacert"), ("client_cert_file", "--tls-client-cert")]
)
def test_a_file_that_holds_no_certificate_is_a_mistake_of_the_caller(
    tmp_path: Path, content: bytes | None, reason: str, option: str, flag: str
) -> None:
    file = tmp_path / "certificate.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(UsageError, match=f"{flag}.* {file}.*") as raised:
        opened("https://rose.example", **{option: str(file)})
    assert reason in str(raised.value)


def test_a_certificate_without_its_key_is_a_mistake_of_the_caller(authority: Authority) -> None:
    with pytest.raises(UsageError, match=r"--tls-client-cert .* or not their key"):
        opened("https://rose.example", client_cert_file=str(authority.file))


def test_nobody_is_asked_for_a_passphrase(authority: Authority) -> None:
    file = authority.issue("sealed", passphrase=b"open sesame")

    with pytest.raises(UsageError, match="without a passphrase"):
        opened("https://rose.example", client_cert_file=str(file))
