import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.commands import backup
from becalm_engine.commands.backup import BackupOptions, Captured
from becalm_engine.repository.repository import Repository
from tests.engine.cli.conftest import Becalm, hold_lock, locks
from tests.engine.repository.repositories import PASSWORD

Started = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def started(repository: Path) -> Started:
    """Start the command line on the repository as a process."""

    def start(*arguments: str | Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-c", "from becalm_engine.cli.entry import main; main()", *arguments],
            env={**os.environ, "RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": PASSWORD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start


def packs(repository: Path) -> set[str]:
    return {path.name for path in (repository / "data").rglob("*") if re.fullmatch("[0-9a-f]{64}", path.name)}


def wait_for_pack(repository: Path) -> None:
    deadline = time.monotonic() + 60
    while not packs(repository):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def listed_packs(becalm: Becalm, repository: Path) -> set[str]:
    names = [path.name for path in (repository / "index").iterdir()]
    texts = [json.loads(becalm("cat", "index", name).out) for name in names]
    return {pack["id"] for text in texts for pack in text["packs"]}


# --- what to read


@pytest.mark.slow
def test_standard_input_is_backed_up(started: Started, becalm: Becalm, tmp_path: Path) -> None:
    process = started("backup", "--stdin", "--stdin-filename=dump")
    process.communicate(b"piped")

    assert process.returncode == 0
    becalm("restore", "latest", "--target", tmp_path / "back")
    assert (tmp_path / "back" / "dump").read_bytes() == b"piped"


def test_what_a_command_prints_is_backed_up(becalm: Becalm, tmp_path: Path) -> None:
    result = becalm(
        "backup", "--stdin-from-command", "--stdin-filename=dump", "--", "sh", "-c", "echo $0", "-x"
    )

    assert result.status == 0
    becalm("restore", "latest", "--target", tmp_path / "back")
    assert (tmp_path / "back" / "dump").read_text() == "-x\n"


@pytest.mark.slow
def test_what_others_write_into_a_named_pipe_is_backed_up(
    started: Started, becalm: Becalm, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    process = started("backup", f"--stdin-from-fifo={tmp_path / 'fifo'}", "--stdin-filename=/dumps/all")
    (tmp_path / "fifo").write_bytes(b"piped")
    process.communicate()

    assert process.returncode == 0
    becalm("restore", "latest", "--target", tmp_path / "back")
    assert (tmp_path / "back" / "dumps" / "all").read_bytes() == b"piped"


@pytest.mark.parametrize("words", [["sh", "-c", "echo partial; exit 7"], ["no-such-command"], []])
def test_a_command_that_fails_leaves_no_snapshot(becalm: Becalm, repository: Path, words: list[str]) -> None:
    result = becalm("backup", "--stdin-from-command", "--", *words)

    assert result.status == 1
    assert result.err.startswith("Fatal: ")
    assert becalm("snapshots", "--json").messages == [[]]
    assert locks(repository) == []


def test_sources_come_from_lists(
    becalm: Becalm, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "#odd *").write_text("odd")
    (tmp_path / "patterns").write_text(f"# a comment\n{source}/f*\n{source}/none*\n")
    (tmp_path / "verbatim").write_text(f"{source}/#odd *\n")
    (tmp_path / "raw").write_bytes(os.fsencode(source / "sub") + b"\0")

    result = becalm(
        "backup", "--files-from", tmp_path / "patterns", "--files-from-verbatim", tmp_path / "verbatim",
        "--files-from-raw", tmp_path / "raw",
    )  # fmt: skip

    assert result.status == 0
    assert f"pattern {source}/none* fits no files" in result.err
    [[snapshot]] = becalm("snapshots", "--json").messages
    assert snapshot["paths"] == [f"{source}/#odd *", f"{source}/file", f"{source}/sub"]


@pytest.mark.slow
def test_a_list_may_come_from_standard_input(started: Started, becalm: Becalm, source: Path) -> None:
    process = started("backup", "--files-from-verbatim=-")
    process.communicate(os.fsencode(source / "file"))

    assert process.returncode == 0
    assert becalm("snapshots", "--json").messages[0][0]["paths"] == [str(source / "file")]


@pytest.mark.parametrize(
    "flags",
    [
        ["--files-from=/nowhere"], ["--files-from-raw=cut"], ["--stdin", "--files-from=cut"],
        ["--stdin", "--stdin-from-command", "true"], ["--stdin-from-fifo=cut"],
        ["--stdin-from-fifo=cut", "/etc/hostname"],
        ["--files-from=empty"], ["--read-concurrency=x", "/etc/hostname"],
        ["--group-by=colour", "/etc/hostname"],
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    becalm: Becalm, tmp_path: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut").write_bytes(b"/etc\0/etc/host")
    (tmp_path / "empty").touch()

    result = becalm("backup", *flags)

    assert (result.status, result.err[:7]) == (1, "Fatal: ")


def test_a_missing_source_is_3_and_none_at_all_is_1(becalm: Becalm, source: Path, tmp_path: Path) -> None:
    some = becalm("backup", source, tmp_path / "nowhere")
    none = becalm("backup", tmp_path / "nowhere", tmp_path / "nor here")

    assert (some.status, none.status) == (3, 1)
    assert f"error: {tmp_path / 'nowhere'}: it does not exist" in some.err
    assert (none.report["error"]["type"], len(becalm("snapshots", "--json").messages[0])) == (
        "SourceMissing",
        1,
    )


# --- how


def test_a_dry_run_writes_nothing_and_lists_each_file(becalm: Becalm, repository: Path, source: Path) -> None:
    becalm("backup", source)
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*") if path.parent.name != "locks"}
    (source / "file").write_text("changed")
    (source / "sub" / "added").write_text("new")

    result = becalm("backup", "--dry-run", "-v", source)
    [*lines, summary] = becalm("backup", "--dry-run", "-v", "--json", source).messages

    assert f"modified  {source}/file with size 7 B" in result.out
    assert f"new       {source}/sub/added with size 3 B" in result.out
    assert "Would add to the repository: " in result.out
    assert {"message_type": "verbose_status", "action": "unchanged", "item": f"{source}/sub/other",
            "data_size": 13} in lines  # fmt: skip
    assert (summary["dry_run"], summary["files_new"], summary["files_changed"]) == (True, 1, 1)
    assert "snapshot_id" not in summary
    for path in (path for path in before if path != repository / "locks" and path != repository):
        assert path.stat().st_mtime_ns == before[path]
    assert {path for path in repository.rglob("*") if path.parent.name != "locks"} == set(before)


def test_the_parent_is_of_the_group_that_is_asked_for(becalm: Becalm, source: Path) -> None:
    becalm("backup", "--host=rose", source)

    assert becalm("backup", "--host=lily", source).report["parent"] == ""
    assert becalm("backup", "--host=iris", "--group-by=paths", source).report["parent"] != ""
    assert becalm("backup", "--host=tulip", "--group-by=", source / "sub").report["parent"] != ""


def test_a_watched_run_counts_ahead_unless_told_not_to(
    becalm: Becalm, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    monkeypatch.setattr("becalm_engine.commands.estimate._count", lambda *_: counted.append(True))

    becalm("backup", "--json", "--no-scan", source)
    assert counted == []
    becalm("backup", "--json", source)
    assert counted == [True]


@pytest.mark.parametrize(
    ("flags", "environment", "expected"),
    [
        ([], {}, (4, 2)), (["--read-concurrency=0"], {}, (4, 2)), (["--read-concurrency=1"], {}, (1, 1)),
        (["--read-concurrency=3"], {}, (3, 1)), (["--read-concurrency=9"], {}, (4, 2)),
        ([], {"RESTIC_READ_CONCURRENCY": "2"}, (2, 1)),
    ],
)  # fmt: skip
def test_so_many_files_are_read_at_once(
    becalm: Becalm,
    source: Path,
    flags: list[str],
    environment: dict[str, str],
    expected: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    capture = backup.capture

    def noting(repository: Repository, options: BackupOptions, **more: Any) -> Captured:
        seen.append((options.processes, options.workers))
        return capture(repository, options, **more)

    monkeypatch.setattr(backup, "capture", noting)
    monkeypatch.setattr("becalm_engine.commands.capacity.processes", lambda: 4)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)

    becalm("backup", source, *flags, **environment)

    assert seen == [expected]


# --- signals


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_at_a_sound_state_and_what_was_uploaded_is_kept(
    started: Started, becalm: Becalm, repository: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "large").mkdir()
    chance = random.Random(1)
    for at in range(70):
        (tmp_path / "large" / str(at)).write_bytes(chance.randbytes(1_000_000))
    process = started("backup", "--pack-size=4", tmp_path / "large")
    wait_for_pack(repository)

    process.send_signal(number)
    _, err = process.communicate(timeout=60)

    assert (process.returncode, locks(repository)) == (130, [])
    assert b"Fatal: interrupted; what was uploaded is kept" in err
    assert becalm("snapshots", "--json").messages == [[]]
    assert packs(repository) == listed_packs(becalm, repository) != set()
    assert becalm("check", "--read-data").status == 0
    again = becalm("backup", "--pack-size=4", tmp_path / "large")
    assert again.status == 0
    assert again.report["bytes_added"] < 70_000_000


@pytest.mark.slow
def test_a_signal_ends_the_waiting_for_standard_input(
    started: Started, becalm: Becalm, repository: Path
) -> None:
    process = started("backup", "--stdin", "--pack-size=4")
    assert process.stdin is not None
    process.stdin.write(random.Random(1).randbytes(20_000_000))
    process.stdin.flush()
    wait_for_pack(repository)

    process.send_signal(signal.SIGTERM)
    status = process.wait(60)
    process.communicate()

    assert (status, locks(repository)) == (130, [])
    assert packs(repository) == listed_packs(becalm, repository)


# --- behind a gate


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("flags", [["--pre-copy"], []])
def test_what_changes_before_the_gate_opens_is_captured(
    started: Started, source: Path, tmp_path: Path, repository: Path, flags: list[str]
) -> None:
    ready, gate, report = tmp_path / "ready", tmp_path / "gate", tmp_path / "captured"
    process = started(
        "backup", "--capture", "--report", report, "--gate", gate, "--ready-file", ready, *flags, source
    )
    wait_for(ready)
    (source / "more").write_text("more")
    assert len(locks(repository)) == 1
    gate.write_text("open")

    process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(report.read_text())["files_new"] == 3
    assert locks(repository) == []


def test_a_signal_at_the_gate_ends_it_at_once(
    started: Started, source: Path, tmp_path: Path, repository: Path
) -> None:
    ready = tmp_path / "ready"
    process = started("backup", "--capture", "--gate", tmp_path / "gate", "--ready-file", ready, source)
    wait_for(ready)
    process.send_signal(signal.SIGTERM)

    process.communicate(timeout=60)
    assert process.returncode == 130
    assert locks(repository) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pre-copy"], "need a --gate"),
        (["--ready-file=x"], "need a --gate"),
        (["--gate=x", "--stdin"], "not for --stdin"),
        (["--gate=x", "--stdin-from-fifo=x"], "not for --stdin"),
        (["--gate=x", "--dry-run"], "--dry-run"),
    ],
)
def test_flags_of_the_gate_that_make_no_sense_are_refused(
    becalm: Becalm, source: Path, flags: list[str], words: str
) -> None:
    result = becalm("backup", *flags, *([] if "not for --stdin" in words else [source]))

    assert result.status == 1
    assert words in result.err


def test_a_dry_run_stands_back_for_a_lock_unless_told_not_to(
    becalm: Becalm, repository: Path, source: Path
) -> None:
    hold_lock(repository, exclusive=True)

    assert becalm("backup", source, "--dry-run").status == 11
    assert becalm("backup", source, "--dry-run", "--no-lock").status == 0
