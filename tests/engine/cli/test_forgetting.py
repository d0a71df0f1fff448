import json
from pathlib import Path

import pytest

from becalm_engine.cli import parser
from tests.engine.cli.conftest import Becalm
from tests.engine.cli.test_maintain import packs


@pytest.fixture
def ids(becalm: Becalm, source: Path) -> list[str]:
    """Three snapshots: of the hosts rose, lily and rose."""
    for number, host in enumerate(("rose", "lily", "rose")):
        becalm("backup", f"--host={host}", f"--time=2026-01-{number + 1:02d} 03:00:00", source)
    return left(becalm)


def left(becalm: Becalm) -> list[str]:
    return [snapshot["id"] for snapshot in becalm("snapshots", "--json").messages[0]]


# --- by name


def test_those_that_are_named_are_removed_and_no_others(becalm: Becalm, ids: list[str]) -> None:
    dry = becalm("forget", ids[0][:8], "--dry-run")
    assert "1 snapshots would be removed" in dry.out
    assert left(becalm) == ids

    result = becalm("forget", ids[0][:8], ids[0], ids[1])

    assert (result.status, result.report["removed"], left(becalm)) == (0, 2, ids[2:])
    assert "keep " not in result.out


def test_a_policy_decides_nothing_where_snapshots_are_named(becalm: Becalm, ids: list[str]) -> None:
    becalm("forget", ids[1], "--keep-last=1")

    assert left(becalm) == [ids[0], ids[2]]


def test_latest_is_the_newest_that_fits(becalm: Becalm, ids: list[str]) -> None:
    becalm("forget", "latest", "--host=lily")

    assert left(becalm) == [ids[0], ids[2]]


def test_a_name_that_fits_none_is_told_and_passed_over(becalm: Becalm, ids: list[str]) -> None:
    result = becalm("forget", "0" * 64, ids[0])
    spoken = becalm("forget", "0" * 64, "--json")

    assert (result.status, left(becalm)) == (0, ids[1:])
    assert f"passing over {'0' * 64}: no snapshot has an id" in result.err
    assert (spoken.status, spoken.out) == (0, "[]\n")
    assert json.loads(spoken.err)["item"] == "0" * 64


def test_what_was_named_is_pruned_if_wanted(becalm: Becalm, ids: list[str], repository: Path) -> None:
    refused = becalm("forget", *ids, "--prune", "--dry-run")
    assert (refused.status, left(becalm)) == (1, ids)

    assert becalm("forget", *ids, "--prune", "--unsafe-allow-remove-all").status == 0
    assert packs(repository) == []


# --- short flags


def test_short_flags_are_those_of_restic() -> None:
    found = parser.parse(["forget", "-l1", "-H24", "-d7", "-w5", "-m", "12", "-y", "3", "--host", "rose"], {})

    assert found.host == ["rose"]
    assert [getattr(found, f"keep_{name}") for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly")] == [
        "1", "24", "7", "5", "12", "3"
    ]  # fmt: skip


def test_h_is_a_policy_and_no_host(becalm: Becalm, ids: list[str]) -> None:
    assert "0 snapshots would be removed" in becalm("forget", "-H", "24", "-n").out
    assert "1 snapshots would be removed" in becalm("forget", "-l", "1", "-n").out


# --- all


def test_without_a_policy_all_that_fit_are_removed_if_that_is_meant(becalm: Becalm, ids: list[str]) -> None:
    flags = "forget", "--unsafe-allow-remove-all", "--host=rose"

    [[group]] = becalm(*flags, "--dry-run", "--json").messages
    assert (group["keep"], group["reasons"]) == (None, None)
    assert [gone["id"] for gone in group["remove"]] == [ids[2], ids[0]]
    assert left(becalm) == ids

    assert becalm(*flags).report["removed"] == 2
    assert left(becalm) == [ids[1]]


def test_tags_may_have_spaces_between_them(becalm: Becalm, source: Path, ids: list[str]) -> None:
    becalm("backup", "--host=rose", "--time=2026-01-01 04:00:00", "--tag= keep, yearly", source)
    [[kept]] = becalm("snapshots", "--json", "--tag=yearly, keep").messages

    becalm("forget", "--group-by=", "--keep-last=1", "--keep-tag= keep, yearly")

    assert kept["tags"] == ["keep", "yearly"]
    assert left(becalm) == [kept["id"], ids[2]]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--unsafe-allow-remove-all"], "needs a --host, --tag or --path"),
        (["--host=rose"], "no --keep-"),
        (["--keep-tag=x", "--unsafe-allow-remove-all", "--host=rose"], "would remove all 2 snapshots"),
        (["--keep-within=-1d"], "'-1d' is not like"),
        (["--keep-within-daily=1d-1h"], "'1d-1h' is not like"),
        (["--keep-last=-2"], "'-2' is not a number"),
        ([f"--keep-last={'9' * 5000}"], "is not a number"),
        ([f"--keep-within={'9' * 5000}h"], "is longer than any calendar"),
    ],
)
def test_what_is_careless_is_refused(becalm: Becalm, ids: list[str], flags: list[str], words: str) -> None:
    result = becalm("forget", *flags)

    assert (result.status, words in result.err, left(becalm)) == (1, True, ids)
