import json
import os
import re
import socket
import threading
import time
from importlib import metadata
from pathlib import Path

import pytest

from becalm_engine.cli import run
from becalm_engine.contract import CaptureReport, CommitPlan, PlannedSnapshot, summary_of
from becalm_engine.errors import StorageUnavailableError
from becalm_engine.format import lock_file
from becalm_engine.format.lock_file import Lock
from becalm_engine.repository.repository import open_repository
from becalm_engine.storage import retry
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from becalm_engine.volume import scan
from tests.engine.cli.conftest import Becalm, locks
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


def hold_lock(repository: Path, *, exclusive: bool) -> None:
    opened = open_repository(LocalStorage(repository), PASSWORD)
    lock = Lock(time.time_ns(), exclusive, "elsewhere", "ann", 7)
    opened.save_document(FileKind.LOCK, lock_file.encode(lock))


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
    waited, wait = [], threading.Event.wait

    def signalled(event: threading.Event, timeout: float | None = None) -> bool:
        if timeout is None:  # a thread that begins
            return wait(event)
        waited.append(timeout)
        return True

    monkeypatch.setattr(threading.Event, "wait", signalled)

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
    [error] = [json.loads(line) for line in becalm("backup", "--json", source).err.splitlines()]
    assert error == {
        "message_type": "error", "error": {"message": "Permission denied"}, "during": "read", "item": path,
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
    assert "no password" in becalm("snapshots", RESTIC_PASSWORD="").err
    assert "no repository is named" in becalm("snapshots", RESTIC_REPOSITORY="").err


# --- init, backup, snapshots, restore


@pytest.mark.slow
def test_init_makes_a_repository_once(becalm: Becalm, tmp_path: Path) -> None:
    first = becalm("init", "--json", "--repo", tmp_path / "new")
    second = becalm("init", "--repo", tmp_path / "new")

    [message] = first.messages
    assert (message["message_type"], message["repository"]) == ("initialized", str(tmp_path / "new"))
    assert first.report["repository_id"] == message["id"]
    assert second.status == 1
    assert "already exists" in second.err


def test_a_backup_is_listed_and_comes_back(becalm: Becalm, source: Path, tmp_path: Path) -> None:
    backup = becalm("backup", "--host=rose", "--tag=a,b", "--tag=c", source)
    assert re.search(r"Files: +2 new, +0 changed, +0 unmodified", backup.out)
    [_, short] = re.search(r"(snapshot) ([0-9a-f]{8}) saved", backup.out).groups()  # type: ignore[union-attr]  # it is there

    listed = becalm("snapshots").out.splitlines()
    assert listed[0].split() == ["ID", "Time", "Host", "Tags", "Paths", "Size"]
    assert re.fullmatch(
        rf"{short}  [\d-]{{10}} [\d:]{{8}}  rose        a,b,c       {source}  20 B", listed[2]
    )
    assert listed[-1] == "1 snapshots"

    restore = becalm("restore", f"latest:{source}", "--target", tmp_path / "back", "--verify", "--delete")
    assert restore.status == 0
    assert "Summary: Restored 3 files/dirs (20 B) in 0:00\n" in restore.out
    assert (restore.report["files_restored"], restore.report["bytes_restored"]) == (3, 20)
    assert (tmp_path / "back" / "sub" / "other").read_text() == "other content"


def test_json_is_resticss(becalm: Becalm, source: Path, tmp_path: Path) -> None:
    summary = becalm("backup", "--json", "--host=rose", "--tag=t", source).messages[-1]
    assert summary["message_type"] == "summary"
    assert (summary["files_new"], summary["total_files_processed"], summary["total_bytes_processed"]) == (
        2,
        2,
        20,
    )
    assert summary["total_duration"] >= 0

    [[snapshot]] = becalm("snapshots", "--json").messages
    assert snapshot["id"] == summary["snapshot_id"]
    assert snapshot["short_id"] == summary["snapshot_id"][:8]
    assert (snapshot["hostname"], snapshot["tags"], snapshot["paths"]) == ("rose", ["t"], [str(source)])
    assert snapshot["program_version"] == f"becalm {metadata.version('becalm')}"
    [[group]] = becalm("snapshots", "--json", "--group-by=host").messages
    assert group["group_key"] == {"hostname": "rose", "paths": None, "tags": None}
    assert [one["id"] for one in group["snapshots"]] == [snapshot["id"]]

    restored = becalm("restore", "--json", "latest", "--target", tmp_path / "back").messages[-1]
    folders = len((tmp_path / "back" / str(source).lstrip("/") / "sub").relative_to(tmp_path / "back").parts)
    assert restored == {
        "message_type": "summary", "total_files": 2 + folders, "files_restored": 2 + folders,
        "total_bytes": 20, "bytes_restored": 20,
    }  # fmt: skip
    checked = becalm("check", "--json").messages[-1]
    assert (checked["message_type"], checked["num_errors"]) == ("summary", 0)
    failed = becalm("snapshots", "--json", RESTIC_PASSWORD="wrong")
    assert json.loads(failed.err) == {
        "message_type": "exit_error", "code": 12, "message": f"Fatal: {failed.report['error']['message']}",
    }  # fmt: skip


def test_quiet_says_nothing(becalm: Becalm, source: Path) -> None:
    result = becalm("backup", "--quiet", source)

    assert (result.status, result.out, result.err) == (0, "", "")


def test_snapshots_are_filtered_and_shortened(becalm: Becalm, source: Path) -> None:
    for host in ("rose", "lily", "rose"):
        becalm("backup", f"--host={host}", f"--tag={host}", source)

    def hosts(*arguments: str) -> list[str]:
        [listed] = becalm("snapshots", "--json", *arguments).messages
        return [one["hostname"] for one in listed]

    assert hosts() == ["rose", "lily", "rose"]
    assert hosts("--host=lily") == ["lily"]
    assert hosts("--tag=rose") == ["rose", "rose"]
    assert hosts("--latest=1") == ["lily", "rose"]
    assert hosts("--path=/nowhere") == []
    assert becalm("snapshots", "--host=none").err == "no snapshots\n"


def test_an_unchanged_backup_is_skipped_if_wanted(
    becalm: Becalm, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source)  # the folders above change with every report
    becalm("backup", ".")

    summary = becalm("backup", "--skip-if-unchanged", "--json", ".").messages[-1]

    assert "snapshot_id" not in summary
    assert len(becalm("snapshots", "--json").messages[0]) == 1


def test_patterns_come_from_files_too(becalm: Becalm, source: Path, tmp_path: Path) -> None:
    (tmp_path / "patterns").write_text("# comment\n\n*.none\n  file  \n")

    becalm("backup", "--exclude-file", tmp_path / "patterns", source)

    becalm("restore", f"latest:{source}", "--target", tmp_path / "back")
    assert sorted(path.name for path in (tmp_path / "back").rglob("*")) == ["other", "sub"]


def test_the_time_of_a_snapshot_can_be_given(becalm: Becalm, source: Path) -> None:
    becalm("backup", "--time=2020-02-03T04:05:06.5+01:00", source)

    [[snapshot]] = becalm("snapshots", "--json").messages
    assert snapshot["time"] == "2020-02-03T04:05:06.5+01:00"


@pytest.mark.usefixtures("berlin")
def test_a_snapshot_has_the_offset_of_this_zone_at_its_time(becalm: Becalm, source: Path) -> None:
    for day in (28, 29, 30):
        becalm("backup", "--host=node", f"--time=2026-03-{day} 01:30:00", source)
    kept = becalm("forget", "--keep-daily=14", "--dry-run", "--json").messages[0][0]

    [listed] = becalm("snapshots", "--json").messages
    assert [one["time"] for one in listed] == [
        "2026-03-28T01:30:00+01:00",
        "2026-03-29T01:30:00+01:00",
        "2026-03-30T01:30:00+02:00",
    ]
    assert len(kept["keep"]) == 3


@pytest.mark.usefixtures("berlin")
def test_a_snapshot_of_now_has_the_offset_of_this_zone(becalm: Becalm, source: Path) -> None:
    becalm("backup", source)

    [[snapshot]] = becalm("snapshots", "--json").messages
    assert snapshot["time"].endswith(("+01:00", "+02:00"))


def test_the_latest_snapshot_is_so_by_its_instant_whatever_its_zone(becalm: Becalm, source: Path) -> None:
    becalm("backup", "--tag=later", "--time=2026-01-02T00:30:00-05:00", source)
    becalm("backup", "--tag=parentless", "--time=2026-01-02T04:00:00+05:00", source)
    becalm("backup", "--time=2026-01-03T00:00:00Z", source)

    [listed] = becalm("snapshots", "--json").messages
    assert [one.get("tags") for one in listed] == [["parentless"], ["later"], None]
    assert [one.get("parent") for one in listed] == [None, None, listed[1]["id"]]


def test_a_snapshot_may_be_of_the_beginning_of_1970(becalm: Becalm, source: Path) -> None:
    becalm("backup", "--time=1970-01-01T00:00:00Z", source)

    [[snapshot]] = becalm("snapshots", "--json").messages
    assert snapshot["time"] == "1970-01-01T00:00:00Z"


@pytest.mark.usefixtures("berlin")
def test_a_time_outside_the_calendar_is_refused(becalm: Becalm, source: Path) -> None:
    result = becalm("backup", "--time=0001-01-01 00:00:00", source)

    assert (result.status, result.report["error"]["type"]) == (1, "Usage")
    assert "not of the years 1 to 9999" in result.err
    assert becalm("backup", "--time=9999-12-31 23:59:59", source).status == 0
    [[snapshot]] = becalm("snapshots", "--json").messages
    assert snapshot["time"] == "9999-12-31T23:59:59+01:00"


def test_a_subfolder_that_is_a_file_is_refused(becalm: Becalm, source: Path, tmp_path: Path) -> None:
    becalm("backup", source)

    result = becalm("restore", f"latest:{source}/file", "--target", tmp_path / "back")
    missing = becalm("restore", f"latest:{source}/none", "--target", tmp_path / "back")

    assert "is a file; restore its folder with --include" in result.err
    assert "'none' is not there" in missing.err
    assert not (tmp_path / "back").exists()


def test_files_that_could_not_be_restored_are_1_and_in_the_report(
    becalm: Becalm, repository: Path, source: Path, tmp_path: Path
) -> None:
    becalm("backup", source)
    packs = sorted((repository / "data").glob("*/*"), key=lambda path: b"content" in path.read_bytes())
    listed = {path: path.stat().st_size for path in packs}
    data = min(listed, key=lambda path: listed[path])
    data.chmod(0o600)
    data.write_bytes(bytes(listed[data]))

    result = becalm("restore", f"latest:{source}", "--target", tmp_path / "back", "--json")

    assert result.status == 1
    assert result.report["error"]["type"] == "Target"
    assert result.report["problems"]["files not restored"] >= 1
    assert all(json.loads(line)["message_type"] == "error" for line in result.err.splitlines())


def test_check_reports_damage(becalm: Becalm, repository: Path, source: Path) -> None:
    becalm("backup", source)
    pack = next((repository / "data").glob("*/*"))
    pack.unlink()

    result = becalm("check")

    assert result.status == 1
    assert f"error: pack {pack.name} is in the index, but does not exist" in result.err
    assert "the repository contains errors" in result.out
    assert locks(repository) == []


# --- capture and commit


def test_a_capture_and_a_commit_make_the_snapshots_of_a_group(
    becalm: Becalm, source: Path, tmp_path: Path
) -> None:
    captured = becalm("backup", "--capture", "--host=shop", source)
    assert captured.status == 0
    assert f"tree {captured.report['tree']} captured; no snapshot was written" in captured.out
    assert becalm("snapshots", "--json").messages == [[]]

    report = CaptureReport.from_json(json.dumps(captured.report))
    planned = PlannedSnapshot(
        report.tree,
        "shop",
        (str(source),),
        report.started_at,
        ("backup=x",),
        report.parent,
        summary_of(report),
    )
    plan = tmp_path / "plan.json"
    plan.write_text(CommitPlan((planned,)).to_json())
    first, second = becalm("commit", "--plan", plan), becalm("commit", "--plan", plan)

    assert (first.status, second.status) == (0, 0)
    assert first.report == second.report
    assert first.report["kind"] == "commit"
    [[snapshot]] = becalm("snapshots", "--json").messages
    assert first.report["snapshots"] == [snapshot["id"]]
    assert snapshot["summary"]["total_files_processed"] == 2


def test_a_plan_that_is_none_is_refused(becalm: Becalm, tmp_path: Path) -> None:
    for text in ("", "[]", "{}", '{"snapshots":[{}]}', '{"snapshots":[]}'):
        (tmp_path / "plan").write_text(text)
        result = becalm("commit", "--plan", tmp_path / "plan")
        assert (result.status, result.report["kind"]) == (1, "commit")


# --- forget, cat, version


def test_forget_keeps_what_the_policy_keeps(becalm: Becalm, source: Path) -> None:
    for day in (1, 2, 3):
        becalm("backup", "--host=shop", "--tag=schedule=nightly", f"--time=2026-01-0{day} 03:00:00", source)
    becalm("backup", "--host=shop", source)
    flags = ("--host=shop", "--tag=schedule=nightly", "--group-by=host,paths", "--keep-last=1")

    dry = becalm("forget", "--dry-run", *flags)
    assert "2 snapshots would be removed" in dry.out
    result = becalm("forget", "--json", "--keep-daily=1", *flags)

    [[group]] = result.messages
    assert (group["host"], len(group["keep"]), len(group["remove"])) == ("shop", 1, 2)
    assert group["reasons"][0]["matches"][0] == "last snapshot"
    assert (result.report["kept"], result.report["removed"]) == (1, 2)
    assert len(becalm("snapshots", "--json").messages[0]) == 2


def test_cat_config_reports_access(becalm: Becalm) -> None:
    result = becalm("cat", "config")

    document = json.loads(result.out)
    assert document["version"] == 2
    assert result.report == {
        "kind": "access", "exit_code": 0, "error": None, "repository_id": document["id"], "version": 2,
    }  # fmt: skip


def test_cat_prints_what_is_stored(becalm: Becalm, repository: Path, source: Path) -> None:
    becalm("backup", source)
    [[snapshot]] = becalm("snapshots", "--json").messages

    assert json.loads(becalm("cat", "snapshot", snapshot["short_id"]).out)["tree"] == snapshot["tree"]
    assert "nodes" in json.loads(becalm("cat", "tree", snapshot["tree"]).out)
    [index] = [path.name for path in (repository / "index").iterdir()]
    assert "packs" in json.loads(becalm("cat", "index", index).out)
    [key] = [path.name for path in (repository / "keys").iterdir()]
    assert json.loads(becalm("cat", "key", key).out)["kdf"] == "scrypt"


def test_version_names_becalm(becalm: Becalm) -> None:
    assert becalm("version").out.startswith(f"becalm {metadata.version('becalm')} (Python ")
    assert becalm("version", "--json").messages[0]["version"] == metadata.version("becalm")


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
