import json
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from becalm_engine.format.pack import BlobKind
from becalm_engine.repository.repository import open_repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.cli.conftest import Becalm, locks
from tests.engine.repository.repositories import PASSWORD


@pytest.fixture
def backed_up(becalm: Becalm, source: Path) -> Path:
    """The source, twice: the second time with changes."""
    becalm("backup", "--host=node", "--tag=first", "--time=2026-01-02T03:04:05Z", source)
    (source / "file").write_text("changed")
    (source / "sub" / "other").unlink()
    (source / "new\x1b[31m").write_text("new")
    os.utime(source / "file", (1_600_000_000, 1_600_000_000))
    becalm("backup", "--host=node", "--time=2026-01-03T03:04:05.25Z", source)
    return source


def ids(becalm: Becalm) -> list[str]:
    [listed] = becalm("snapshots", "--json").messages
    return [snapshot["short_id"] for snapshot in listed]


# --- ls


def test_ls_lists_a_snapshot_under_a_line_about_it(
    becalm: Becalm, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "ann")
    becalm("backup", "--host=node", "--time=2026-01-04T03:04:05.25Z", backed_up)

    result = becalm("ls", f"latest:{backed_up}")

    lines = result.out.splitlines()
    when = "2026-01-04 03:04:05.25 +0000 UTC"
    assert lines[0] == f"snapshot {ids(becalm)[-1]} of [{backed_up}] at {when} by ann@node filtered by []:"
    assert lines[1:] == ["/file", r'"/new\x1b[31m"', "/sub"]
    assert becalm("ls", "-q", f"latest:{backed_up}", "/sub").out == "/sub\n"


def test_ls_shows_modes_sizes_and_times(becalm: Becalm, backed_up: Path) -> None:
    (backed_up / "file").chmod(0o4640)
    becalm("backup", backed_up)
    owner = f"{os.getuid():5d} {os.getgid():5d}"

    [line] = becalm("ls", "-q", "-l", f"latest:{backed_up}", "--sort=time").out.splitlines()[:1]
    [human] = becalm("ls", "-q", "-l", "--human-readable", f"latest:{backed_up}", "/file").out.splitlines()

    assert line.startswith(f"urw-r----- {owner}      7 2020-09-13 ")
    assert line.endswith(" /file")
    assert human.startswith(f"urw-r----- {owner} 7 B 2020-09-13 ")


def test_ls_as_json_is_one_snapshot_and_its_nodes(becalm: Becalm, backed_up: Path) -> None:
    snapshot, *found = becalm("ls", "--json", f"latest:{backed_up}").messages

    assert (snapshot["message_type"], snapshot["hostname"]) == ("snapshot", "node")
    assert [node["path"] for node in found] == ["/file", "/new\x1b[31m", "/sub"]
    assert {node["message_type"] for node in found} == {"node"}
    assert found[0]["size"] == 7
    assert "size" not in found[2]


def test_ls_exports_to_ncdu(becalm: Becalm, backed_up: Path) -> None:
    major, _, about, [root, file, _, [folder]] = json.loads(becalm("ls", "--ncdu", f"latest:{backed_up}").out)

    assert (major, about["hostname"], root) == (1, "node", {"name": "/"})
    assert (file["name"], file["asize"], file["dsize"]) == ("file", 7, 512)
    assert folder["name"] == "sub"


def test_ls_without_a_lock_and_with_filters(becalm: Becalm, backed_up: Path, repository: Path) -> None:
    assert "/sub/other" in becalm("ls", "latest", "--tag=first", "--no-lock").out
    assert locks(repository) == []


def test_the_time_of_a_snapshot_keeps_its_zone_in_json(
    becalm: Becalm, backed_up: Path, repository: Path
) -> None:
    opened = open_repository(LocalStorage(repository), PASSWORD)
    tree = becalm("snapshots", "--json").messages[0][0]["tree"]
    written = f'{{"time":"2027-01-02T03:04:05+01:00","tree":"{tree}","paths":["/x"]}}'
    opened.save_document(FileKind.SNAPSHOT, written.encode())

    assert becalm("ls", "latest", "--json").messages[0]["time"] == "2027-01-02T03:04:05+01:00"
    [[*_, listed]] = becalm("snapshots", "--json").messages
    assert listed["time"] == "2027-01-02T03:04:05+01:00"
    [[found, *_]] = becalm("find", "--json", "--tree", tree).messages
    assert found["time"] == "2027-01-02T03:04:05+01:00"
    assert "at 2027-01-02 03:04:05 +0100 " in becalm("ls", "latest").out


