"""What `forget` does where it may not do all: under locks of others, and where the store does not let go."""

import json
from pathlib import Path

import pytest

from becalm_engine.errors import StorageDeniedError, StorageUnavailableError
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.cli.conftest import Becalm, hold_lock
from tests.engine.cli.test_maintain import packs


@pytest.fixture
def ids(becalm: Becalm, source: Path) -> list[str]:
    """Three snapshots, oldest first."""
    for day in range(1, 4):
        (source / "file").write_text(f"content of day {day}")
        becalm("backup", "--host=rose", f"--time=2026-01-{day:02d} 03:00:00", source)
    [listed] = becalm("snapshots", "--json").messages
    return [one["id"] for one in listed]


def stored(repository: Path) -> list[str]:
    return sorted(path.name for path in (repository / "snapshots").iterdir())


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> list[str]:
    """Have one snapshot not let go; return those of which that was asked."""
    really, asked = LocalStorage.delete, []

    def delete(self: LocalStorage, kind: FileKind, named: str) -> None:
        if kind is FileKind.SNAPSHOT:
            asked.append(named)
        if named == name:
            raise error
        really(self, kind, named)

    monkeypatch.setattr(LocalStorage, "delete", delete)
    return asked


@pytest.mark.parametrize("how", ["policy", "names"])
def test_one_that_is_retained_is_told_and_the_others_go(
    becalm: Becalm, repository: Path, ids: list[str], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = packs(repository)
    refuse(monkeypatch, ids[1], StorageDeniedError("under retention"))

    chosen = ["--keep-last=1"] if how == "policy" else ids[:2]
    result = becalm("forget", *chosen, "--prune", "--max-unused=0")

    assert (result.status, stored(repository), packs(repository)) == (3, sorted(ids[1:]), before)
    assert f"unable to remove snapshot {ids[1][:8]}: under retention" in result.err
    assert "failed to remove 1 snapshots" in result.err
    assert "1 snapshots removed" in result.out
    assert (result.report["exit_code"], result.report["removed"]) == (3, 1)
    assert "failed to remove 1 snapshots" in result.report["error"]["message"]


def test_in_json_it_is_an_error_and_the_policy_s_choice_stays_what_it_was(
    becalm: Becalm, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, ids[1], StorageDeniedError("under retention"))

    result = becalm("forget", "--keep-last=1", "--json")

    [[group]] = result.messages
    assert [one["id"] for one in group["remove"]] == [ids[1], ids[0]]
    error, end = (json.loads(line) for line in result.err.splitlines())
    assert (error["message_type"], error["during"], error["item"]) == ("error", "forget", ids[1])
    assert (end["message_type"], end["code"]) == ("exit_error", 3)


def test_a_store_that_is_away_is_not_asked_for_each(
    becalm: Becalm, repository: Path, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = refuse(monkeypatch, ids[1], StorageUnavailableError("away"))

    result = becalm("forget", *ids[1:], "--retry-store=0s")

    assert (result.status, set(asked), stored(repository)) == (1, {ids[1]}, sorted(ids))


def test_a_dry_run_looks_past_locks_if_that_is_wanted(
    becalm: Becalm, repository: Path, ids: list[str]
) -> None:
    hold_lock(repository, exclusive=True)

    assert becalm("forget", "--keep-last=1", "--dry-run").status == 11
    plan = becalm("forget", "--keep-last=1", "--dry-run", "--no-lock")
    both = becalm("forget", "--keep-last=1", "--dry-run", "--no-lock", "--prune")

    assert (plan.status, both.status) == (0, 0)
    assert "2 snapshots would be removed" in plan.out
    assert becalm("forget", "--keep-last=1", "--no-lock").status == 11
    assert stored(repository) == sorted(ids)
