import os
import random
import re
import shutil
from pathlib import Path

import pytest

from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import encode_tree
from becalm_engine.ids import blob_id
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import open_repository
from becalm_engine.storage.local import LocalStorage
from tests.engine.cli.conftest import Becalm, hold_lock, locks
from tests.engine.repository.repositories import PASSWORD


def backed_up(becalm: Becalm, source: Path, *, times: int = 3) -> None:
    """Back the source up several times, each time with a file that only this snapshot has."""
    for number in range(times):
        extra = source / "extra"
        extra.write_bytes(bytes(range(256)) * 10 * (number + 1))
        becalm("backup", "--host=rose", f"--time=2026-01-{number + 1:02d} 03:00:00", source)


def packs(repository: Path) -> list[str]:
    return sorted(path.name for path in (repository / "data").glob("*/*"))


# --- prune


def test_prune_removes_what_forget_left_and_says_so_in_restics_words(
    becalm: Becalm, repository: Path, source: Path
) -> None:
    backed_up(becalm, source)
    becalm("forget", "--keep-last=1")

    dry = becalm("prune", "--dry-run", "--max-unused=0")
    before = packs(repository)
    result = becalm("prune", "--max-unused=0", "-v")

    assert dry.status == 0
    assert "Would have made the following changes:\n\nto repack:" in dry.out
    assert re.search(r"^to delete:    +\d+ blobs / ", dry.out, re.MULTILINE)
    assert re.search(r"^unused size after prune: 0 B \(0.00% of remaining size\)$", dry.out, re.MULTILINE)
    assert packs(repository) != before
    assert re.search(r"^used: +\d+ blobs / ", result.out, re.MULTILINE)
    assert re.search(r"^unused packs: +\d+$", result.out, re.MULTILINE)
    assert "rebuilding index" in result.out
    assert result.report["kind"] == "prune"
    assert result.report["bytes_removed"] > 0
    assert becalm("check", "--read-data").status == 0
    assert locks(repository) == []


def test_a_dry_run_changes_nothing(becalm: Becalm, repository: Path, source: Path) -> None:
    backed_up(becalm, source)
    becalm("forget", "--keep-last=1")
    before = packs(repository)

    [summary] = becalm("prune", "--dry-run", "--json").messages

    assert packs(repository) == before
    assert (summary["message_type"], summary["dry_run"]) == ("summary", True)
    assert summary["bytes"]["remove_total"] > 0
    assert summary["blobs"]["remain"] == summary["blobs"]["total"] - summary["blobs"]["remove_total"]


def test_forget_prunes_if_wanted(becalm: Becalm, repository: Path, source: Path) -> None:
    backed_up(becalm, source)
    before = packs(repository)

    dry = becalm("forget", "--keep-last=1", "--prune", "--dry-run", "--max-unused=0")
    assert "2 snapshots would be removed" in dry.out
    assert "Would have made the following changes" in dry.out
    assert packs(repository) == before
    result = becalm("forget", "--keep-last=1", "--prune", "--max-unused=0")

    assert (result.report["kept"], result.report["removed"]) == (1, 2)
    assert packs(repository) != before
    assert becalm("check", "--read-data").status == 0
    again = becalm("forget", "--keep-last=1", "--prune")
    assert "finding data" not in again.out


def test_flags_of_prune_are_refused_before_a_snapshot_is_removed(becalm: Becalm, source: Path) -> None:
    backed_up(becalm, source)

    result = becalm("forget", "--keep-last=1", "--prune", "--max-unused=much")

    assert result.status == 1
    assert len(becalm("snapshots", "--json").messages[0]) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-unused=much"],
        ["--max-unused=100%"],
        ["--max-repack-size=some"],
        ["--repack-uncompressed", "--compression=off"],
        ["--repack-smaller-than=1G"],
        ["--repack-smaller-than=0"],
        ["--pack-size=1"],
    ],
)
def test_flags_of_prune_that_make_no_sense_are_1(becalm: Becalm, arguments: list[str]) -> None:
    result = becalm("prune", *arguments)

    assert (result.status, result.report["error"]["type"]) == (1, "Usage")


