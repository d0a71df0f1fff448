import json
import os
import socket
from pathlib import Path

import pytest

from becalm_engine.cli import run
from becalm_engine.contract import CaptureReport
from becalm_engine.errors import StorageUnavailableError
from becalm_engine.signals import SignalEvent
from becalm_engine.storage import retry
from becalm_engine.volume import scan
from tests.engine.cli.conftest import Becalm, hold_lock, locks
from tests.engine.repository.repositories import PASSWORD
from tests.engine.storage.s3_server import S3Server

# --- exit codes and reports


def test_no_repository_is_10(becalm: Becalm, tmp_path: Path) -> None:
    result = becalm("snapshots", "--repo", tmp_path / "nowhere")

    assert result.status == 10
    assert result.err.startswith("Fatal: no repository at")
    assert result.report["error"]["type"] == "RepositoryMissing"
    assert result.report["error"]["retryable"] is False


def test_a_wrong_password_is_12_and_the_report_says_so(becalm: Becalm, source: Path) -> None:
    result = becalm("backup", "--capture", source, RESTIC_PASSWORD="wrong")

    assert result.status == 12
    assert "wrong password" in result.err
    report = CaptureReport.from_json(json.dumps(result.report))
    assert report.exit_code == 12
    assert report.error is not None
    assert report.error.type == "WrongPassword"


def test_a_locked_repository_is_11(becalm: Becalm, repository: Path, source: Path) -> None:
    hold_lock(repository, exclusive=True)

    result = becalm("backup", source)

    assert result.status == 11
    assert "PID 7 on elsewhere" in result.err
    assert (result.report["error"]["type"], result.report["error"]["retryable"]) == ("Locked", True)
    assert len(locks(repository)) == 1


