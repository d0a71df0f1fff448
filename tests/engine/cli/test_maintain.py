import re
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Becalm, locks


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
