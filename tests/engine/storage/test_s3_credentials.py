"""Whose credentials sign: the environment's, a session's, a role's, the machine's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.errors import StorageDeniedError, StorageUnavailableError, UsageError
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.location import S3Location
from becalm_engine.storage.options import AssumedRole, StorageOptions
from becalm_engine.storage.s3 import S3Storage
from tests.engine.storage.contract import NAME
from tests.engine.storage.http_server import Answer, HttpServer, refusal, serving_http
from tests.engine.storage.identity import MetadataServer, StsServer
from tests.engine.storage.s3_server import hide_credentials, use_credentials

ARN = "arn:aws:iam::123456789012:role/backup"


@pytest.fixture
def store() -> Iterator[HttpServer]:
    """A store that believes everybody."""
    with serving_http(lambda _: Answer(200, b"key")) as server:
        yield server


def load(store: HttpServer, **options: Any) -> S3Storage:
    storage = S3Storage(S3Location(store.url, "bucket", ""), StorageOptions(**options))
    assert storage.load(FileKind.KEY, NAME) == b"key"
    return storage


def signers(store: HttpServer) -> list[str]:
    return [request.signed_for[0] for request in store.requests]


def test_a_session_s_token_goes_with_each_request(store: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    use_credentials(monkeypatch, "ASIASESSION", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token of the session")

    load(store)

    assert signers(store) == ["ASIASESSION"]
    assert store.requests[0].headers["x-amz-security-token"] == "token of the session"


def test_a_profile_may_hold_them(store: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_credentials(monkeypatch)
    file = tmp_path / "credentials"
    file.write_text("[backup]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_PROFILE", "backup")

    load(store)

    assert signers(store) == ["AKIDPROFILE"]


def test_a_service_account_s_token_is_changed_for_a_role(
    store: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_credentials(monkeypatch)
    (tmp_path / "token").write_text("web identity")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ARN)
    sts = StsServer()
    with serving_http(sts) as identity:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", identity.url)
        load(store)

    (asked,) = sts.asked
    assert (asked["Action"], asked["RoleArn"], asked["WebIdentityToken"], asked["signed by"]) == (
        "AssumeRoleWithWebIdentity",
        ARN,
        "web identity",
        "",
    )
    assert signers(store) == ["AKIDROLE1"]
    assert store.requests[0].headers["x-amz-security-token"] == "token 1"


def test_a_service_account_s_token_is_read_anew_before_the_role_expires(
    store: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubernetes changes the file while a mover runs."""
    hide_credentials(monkeypatch)
    (tmp_path / "token").write_text("first")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", ARN)
    sts = StsServer(seconds=300)
    with serving_http(sts) as identity:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", identity.url)
        storage = load(store)
        (tmp_path / "token").write_text("second")
        storage.load(FileKind.KEY, NAME)

    assert sts.asked[0]["WebIdentityToken"] == "first"
    assert sts.asked[-1]["WebIdentityToken"] == "second"
    assert signers(store)[-1] == f"AKIDROLE{len(sts.asked)}"