def test_the_times_of_files_in_json_are_in_utc(becalm: Becalm, repository: Path) -> None:
    opened = open_repository(LocalStorage(repository), PASSWORD)
    node = b'{"name":"a","type":"file","mtime":"2026-01-02T03:04:05+01:00","content":[]}'
    with Writer(opened) as writer:
        tree = writer.save(BlobKind.TREE, b'{"nodes":[' + node + b"]}\n")
    written = f'{{"time":"2027-01-02T03:04:05Z","tree":"{tree.hex()}","paths":["/x"]}}'
    opened.save_document(FileKind.SNAPSHOT, written.encode())

    assert becalm("ls", "latest", "--json").messages[1]["mtime"] == "2026-01-02T02:04:05Z"


# --- dump


def test_dump_writes_a_file_to_standard_output(becalm: Becalm, backed_up: Path, tmp_path: Path) -> None:
    assert becalm("dump", "latest", f"{backed_up}/file").out == "changed"
    assert becalm("dump", f"{ids(becalm)[0]}:{backed_up}", "file").out == "content"

    becalm("dump", "latest", backed_up / "file", "--target", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "changed"


def test_dump_writes_a_folder_as_an_archive(becalm: Becalm, backed_up: Path, tmp_path: Path) -> None:
    first = f"{ids(becalm)[0]}:{backed_up.parent}"

    becalm("dump", first, "/source", "--target", tmp_path / "tar")
    becalm("dump", first, "/", "--archive=zip", "--target", tmp_path / "zip")

    with tarfile.open(tmp_path / "tar") as tar:
        assert tar.getnames() == ["source/file", "source/sub", "source/sub/other"]
    with zipfile.ZipFile(tmp_path / "zip") as archive:
        assert archive.namelist() == ["source/", "source/file", "source/sub/", "source/sub/other"]
        assert archive.read("source/sub/other") == b"other content"


def test_dump_says_what_an_archive_could_not_hold(becalm: Becalm, source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "fifo")
    becalm("backup", source)

    result = becalm("dump", f"latest:{source}", "/", "--archive=zip", "--target", tmp_path / "zip")

    assert (result.status, result.err) == (
        0,
        "Warning: fifo: a file of type fifo does not fit into the archive\n",
    )


def test_dump_writes_no_archive_to_a_terminal(
    becalm: Becalm, backed_up: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    result = becalm("dump", "latest", "/")

    assert (result.status, result.out) == (1, "")
    assert "standard output is a terminal" in result.err


# --- find


def test_find_groups_what_it_finds_by_snapshot_newest_first(becalm: Becalm, backed_up: Path) -> None:
    first, second = ids(becalm)

    lines = becalm("find", "file").out.splitlines()

    assert [line.split(" from ")[0] for line in lines] == [
        f"Found matching entries in snapshot {second}", f"{backed_up}/file",
        "", f"Found matching entries in snapshot {first}", f"{backed_up}/file",
    ]  # fmt: skip
    assert becalm("find", "-q", "-R", "-s", first, "OTHER", "-i").out == f"{backed_up}/sub/other\n"
    assert " 2020-09-13 " in becalm("find", "-l", "file", "--newest=2020-12-31").out
    assert becalm("find", "file", "--oldest=01.01.2019", "--newest=2019-02-01 00:00").out == ""


def test_find_as_json_is_one_array(becalm: Becalm, backed_up: Path) -> None:
    [[newest, oldest]] = becalm("find", "--json", "file", "sub").messages

    assert (newest["hits"], oldest["hits"]) == (2, 3)
    assert newest["matches"][0]["path"] == f"{backed_up}/file"
    assert "name" not in newest["matches"][0]
    assert becalm("find", "--json", "nothing").messages == [[]]


def test_find_finds_blobs_trees_and_packs(becalm: Becalm, backed_up: Path, repository: Path) -> None:
    snapshot = becalm("ls", "--json", f"latest:{backed_up}").messages[0]
    tree = json.loads(becalm("cat", "tree", snapshot["tree"]).out)
    blob = tree["nodes"][0]["content"][0]

    lines = becalm("find", "--blob", blob, "--show-pack-id").out.splitlines()
    assert lines[:3] == [
        f"Found blob {blob}",
        f" ... in file {backed_up}/file",
        f"     (tree {snapshot['tree']})",
    ]
    assert lines[4].startswith("Object belongs to pack ")
    pack = lines[4].removeprefix("Object belongs to pack ")
    [[found]] = becalm("find", "--tree", "--json", snapshot["tree"][:8]).messages
    assert (found["object_type"], found["path"]) == ("tree", str(backed_up))
    [places] = becalm("find", "--pack", "--json", pack).messages
    assert {place["id"] for place in places} >= {blob}
    assert becalm("find", "--json", "--blob", "00000000").messages == [[]]
    assert f"the index has no pack {'0' * 64}" in becalm("find", "--pack", "0" * 64).err


# --- diff


def test_diff_shows_what_changed(becalm: Becalm, backed_up: Path) -> None:
    first, second = ids(becalm)
    folders = f"{first}:{backed_up}", f"{second}:{backed_up}"

    lines = becalm("diff", *folders).out.splitlines()
    assert lines[:5] == [
        f"comparing snapshot {first} to {second}:", "", "M    /file", r'+    "/new\x1b[31m"', "-    /sub/other",
    ]  # fmt: skip
    assert lines[6] == "Files:           1 new,     1 removed,     1 changed"
    *changes, statistics = becalm("diff", "--json", "--metadata", *folders).messages
    assert [(change["path"], change["modifier"]) for change in changes] == [
        ("/file", "M"), ("/new\x1b[31m", "+"), ("/sub/", "U"), ("/sub/other", "-"),
    ]  # fmt: skip
    assert (statistics["source_snapshot"], statistics["added"]["files"]) == (folders[0], 1)
    assert becalm("diff", "-q", *folders).out.startswith("\nFiles:")


# --- stats


def test_stats_counts_in_four_ways(becalm: Becalm, backed_up: Path) -> None:
    text = becalm("stats", "latest", "--mode=files-by-contents").out
    assert text.splitlines() == [
        "scanning...", "Stats in files-by-contents mode:", "     Snapshots processed:  1",
        "        Total File Count:  3", "              Total Size:  10 B ",
    ]  # fmt: skip
    [sizes] = becalm("stats", "--json").messages
    assert (sizes["total_size"], sizes["snapshots_count"]) == (7 + 13 + 7 + 3, 2)
    assert becalm("stats", "--json", "--mode=blobs-per-file", "--tag=first").messages[0]["total_size"] == 20
    raw = becalm("stats", "--mode=raw-data").out
    assert "Compression Progress:  100.00%" in raw
    assert "x\nCompression Space Saving:" in raw


# --- all of them


def break_packs(repository: Path) -> None:
    """Overwrite every pack with zeros of the same length."""
    for pack in (repository / "data").glob("*/*"):
        pack.chmod(0o600)
        pack.write_bytes(bytes(pack.stat().st_size))


@pytest.mark.parametrize(
    "arguments",
    [["ls", "latest"], ["dump", "latest", "/"], ["find", "file"], ["diff", "latest", "latest"], ["stats"]],
)
def test_a_tree_that_is_damaged_is_1(
    becalm: Becalm, backed_up: Path, repository: Path, arguments: list[str]
) -> None:
    break_packs(repository)

    result = becalm(*arguments)

    assert result.status == 1
    assert "authentication code is wrong" in result.err
    assert locks(repository) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "zz"],
        ["ls", "latest:/nowhere"],
        ["ls", "latest", "relative"],
        ["ls", "latest", "--ncdu", "--reverse"],
        ["dump", "latest", "/nowhere"],
        ["dump", "latest", "/", "--target=/nowhere/at/all"],
        ["find", "x", "--blob", "--tree"],
        ["find", "x", "--oldest=yesterday"],
        ["find", "x", "--oldest=2026-01-02", "--newest=2026-01-01"],
        ["find", "x", "--snapshot=zz"],
        ["diff", "latest", "zz"],
        ["stats", "zz"],
        ["stats", "latest:/x"],
    ],
)
def test_what_makes_no_sense_is_1_with_a_reason(
    becalm: Becalm, backed_up: Path, repository: Path, arguments: list[str]
) -> None:
    result = becalm(*arguments)

    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("Fatal: ")
    assert "internal error" not in result.err
    assert locks(repository) == []


@pytest.mark.parametrize("command", [["ls", "latest"], ["find", "x"], ["stats"]])
def test_no_repository_is_10(becalm: Becalm, tmp_path: Path, command: list[str]) -> None:
    assert becalm(*command, "--repo", tmp_path / "nowhere").status == 10