def test_a_repository_without_snapshots_is_emptied_only_if_that_is_meant(
    becalm: Becalm, repository: Path, source: Path
) -> None:
    becalm("backup", "--capture", source)

    refused = becalm("prune")
    assert refused.status == 1
    assert "--unsafe-allow-remove-all" in refused.err
    assert packs(repository)
    assert becalm("prune", "--unsafe-allow-remove-all").status == 0
    assert packs(repository) == []


def test_repack_small_merges_small_packs(becalm: Becalm, repository: Path, source: Path) -> None:
    backed_up(becalm, source, times=11)
    assert len(packs(repository)) == 22

    becalm("prune", "--repack-small")

    assert len(packs(repository)) <= 4
    assert becalm("check", "--read-data").status == 0


# --- list


def test_objects_of_each_kind_are_listed(becalm: Becalm, repository: Path, source: Path) -> None:
    backed_up(becalm, source, times=1)
    [[snapshot]] = becalm("snapshots", "--json").messages

    assert becalm("list", "snapshots").out.split() == [snapshot["id"]]
    assert becalm("list", "packs").out.split() == packs(repository)
    assert becalm("list", "index").out.split() == [path.name for path in (repository / "index").iterdir()]
    assert becalm("list", "keys").out.split() == [path.name for path in (repository / "keys").iterdir()]
    blobs = [line.split() for line in becalm("list", "blobs").out.splitlines()]
    assert {kind for kind, _ in blobs} == {"data", "tree"}
    assert snapshot["tree"] in {name for _, name in blobs}
    assert becalm("list", "packs", "--json").messages == [packs(repository)]


def test_locks_are_listed_also_for_those_they_keep_out(becalm: Becalm, repository: Path) -> None:
    hold_lock(repository, exclusive=True)

    assert becalm("list", "locks").out.split() == locks(repository)
    assert becalm("list", "packs").status == 11


# --- repair and recover


def test_repair_index_finds_the_packs_that_no_index_lists(
    becalm: Becalm, repository: Path, source: Path
) -> None:
    backed_up(becalm, source, times=1)
    [index] = (repository / "index").iterdir()
    index.unlink()
    assert becalm("check").status == 1

    result = becalm("repair", "index")

    assert result.status == 0
    assert sorted(re.findall(r"adding pack file to index (\w+)", result.out)) == packs(repository)
    assert becalm("check", "--read-data").status == 0
    assert "the index is complete and right" in becalm("repair", "index").out
    [summary] = becalm("repair", "index", "--read-all-packs", "--json").messages
    assert sorted(summary["read_packs"]) == packs(repository)


