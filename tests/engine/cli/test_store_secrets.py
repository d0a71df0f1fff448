"""Secrets around a store stay out of what is printed and reported."""

import json
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Becalm
from tests.engine.storage.certificates import Authority
from tests.engine.storage.http_server import Answer, Request, refusal, serving_http
from tests.engine.storage.s3_server import hide_credentials

pytestmark = pytest.mark.s3
SECRET = "s3cr3t-of-somebody"


class TestSecrets:
    """Whatever fails, and wherever a secret stands: nothing of it is printed or reported."""

    @pytest.fixture(autouse=True)
    def secrets_everywhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hide_credentials(monkeypatch)
        (tmp_path / "token").write_text(SECRET)
        (tmp_path / "credentials").write_text(
            f"[default]\naws_access_key_id = AKID\naws_secret_access_key = {SECRET}\naws_session_token = {SECRET}\n"
        )
        values = {
            "AWS_ACCESS_KEY_ID": "AKID",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": SECRET,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": SECRET,
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    def expect_silence(self, becalm: Becalm, location: str, *flags: str, **environment: str) -> str:
        result = becalm(
            "backup",
            "--retry-store=0s",
            *flags,
            "/nowhere",
            RESTIC_REPOSITORY=location,
            **{
                "RESTIC_PASSWORD": SECRET,
                "RESTIC_FROM_PASSWORD": SECRET,
                "RESTIC_AWS_ASSUME_ROLE_EXTERNAL_ID": SECRET,
                **environment,
            },
        )
        assert result.status == 1
        assert result.err.startswith("Fatal: ")
        said = result.out + result.err + json.dumps(result.report)
        assert SECRET not in said
        assert "Traceback" not in said
        return result.err

    @pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidToken", "InvalidAccessKeyId"])
    def test_refused_credentials(self, becalm: Becalm, code: str) -> None:
        with serving_http(lambda _: refusal(403, code, "no")) as server:
            assert code in self.expect_silence(becalm, f"s3:{server.url}/bucket")

    def test_a_server_that_repeats_what_it_was_given(self, becalm: Becalm) -> None:
        def repeat(request: Request) -> Answer:
            return refusal(400, "InvalidToken", f"what is {request.headers['x-amz-security-token']}?")

        with serving_http(repeat) as server:
            assert "InvalidToken" in self.expect_silence(becalm, f"s3:{server.url}/bucket")

    @pytest.mark.parametrize("flaw", ["\n", "\r"])
    @pytest.mark.parametrize("variable", ["AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"])
    def test_credentials_that_no_request_can_hold(
        self, becalm: Becalm, monkeypatch: pytest.MonkeyPatch, variable: str, flaw: str
    ) -> None:
        monkeypatch.setenv(variable, f"{SECRET}{flaw}")
        with serving_http(lambda _: Answer(404)) as server:
            self.expect_silence(becalm, f"s3:{server.url}/bucket")

        assert server.requests == []

    def test_an_authority_that_is_not_known(self, becalm: Becalm, tmp_path: Path) -> None:
        authority = Authority(tmp_path / "authority")
        with serving_http(lambda _: Answer(), tls=authority.server_context(authority.issue("s"))) as server:
            assert "--cacert" in self.expect_silence(becalm, f"s3:{server.url}/bucket")

    @pytest.mark.parametrize("variable", ["RESTIC_CACERT", "RESTIC_TLS_CLIENT_CERT"])
    def test_a_file_with_another_secret_in_the_place_of_a_certificate(
        self, becalm: Becalm, tmp_path: Path, variable: str
    ) -> None:
        said = self.expect_silence(
            becalm, "s3:https://rose.example/bucket", **{variable: str(tmp_path / "token")}
        )

        assert "token" in said

    def test_a_sealed_key_of_a_client(self, becalm: Becalm, tmp_path: Path) -> None:
        file = Authority(tmp_path / "authority").issue("client", passphrase=SECRET.encode())

        self.expect_silence(becalm, "s3:https://rose.example/bucket", RESTIC_TLS_CLIENT_CERT=str(file))

    def test_a_role_that_is_refused(self, becalm: Becalm) -> None:
        with serving_http(lambda _: refusal(403, "AccessDenied", "not you")) as server:
            said = self.expect_silence(
                becalm,
                f"s3:{server.url}/bucket",
                RESTIC_AWS_ASSUME_ROLE_ARN="arn:aws:iam::1:role/backup",
                RESTIC_AWS_ASSUME_ROLE_STS_ENDPOINT=server.url,
            )
            assert "role could not be assumed" in said

    def test_a_policy_that_is_no_json(self, becalm: Becalm) -> None:
        self.expect_silence(
            becalm,
            "s3:https://rose.example/bucket",
            RESTIC_AWS_ASSUME_ROLE_ARN="arn:aws:iam::1:role/backup",
            RESTIC_AWS_ASSUME_ROLE_POLICY=SECRET,
        )

    def test_a_program_that_gives_credentials_and_fails(
        self, becalm: Becalm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "config").write_text(
            f"[default]\ncredential_process = sh -c 'echo {SECRET} >&2; exit 1'\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))

        self.expect_silence(becalm, "s3:https://rose.example/bucket")

    def test_a_proxy_with_a_password(self, becalm: Becalm, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", f"http://ann:{SECRET}@127.0.0.1:1")

        self.expect_silence(becalm, "s3:http://rose.example/bucket")

    @pytest.mark.parametrize("port", ["", ":x"])
    def test_a_location_with_a_password(self, becalm: Becalm, port: str) -> None:
        self.expect_silence(becalm, f"s3:https://ann:{SECRET}@rose.example{port}/bucket")

    @pytest.mark.parametrize("flag", ["--limit-upload=fast", "--option=s3.colour=blue"])
    def test_a_flag_that_makes_no_sense(self, becalm: Becalm, flag: str) -> None:
        self.expect_silence(becalm, "s3:https://rose.example/bucket", flag)