def test_an_instance_has_a_role(store: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_credentials(monkeypatch)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with serving_http(MetadataServer()) as metadata:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        load(store)

    assert signers(store) == ["AKIDHERE1"]
    assert store.requests[0].headers["x-amz-security-token"] == "instance's token"


def test_a_container_has_a_role(store: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_credentials(monkeypatch)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container token")
    with serving_http(MetadataServer()) as metadata:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{metadata.url}/container")
        load(store)

    assert signers(store) == ["AKIDHERE1"]


def test_a_role_is_taken_on_with_what_was_found(store: HttpServer, some_credentials: tuple[str, str]) -> None:
    sts = StsServer()
    with serving_http(sts) as identity:
        role = AssumedRole(ARN, "night", "shop", '{"Statement": []}', "eu-west-1", identity.url)
        storage = load(store, role=role)
        storage.load(FileKind.KEY, NAME)

    (asked,) = sts.asked  # and not for each request
    assert asked["signed by"] == some_credentials[0]
    assert (asked["RoleArn"], asked["RoleSessionName"], asked["ExternalId"], asked["Policy"]) == (
        ARN,
        "night",
        "shop",
        '{"Statement": []}',
    )
    assert identity.requests[0].signed_for[2:] == ["eu-west-1", "sts"]
    assert signers(store) == ["AKIDROLE1"] * 2


def test_a_role_needs_no_more_than_its_name(store: HttpServer, some_credentials: tuple[str, str]) -> None:
    sts = StsServer()
    with serving_http(sts) as identity:
        load(store, role=AssumedRole(ARN, sts_endpoint=identity.url), region="eu-west-1")

    assert sts.asked[0]["RoleSessionName"] == "becalm"
    assert not {"ExternalId", "Policy"} & set(sts.asked[0])
    assert identity.requests[0].signed_for[2] == "eu-west-1"


def test_a_role_is_taken_on_again_before_it_expires(
    store: HttpServer, some_credentials: tuple[str, str]
) -> None:
    sts = StsServer(seconds=300)
    with serving_http(sts) as identity:
        storage = load(store, role=AssumedRole(ARN, sts_endpoint=identity.url))
        storage.load(FileKind.KEY, NAME)

    assert len(sts.asked) >= 2
    assert signers(store)[-1] == f"AKIDROLE{len(sts.asked)}"
    assert signers(store)[0] != signers(store)[-1]


def test_a_machine_s_role_may_take_on_another(store: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_credentials(monkeypatch)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container token")
    sts = StsServer()
    with serving_http(MetadataServer()) as metadata, serving_http(sts) as identity:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{metadata.url}/container")
        load(store, role=AssumedRole(ARN, sts_endpoint=identity.url))

    assert sts.asked[0]["signed by"] == "AKIDHERE1"
    assert signers(store) == ["AKIDROLE1"]


def failing(store: HttpServer, **options: Any) -> S3Storage:
    storage = S3Storage(S3Location(store.url, "bucket", ""), StorageOptions(**options))
    storage.load(FileKind.KEY, NAME)
    return storage


def test_a_role_that_is_refused_is_denied(store: HttpServer, some_credentials: tuple[str, str]) -> None:
    no = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not for you</Message></Error></ErrorResponse>"
    with (
        serving_http(lambda _: Answer(403, no.encode())) as identity,
        pytest.raises(StorageDeniedError, match="role could not be assumed: AccessDenied not for you"),
    ):
        failing(store, role=AssumedRole(ARN, sts_endpoint=identity.url))

    assert store.requests == []
    assert len(identity.requests) == 1


def test_a_service_of_roles_that_is_busy_may_be_asked_again(
    store: HttpServer, some_credentials: tuple[str, str]
) -> None:
    with (
        serving_http(lambda _: refusal(503, "ServiceUnavailable")) as identity,
        pytest.raises(StorageUnavailableError, match="role could not be assumed"),
    ):
        failing(store, role=AssumedRole(ARN, sts_endpoint=identity.url))


def test_a_role_without_anybody_to_take_it_on_is_denied(
    store: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_credentials(monkeypatch)

    with pytest.raises(StorageDeniedError, match="no S3 credentials found"):
        failing(store, role=AssumedRole(ARN))


def test_a_policy_that_is_no_json_is_a_mistake_of_the_caller(
    store: HttpServer, some_credentials: tuple[str, str]
) -> None:
    with pytest.raises(UsageError, match="RESTIC_AWS_ASSUME_ROLE_POLICY"):
        failing(store, role=AssumedRole(ARN, policy="allow all"))


def test_half_of_the_credentials_are_none(store: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    use_credentials(monkeypatch, "AKIDHALF", "secret")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(StorageDeniedError, match="AWS_SECRET_ACCESS_KEY"):
        failing(store)


SECRET = "s3cr3t-of-somebody"


def test_a_token_with_a_line_break_is_not_shown_and_not_retried(
    store: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_credentials(monkeypatch, "AKID", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"{SECRET}\n")

    with pytest.raises(StorageDeniedError, match="line break") as raised:
        failing(store)
    assert SECRET not in str(raised.value)


def test_what_a_program_said_that_failed_is_not_shown(
    store: HttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_credentials(monkeypatch)
    file = tmp_path / "config"
    file.write_text(f"[default]\ncredential_process = sh -c 'echo {SECRET} >&2; exit 1'\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))

    with pytest.raises(StorageDeniedError, match="failed") as raised:
        failing(store)
    assert SECRET not in str(raised.value)


def test_what_a_broken_service_said_is_not_shown(store: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_credentials(monkeypatch)
    half = f'{{"SecretAccessKey": "{SECRET}",'.encode()
    with serving_http(lambda _: Answer(200, half)) as metadata:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{metadata.url}/container")
        monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)
        with pytest.raises(StorageDeniedError, match="failed") as raised:
            failing(store)
    assert SECRET not in str(raised.value)