def test_a_signal_ends_waiting_for_a_lock(
    becalm: Becalm, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_lock(repository, exclusive=True)
    waited: list[float | None] = []

    def signalled(_: SignalEvent, timeout: float | None = None) -> bool:
        waited.append(timeout)
        return True

    monkeypatch.setattr(SignalEvent, "wait", signalled)

    result = becalm("snapshots", "--retry-lock=1h")

    assert (result.status, result.report["error"]["type"]) == (130, "Stopped")
    assert waited == [1.0]
    assert len(locks(repository)) == 1


def test_a_lock_of_a_host_that_is_gone_keeps_nobody_out(becalm: Becalm, repository: Path) -> None:
    hold_lock(repository, exclusive=True)

    assert becalm("snapshots", "--gone-host=nowhere").status == 11
    assert becalm("snapshots", "--gone-host=nowhere", "--gone-host=elsewhere").status == 0
    assert locks(repository) == []


def test_unlock_can_be_told_which_hosts_are_gone(becalm: Becalm, repository: Path) -> None:
    hold_lock(repository, exclusive=True)

    assert "removed 0 locks" in becalm("unlock").out
    assert "removed 1 locks" in becalm("unlock", "--gone-host=elsewhere").out


def test_what_only_reads_can_do_without_a_lock(becalm: Becalm, repository: Path) -> None:
    hold_lock(repository, exclusive=True)

    assert becalm("snapshots").status == 11
    assert becalm("snapshots", "--no-lock").status == 0
    assert becalm("check", "--no-lock").status == 0


def test_unlock_removes_locks(becalm: Becalm, repository: Path) -> None:
    hold_lock(repository, exclusive=True)

    assert "removed 0 locks" in becalm("unlock").out
    assert "removed 1 locks" in becalm("unlock", "--remove-all").out
    assert locks(repository) == []


def test_an_unreadable_file_is_3_and_is_listed(
    becalm: Becalm, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = scan.open_file

    def refuse(path: bytes, folder: int | None = None) -> tuple[int, os.stat_result]:
        if path == b"other":
            raise PermissionError(13, "Permission denied")
        return opened(path, folder)

    monkeypatch.setattr("becalm_engine.commands.folder.open_file", refuse)

    result = becalm("backup", source)

    path = str(source / "sub" / "other")
    assert result.status == 3
    assert f"error: {path}: Permission denied" in result.err
    assert "1 files could not be read; the backup is incomplete" in result.err
    assert (result.report["unreadable_count"], result.report["unreadable"]) == (1, [path])
    error, ended = [json.loads(line) for line in becalm("backup", "--json", source).err.splitlines()]
    assert error == {
        "message_type": "error", "error": {"message": "Permission denied"}, "during": "read", "item": path,
    }  # fmt: skip
    assert ended == {
        "message_type": "exit_error", "code": 3, "message": "Warning: at least one source file could not be read",
    }  # fmt: skip


def test_the_name_of_an_unreadable_file_cannot_steer_the_terminal(becalm: Becalm, source: Path) -> None:
    name = source / "a\x1b[2Jb\nFatal: c"

    text, document = becalm("backup", source, name), becalm("backup", "--json", source, name)

    assert text.err.startswith(f'error: "{source}/a\\x1b[2Jb\\nFatal: c": ')
    assert json.loads(document.err.splitlines()[0])["item"] == str(name)


def test_a_bug_leaves_a_report_too(becalm: Becalm, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(run, "list_snapshots", broken)

    result = becalm("snapshots")

    assert result.status == 1
    assert "Traceback" in result.err
    assert "ZeroDivisionError" in result.report["error"]["message"]


def test_a_store_that_is_away_is_retryable_and_interrupted_if_a_signal_came(
    becalm: Becalm, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = False

    def away(session: object, output: object, progress: object) -> None:
        if stopped:
            progress.stop.set()  # type: ignore[attr-defined]  # a command as the entry point sees it
        raise StorageUnavailableError("away")

    monkeypatch.setattr(run, "list_snapshots", away)

    result = becalm("snapshots")
    assert (result.status, result.report["error"]["type"]) == (1, "StorageUnavailable")
    assert result.report["error"]["retryable"] is True
    stopped = True
    result = becalm("snapshots")
    assert (result.status, result.report["error"]["type"]) == (130, "Stopped")


@pytest.mark.parametrize(
    "arguments",
    [
        ["backup"],
        ["backup", "/nowhere/at/all"],
        ["backup", "--stdin", "/etc"],
        ["backup", "--pack-size=1", "/etc/hostname"],
        ["backup", "--compression=most", "/etc/hostname"],
        ["backup", "--time=yesterday", "/etc/hostname"],
        ["backup", "--exclude-file=/nowhere", "/etc/hostname"],
        ["backup", "--exclude-larger-than=x", "/etc/hostname"],
        ["snapshots", "--retry-lock=soon"],
        ["snapshots", "--option=x"],
        ["snapshots", "--option=s3.nonsense=1"],
        ["snapshots", "--password-file=/nowhere"],
        ["snapshots", "--password-command=false"],
        ["snapshots", "--group-by=colour"],
        ["restore", "latest", "--target=/nowhere"],
        ["restore", "00", "--target=/nowhere"],
        ["forget"],
        ["forget", "--keep-last=some"],
        ["forget", "--keep-within=1w"],
        ["cat", "tree"],
        ["cat", "snapshot", "00"],
        ["cat", "tree", "zz"],
        ["commit", "--plan=/nowhere"],
    ],
)
def test_what_makes_no_sense_is_1_with_a_reason(becalm: Becalm, arguments: list[str]) -> None:
    result = becalm(*arguments)

    assert result.status == 1
    assert result.err.startswith("Fatal: ")
    assert result.report["exit_code"] == 1
    assert "internal error" not in result.err


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["snapshots", "--nonsense"], ["restore", "latest"]])
def test_arguments_that_do_not_parse_are_1(becalm: Becalm, arguments: list[str]) -> None:
    assert becalm(*arguments).status == 1


def test_help_is_0(becalm: Becalm) -> None:
    result = becalm("--help")

    assert result.status == 0
    assert "RESTIC_PASSWORD_FILE" in result.out


@pytest.mark.parametrize("variable", ["RESTIC_PACK_SIZE", "RESTIC_COMPRESSION"])
def test_nonsense_in_the_environment_is_1_with_a_reason(becalm: Becalm, source: Path, variable: str) -> None:
    result = becalm("backup", source, **{variable: "nonsense"})

    assert result.status == 1
    assert "nonsense" in result.err


def test_a_report_that_cannot_be_written_changes_nothing_else(becalm: Becalm, tmp_path: Path) -> None:
    result = becalm("snapshots", BECALM_REPORT=str(tmp_path / "no" / "folder"))

    assert result.status == 0
    assert "cannot write the report" in result.err


# --- where the password and the location come from


def test_passwords_and_locations_come_from_files_and_commands(
    becalm: Becalm, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "location").write_text(f"{repository}\n")
    without = {"RESTIC_PASSWORD": "", "RESTIC_REPOSITORY": ""}

    for arguments, environment in (
        (["-r", str(repository), "-p", str(tmp_path / "password")], {}),
        (["--repository-file", str(tmp_path / "location"), "--password-command", f"echo '{PASSWORD}'"], {}),
        ([], {"RESTIC_REPOSITORY_FILE": str(tmp_path / "location"),
              "RESTIC_PASSWORD_FILE": str(tmp_path / "password")}),
    ):  # fmt: skip
        assert becalm("snapshots", *arguments, **{**without, **environment}).status == 0
    assert "no repository is named" in becalm("snapshots", RESTIC_REPOSITORY="").err


# --- S3, as the operator sees it


@pytest.mark.s3
def test_a_bucket_that_is_not_there_is_no_repository(becalm: Becalm, s3: S3Server) -> None:
    result = becalm("cat", "config", RESTIC_REPOSITORY=f"s3:{s3.url}/no-such-bucket/x")

    assert result.status == 10
    assert result.report["error"]["type"] == "RepositoryMissing"
    assert "NoSuchBucket" in result.err


@pytest.mark.s3
def test_credentials_that_are_refused_are_denied(
    becalm: Becalm, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")

    result = becalm("cat", "config", RESTIC_REPOSITORY=f"s3:{s3.url}/bucket/x")

    assert result.status == 1
    assert (result.report["error"]["type"], result.report["error"]["retryable"]) == ("StorageDenied", False)


@pytest.mark.s3
def test_a_store_that_does_not_answer_is_unavailable_and_each_try_is_told(
    becalm: Becalm, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "_FIRST_LIMIT_SECONDS", 2.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        port = taken.getsockname()[1]

        result = becalm("cat", "config", RESTIC_REPOSITORY=f"s3:http://127.0.0.1:{port}/bucket/x")

    assert (result.status, result.report["error"]["type"]) == (1, "StorageUnavailable")
    assert result.report["error"]["retryable"] is True
    assert result.err.count("trying again") >= 1
