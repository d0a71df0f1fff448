"""What people do every day: a repository is made, written to, listed, restored from and tidied up."""

import json
import re
from importlib import metadata
from pathlib import Path

import pytest

from becalm_engine.contract import CaptureReport, CommitPlan, PlannedSnapshot, summary_of
from tests.engine.cli.conftest import Becalm, locks

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


def test_json_is_restics(becalm: Becalm, source: Path, tmp_path: Path) -> None:
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
    *errors, ended = [json.loads(line)["message_type"] for line in result.err.splitlines()]
    assert set(errors) == {"error"}
    assert ended == "exit_error"


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
