import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.volume import metadata
from tests.engine.cli.conftest import Becalm
from tests.engine.volume.picture import below


@pytest.fixture
def stored(becalm: Becalm, source: Path) -> str:
    """A snapshot of the source, named by the folder in it."""
    (source / "link").symlink_to("file")
    assert becalm("backup", source).status == 0
    return f"latest:{source}"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--include=other"], {"sub", "sub/other"}),
        (["--iinclude=OTHER"], {"sub", "sub/other"}),
        (["--include-file=patterns"], {"file"}),
        (["--iinclude-file=ipatterns"], {"file"}),
        (["--exclude=sub", "--exclude=link"], {"file"}),
        (["--iexclude=SUB", "--iexclude=Link"], {"file"}),
        (["--exclude-file=patterns"], {"sub", "sub/other", "link"}),
        (["--iexclude-file=ipatterns"], {"sub", "sub/other", "link"}),
        (["--include=sub", "--exclude=other"], {"sub"}),
    ],
)
def test_files_are_chosen_by_patterns(
    becalm: Becalm,
    stored: str,
    tmp_path: Path,
    flags: list[str],
    expected: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patterns").write_text("# a comment\n\nfile\n")
    (tmp_path / "ipatterns").write_text("FILE\n")

    assert becalm("restore", stored, "--target=back", *flags).status == 0
    assert below(tmp_path / "back") == expected


def test_attributes_are_chosen_by_patterns(becalm: Becalm, source: Path, tmp_path: Path) -> None:
    for name in ("user.a", "user.b"):
        os.setxattr(source / "file", name, b"x")
    becalm("backup", source)

    becalm("restore", f"latest:{source}", f"--target={tmp_path / 'one'}", "--exclude-xattr=user.b")
    becalm("restore", f"latest:{source}", f"--target={tmp_path / 'two'}", "--include-xattr=*.b")

    assert os.listxattr(tmp_path / "one" / "file") == ["user.a"]
    assert os.listxattr(tmp_path / "two" / "file") == ["user.b"]


def test_a_dry_run_lists_each_file_and_writes_nothing(becalm: Becalm, stored: str, tmp_path: Path) -> None:
    back = tmp_path / "back"
    becalm("restore", stored, "--target", back)
    (back / "file").write_text("changed")
    (back / "sub" / "other").unlink()
    (back / "extra").touch()
    before = (back / "file").stat().st_mtime_ns

    result = becalm("restore", stored, "--target", back, "--dry-run", "-v", "--delete")

    assert result.out.splitlines()[1:] == [
        f"deleted   {back}/extra",
        "updated   /file with size 7 B",
        "restored  /sub/other with size 13 B",
        "restored  /link",
        "restored  /sub",
        "Summary: Restored 4 files/dirs (20 B) in 0:00, deleted 1 files/dirs",
    ]
    assert ((back / "file").read_text(), below(back)) == ("changed", {"extra", "file", "link", "sub"})
    assert (back / "file").stat().st_mtime_ns == before


def test_json_lists_each_file_as_restic_does(becalm: Becalm, stored: str, tmp_path: Path) -> None:
    result = becalm("restore", stored, "--target", tmp_path / "back", "--json", "-vv")
    again = becalm("restore", stored, "--target", tmp_path / "back", "--json", "-vv", "--overwrite=never")

    lines = [message for message in result.messages if message["message_type"] == "verbose_status"]
    assert {"message_type": "verbose_status", "action": "restored", "item": "/file", "size": 7} in lines
    assert len(lines) == 4
    assert again.messages[-1] == {
        "message_type": "summary", "total_files": 1, "files_restored": 1, "files_skipped": 3, "bytes_skipped": 20,
    }  # fmt: skip


def test_without_being_asked_no_file_is_listed(becalm: Becalm, stored: str, tmp_path: Path) -> None:
    result = becalm("restore", stored, "--target", tmp_path / "back", "-v")

    assert len(result.out.splitlines()) == 2


@pytest.mark.parametrize(
    "flags",
    [["--dry-run", "--verify", "--target=x"], ["--delete", "--target=/"], ["--delete", "--target=/tmp/.."]],
)
def test_what_makes_no_sense_is_refused(becalm: Becalm, stored: str, flags: list[str]) -> None:
    result = becalm("restore", stored, *flags)

    assert result.status == 1
    assert "verif" in result.err or "empty the system" in result.err


@pytest.mark.parametrize(
    ("around", "left_out"), [("repository", "*"), ("", "/repository"), ("link", "/repository")]
)
def test_a_restore_does_not_delete_the_repository_it_reads(
    becalm: Becalm, stored: str, tmp_path: Path, around: str, left_out: str
) -> None:
    """The target is the repository, or a folder above it, by whatever name."""
    (tmp_path / "link").symlink_to(tmp_path)
    target = tmp_path / around

    refused = becalm("restore", stored, "--target", target, "--delete")
    kept = becalm("restore", stored, "--target", target, "--delete", f"--exclude={left_out}")

    assert (refused.status, kept.status) == (1, 0)
    assert "would delete the repository itself" in refused.err
    assert becalm("check").status == 0


@pytest.mark.parametrize("flags", [[], ["--delete"], ["--dry-run"]])
def test_a_target_of_links_that_lead_in_a_circle_is_refused(
    becalm: Becalm, stored: str, tmp_path: Path, flags: list[str]
) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    result = becalm("restore", stored, "--target", tmp_path / "one", *flags)

    assert result.status == 1
    assert "cannot restore into" in result.err
    assert "internal error" not in result.err


@pytest.fixture
def without_times(becalm: Becalm, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot of many files, and a system that refuses to set their times."""
    for number in range(20):
        (source / f"file-{number}").write_text(str(number))
    becalm("backup", source)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)


@pytest.mark.usefixtures("without_times")
def test_metadata_that_cannot_be_set_is_one_line_a_kind_and_a_failure(
    becalm: Becalm, source: Path, tmp_path: Path
) -> None:
    result = becalm("restore", f"latest:{source}", "--target", tmp_path / "back")

    assert result.status == 1
    [line] = result.err.splitlines()
    assert re.fullmatch(
        r"Warning: times could not be set on 24 files, e\.g\. /\S+: Operation not permitted", line
    )
    assert result.report["problems"] == {"times": 24}
    assert result.report["error"]["type"] == "Metadata"


@pytest.mark.usefixtures("without_times")
def test_it_is_no_failure_if_so_asked(becalm: Becalm, source: Path, tmp_path: Path) -> None:
    result = becalm("restore", f"latest:{source}", "--target", tmp_path / "back", "--allow-unset-metadata")

    assert result.status == 0
    assert result.report["problems"] == {"times": 24}


@pytest.mark.usefixtures("without_times")
def test_scripts_hear_of_it_as_well(becalm: Becalm, source: Path, tmp_path: Path) -> None:
    result = becalm("restore", f"latest:{source}", "--target", tmp_path / "back", "--json")

    error, ended = [json.loads(line) for line in result.err.splitlines()]
    assert error["message_type"] == "error"
    assert error["error"]["message"] == "times could not be set on 24 files, here: Operation not permitted"
    assert error["item"].startswith("/")
    assert (ended["message_type"], ended["code"]) == ("exit_error", 1)


def test_owners_that_only_root_may_set_are_excused_as_in_restic(
    becalm: Becalm, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    result = becalm("restore", stored, "--target", tmp_path / "back")

    assert result.status == 0
    assert "Warning: owner could not be set" in result.err


def test_a_dry_run_makes_no_target(becalm: Becalm, stored: str, tmp_path: Path) -> None:
    assert becalm("restore", stored, "--target", tmp_path / "none" / "back", "--dry-run").status == 0

    assert not (tmp_path / "none").exists()


def test_a_signal_is_said_and_is_130(
    becalm: Becalm, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = metadata.set_metadata

    def signalled(*arguments: Any) -> None:
        finish(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("becalm_engine.commands.whole.set_metadata", signalled)

    result = becalm("restore", stored, "--target", tmp_path / "back")

    assert result.status == 130
    assert "Fatal: interrupted; the target is not complete: 0 of 4 files are restored" in result.err


def test_a_full_disk_is_1_and_names_the_file(
    becalm: Becalm, stored: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("becalm_engine.volume.target.write_all", full)

    result = becalm("restore", stored, "--target", tmp_path / "back", "--json")

    assert result.status == 1
    [first, second, ended] = [json.loads(line) for line in result.err.splitlines()]
    assert first["during"] == "restore"
    assert {first["item"], second["item"]} == {"/file", "/sub/other"}
    assert first["error"]["message"] == "No space left on device"
    assert "not restored" in second["error"]["message"]
    assert (ended["message_type"], ended["code"]) == ("exit_error", 1)
