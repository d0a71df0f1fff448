import getpass
import json
import sys
from pathlib import Path

import pytest

from becalm_engine.format.key_file import ScryptCost
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID
from becalm_engine.repository.repository import initialise, open_repository
from becalm_engine.repository.snapshots import save_snapshot
from becalm_engine.storage.local import LocalStorage
from tests.engine.cli.conftest import Becalm, hold_lock, locks
from tests.engine.repository.repositories import CHEAP, PASSWORD


@pytest.fixture
def backed_up(becalm: Becalm, source: Path) -> Path:
    becalm("backup", "--host=node", "--tag=first", "--time=2026-01-02T03:04:05Z", source)
    becalm("backup", "--host=other", "--time=2026-01-03T03:04:05Z", source)
    return source


@pytest.fixture
def new_password(tmp_path: Path) -> Path:
    (tmp_path / "new").write_text("new password\n")
    return tmp_path / "new"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another repository, with another password."""
    initialise(LocalStorage(tmp_path / "elsewhere"), "other password", cost=CHEAP)
    return tmp_path / "elsewhere"


def snapshots(becalm: Becalm, **environment: str) -> list[dict[str, object]]:
    [listed] = becalm("snapshots", "--json", **environment).messages
    return list(listed)


# --- key


def test_keys_are_added_listed_and_removed(becalm: Becalm, repository: Path, new_password: Path) -> None:
    [[first]] = becalm("key", "list", "--json").messages
    result = becalm("key", "add", "--new-password-file", new_password, "--user=ann", "--host=there", "--json")
    [added] = [message["id"] for message in result.messages]

    lines = becalm("key", "list", RESTIC_PASSWORD="new password").out.splitlines()
    assert lines[0].split() == ["ID", "User", "Host", "Created"]
    assert f"*{added[:8]}  ann" in "\n".join(lines)
    assert f" {first['id'][:8]}  " in "\n".join(lines)
    assert json.loads((repository / "keys" / added).read_text())["N"] == ScryptCost().n

    refused = becalm("key", "remove", added, RESTIC_PASSWORD="new password")
    assert (refused.status, "in use" in refused.err) == (1, True)
    assert becalm("key", "remove", added[:12]).out == f"removed key {added}\n"
    assert becalm("snapshots", RESTIC_PASSWORD="new password").status == 12


def test_a_password_is_changed(becalm: Becalm, new_password: Path) -> None:
    assert "the old one was removed" in becalm("key", "passwd", "--new-password-file", new_password).out

    assert becalm("snapshots").status == 12
    assert len(becalm("key", "list", "--json", RESTIC_PASSWORD="new password").messages[0]) == 1


def test_a_new_password_is_asked_for_on_a_terminal(becalm: Becalm, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["one", "two", "typed", "typed"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda _: next(answers))

    assert "the two passwords differ" in becalm("key", "add").err
    assert becalm("key", "add").status == 0
    assert becalm("snapshots", RESTIC_PASSWORD="typed").status == 0


# --- tag


def test_tags_are_changed_where_the_filter_fits(becalm: Becalm, backed_up: Path) -> None:
    result = becalm("tag", "--add=x,y", "--remove=first", "--host=node", "--verbose")

    assert "create exclusive lock for repository\nold snapshot ID: " in result.out
    assert result.out.endswith("modified 1 snapshots\n")
    changed, untouched = snapshots(becalm)
    assert (changed["tags"], untouched.get("tags")) == (["y", "x"], None)
    assert becalm("tag", "--add=x", "--host=node").out.endswith("no snapshots were modified\n")
    change, summary = becalm("tag", "--set=", "--json", str(changed["id"])[:8]).messages
    assert (change["old_snapshot_id"], summary["changed_snapshots"]) == (changed["id"], 1)
    assert "tags" not in snapshots(becalm)[0]


# --- copy


def test_snapshots_are_copied_from_another_repository(
    becalm: Becalm, backed_up: Path, repository: Path, elsewhere: Path, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    flags = "--from-repo", repository, "--from-password-file", tmp_path / "password"
    there = {"RESTIC_REPOSITORY": str(elsewhere), "RESTIC_PASSWORD": "other password"}

    result = becalm("copy", *flags, "--host=node", **there)
    assert "  copy started, this may take a while...\n" in result.out
    assert "saved, copied from source snapshot" in result.out
    copied, summary = becalm("copy", *flags, "--json", **there).messages

    originals = {snapshot["original"] for snapshot in snapshots(becalm, **there)}
    assert originals == {snapshot["id"] for snapshot in snapshots(becalm)}
    assert summary == {"message_type": "summary", "copied": 1, "already_copied": 1}
    assert copied["message_type"] == "copied"
    assert "was already copied to snapshot" in becalm("copy", *flags, "--verbose", **there).out
    assert becalm("check", "--read-data", **there).status == 0
    assert locks(repository) == locks(elsewhere) == []


def test_what_cannot_be_copied_is_told_and_the_rest_is_copied(
    becalm: Becalm, backed_up: Path, repository: Path, elsewhere: Path
) -> None:
    there = {"RESTIC_REPOSITORY": str(elsewhere), "RESTIC_PASSWORD": "other password"}
    source = {"RESTIC_FROM_REPOSITORY": str(repository), "RESTIC_FROM_PASSWORD": PASSWORD}
    lost = Snapshot(1, BlobID(bytes(32)), ("/lost",))
    name = save_snapshot(open_repository(LocalStorage(repository), PASSWORD), lost).name

    result = becalm("copy", **there, **source)
    again = becalm("copy", "--json", **there, **source)

    assert (result.status, again.status) == (1, 1)
    assert f"unable to copy snapshot {name[:8]}: blob {bytes(32).hex()} is in no index" in result.err
    assert result.report["error"]["type"] == "Damaged"
    assert again.messages[-1]["already_copied"] == len(snapshots(becalm, **there)) > 0
    assert json.loads(again.err.splitlines()[0])["item"] == name
    assert becalm("check", "--read-data", **there).status == 0


def test_the_source_of_a_copy_can_be_named_by_the_environment(
    becalm: Becalm, backed_up: Path, repository: Path, elsewhere: Path
) -> None:
    there = {"RESTIC_REPOSITORY": str(elsewhere), "RESTIC_PASSWORD": "other password"}
    source = {"RESTIC_FROM_REPOSITORY": str(repository), "RESTIC_FROM_PASSWORD": PASSWORD}

    assert becalm("copy", "latest", **there, **source).status == 0
    assert len(snapshots(becalm, **there)) == 1
    assert becalm("copy", **there, **{**source, "RESTIC_FROM_PASSWORD": "wrong"}).status == 12


# --- rewrite


def test_files_are_taken_out_of_snapshots(
    becalm: Becalm, backed_up: Path, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "patterns").write_text("# comment\nother\n")
    before = snapshots(becalm)

    dry = becalm("rewrite", "--exclude-file", tmp_path / "patterns", "--dry-run", "--forget")
    assert dry.out.count("would save new snapshot\nwould remove old snapshot\n") == 2
    assert dry.out.endswith("\n\nwould modify 2 snapshots\n")
    assert snapshots(becalm) == before

    result = becalm("rewrite", "--iexclude=OTHER", "--new-host=third", "--host=node")
    assert "setting host to third\nsaved new snapshot " in result.out
    tags = {snapshot["hostname"]: snapshot.get("tags") for snapshot in snapshots(becalm)}
    assert tags == {"node": ["first"], "third": ["first", "rewrite"], "other": None}
    assert "other" not in becalm("ls", "latest", "--host=third", "-q").out.split("/")

    result = becalm("rewrite", "-e", "other", "--forget", "--json", "--new-time=2020-01-02 03:04:05")
    assert result.messages[-1] == {"message_type": "summary", "changed_snapshots": 3}
    assert {str(snapshot["time"])[:4] for snapshot in snapshots(becalm)} == {"2020"}
    assert "no snapshots were modified" in becalm("rewrite", "-e", "other").out
    assert becalm("check", "--read-data").status == 0
    assert locks(repository) == []


@pytest.mark.usefixtures("berlin", "backed_up")
@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("2026-07-01 01:30:00", "2026-07-01T01:30:00+02:00"),
        ("2026-07-01 01:30:00 -0330", "2026-07-01T01:30:00-03:30"),
        ("2026-07-01T01:30:00Z", "2026-07-01T01:30:00Z"),
    ],
)
def test_a_new_time_has_the_offset_that_was_typed_or_that_of_this_zone(
    becalm: Becalm, typed: str, stored: str
) -> None:
    becalm("rewrite", "--forget", f"--new-time={typed}", "latest")

    assert stored in [snapshot["time"] for snapshot in snapshots(becalm)]


# --- all of them


@pytest.mark.parametrize(
    "arguments",
    [
        ["key", "remove"],
        ["key", "list", "00"],
        ["key", "add"],
        ["key", "add", "--new-password-file=/dev/null"],
        ["key", "add", "--new-password-file=/nowhere"],
        ["key", "remove", "zz"],
        ["tag"],
        ["tag", "--set=a", "--add=b"],
        ["tag", "--add=b", "zz"],
        ["copy"],
        ["copy", "--from-repo=/nowhere"],
        ["rewrite"],
        ["rewrite", "--new-time=soon"],
        ["rewrite", "-e", "x", "zz"],
        ["rewrite", "--exclude-file=/nowhere"],
    ],
)
def test_what_makes_no_sense_is_1_with_a_reason(
    becalm: Becalm, backed_up: Path, repository: Path, arguments: list[str]
) -> None:
    before = snapshots(becalm)

    result = becalm(*arguments)

    assert result.status == 1
    assert result.err.startswith("Fatal: ")
    assert "internal error" not in result.err
    assert snapshots(becalm) == before
    assert locks(repository) == []


@pytest.mark.parametrize(
    "arguments",
    [["tag", "--add=x"], ["key", "passwd"], ["key", "remove", "0"], ["rewrite", "-e", "x", "--forget"]],
)
def test_what_replaces_needs_the_repository_alone(
    becalm: Becalm, backed_up: Path, new_password: Path, repository: Path, arguments: list[str]
) -> None:

    hold_lock(repository, exclusive=False)
    flags = ["--new-password-file", str(new_password)] if arguments == ["key", "passwd"] else []

    assert becalm(*arguments, *flags).status == 11