def test_a_damaged_file_is_taken_out_step_by_step(
    becalm: Becalm, repository: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (source / "big").write_bytes(bytes(range(251)) * 100)
    becalm("backup", source)
    path = max((repository / "data").glob("*/*"), key=lambda one: one.stat().st_size)
    data = bytearray(path.read_bytes())
    data[40:60] = bytes(20)
    path.chmod(0o600)
    path.write_bytes(data)
    assert becalm("check", "--read-data").status == 1

    packs_result = becalm("repair", "packs", path.name)
    dry = becalm("repair", "snapshots", "--dry-run")
    result = becalm("repair", "snapshots", "--forget")

    assert packs_result.status == 0
    assert (tmp_path / f"pack-{path.name}").read_bytes() == data
    assert "1 snapshots would be modified" in dry.out
    assert "1 snapshots were modified" in result.out
    assert "removed old snapshot" in result.out
    assert becalm("check", "--read-data").status == 0
    assert becalm("repair", "snapshots", "latest").out.endswith("no snapshots were modified\n")


def test_a_lost_empty_directory_is_told_and_stored_again(becalm: Becalm, repository: Path) -> None:
    opened = open_repository(LocalStorage(repository), PASSWORD)
    snapshots.save_snapshot(opened, Snapshot(1, blob_id(encode_tree(())), ("/a",)))

    dry = becalm("repair", "snapshots", "--dry-run")
    assert "empty directories would be stored again" in dry.out
    assert becalm("check").status == 1
    result = becalm("repair", "snapshots")

    assert "empty directories were stored again" in result.out
    assert result.out.endswith("no snapshots were modified\n")
    assert becalm("check").status == 0


@pytest.mark.parametrize("first", [[], ["repair", "index"], ["repair", "index", "--read-all-packs"]])
def test_what_a_check_says_to_do_saves_every_file_of_a_pack_that_was_cut_short(
    becalm: Becalm, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}").write_bytes(random.Random(number).randbytes(3000))
    becalm("backup", folder)
    pack = max((repository / "data").glob("*/*"), key=lambda one: one.stat().st_size)
    pack.chmod(0o600)
    os.truncate(pack, pack.stat().st_size - 200)
    if first:
        assert f"becalm repair packs {pack.name}" in becalm(*first).out

    said = becalm("check", "--read-data").err
    advised = [line.split()[1:] for line in said.splitlines() if line.startswith("  becalm repair")]
    assert [words[:2] for words in advised] == [["repair", "packs"], ["repair", "snapshots"]]
    assert "12 of 12 blobs are whole" in becalm(*advised[0]).out
    assert "no snapshots would be modified" in becalm(*advised[1]).out

    becalm("prune", "--max-unused=0")
    assert becalm("check", "--read-data").status == 0
    becalm("restore", f"latest:{folder}", "--target", tmp_path / "back")
    for path in folder.iterdir():
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()


def test_a_prune_says_what_sets_a_pack_right(
    becalm: Becalm, repository: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in it lies in another, too, and it was cut short."""
    monkeypatch.chdir(tmp_path)
    (source / "big").write_bytes(random.Random(1).randbytes(9000))
    becalm("backup", source)
    kept = tmp_path / "kept"
    shutil.copytree(repository, kept)
    for folder in ("data", "index"):
        for path in (repository / folder).rglob("*"):
            if path.is_file():
                path.unlink()
    becalm("backup", "--force", source)
    for folder in ("data", "index"):
        shutil.copytree(kept / folder, repository / folder, dirs_exist_ok=True)
    cut = max((kept / "data").glob("*/*"), key=lambda one: one.stat().st_size).name
    path = repository / "data" / cut[:2] / cut
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size - 1)

    warned = becalm("prune").err
    assert f"pack {cut} is not as the index says, and is left alone; `becalm repair index` sets" in warned
    assert path.exists()
    [summary] = becalm("repair", "index", "--json").messages
    assert (summary["kept_packs"], summary["dropped_packs"]) == ([cut], [])
    assert f"`becalm repair packs {cut}` saves what is whole" in becalm("repair", "index").out
    assert becalm("repair", "packs", cut).status == 0
    assert becalm("prune").err == ""
    assert becalm("check", "--read-data").status == 0


@pytest.mark.usefixtures("berlin")
def test_recover_finds_what_was_captured_and_never_committed(
    becalm: Becalm, source: Path, tmp_path: Path
) -> None:
    tree = becalm("backup", "--capture", source).report["tree"]

    assert "found 1 unreferenced roots" in becalm("recover").out

    assert becalm("snapshots", "--json").messages[0][0]["time"].endswith(("+01:00", "+02:00"))
    becalm("restore", "latest", "--target", tmp_path / "back")
    assert (tmp_path / "back" / tree[:8]).is_dir()
    [summary] = becalm("recover", "--json").messages
    assert summary == {"message_type": "summary", "snapshot_id": None}


@pytest.mark.parametrize("arguments", [["repair"], ["repair", "packs"], ["list"], ["list", "trees"]])
def test_commands_that_lack_an_argument_are_1(becalm: Becalm, arguments: list[str]) -> None:
    assert becalm(*arguments).status == 1
