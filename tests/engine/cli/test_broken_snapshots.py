"""A snapshot whose file is damaged stands in the way of nothing but a prune, and its name is enough to be rid of it."""

import json
from pathlib import Path

import pytest

from becalm_engine.repository.repository import initialise
from becalm_engine.storage.local import LocalStorage
from tests.engine.cli.conftest import Becalm
from tests.engine.cli.test_maintain import packs
from tests.engine.repository.repositories import CHEAP, PASSWORD


@pytest.fixture
def ids(becalm: Becalm, source: Path) -> list[str]:
    """Four snapshots, oldest first."""
    for day in range(1, 5):
        (source / f"of day {day}").write_text(f"content of day {day}")
        becalm("backup", "--host=rose", f"--time=2026-01-{day:02d} 03:00:00", source)
    [listed] = becalm("snapshots", "--json").messages
    return [one["id"] for one in listed]


def spoil(repository: Path, name: str) -> None:
    """Make a snapshot's file another one than its name says."""
    path = repository / "snapshots" / name
    path.chmod(0o600)
    *before, last = path.read_bytes()
    path.write_bytes(bytes((*before, last ^ 1)))


def stored(repository: Path) -> list[str]:
    return sorted(path.name for path in (repository / "snapshots").iterdir())


def test_a_backup_goes_on_without_it_as_a_parent_and_says_so(
    becalm: Becalm, repository: Path, source: Path, ids: list[str]
) -> None:
    spoil(repository, ids[3])

    sought = becalm("backup", "--host=rose", source)
    named = becalm("backup", "--host=rose", f"--parent={ids[3]}", source)
    latest = becalm("backup", "--host=rose", "--parent=latest", "--json", source)

    assert (sought.status, named.status, latest.status) == (0, 0, 0)
    assert sought.report["parent"] == ids[2]
    assert named.report["parent"] == ""
    assert latest.report["parent"] not in ("", ids[3])
    for told in (sought.err, named.err):
        assert f"error: snapshots/{ids[3]}: " in told
        assert "it is no parent then" in told
    assert json.loads(latest.err.splitlines()[0])["item"] == f"snapshots/{ids[3]}"


def test_a_commit_goes_on_beside_it(
    becalm: Becalm, repository: Path, source: Path, tmp_path: Path, ids: list[str]
) -> None:
    tree = becalm("backup", "--capture", "--force", source).report["tree"]
    planned = {"tree": tree, "time": "2026-02-01T03:00:00Z", "hostname": "rose", "paths": [str(source)]}
    plan = tmp_path / "plan"
    plan.write_text(json.dumps({"snapshots": [planned]}))
    spoil(repository, ids[0])

    first = becalm("commit", "--plan", plan)
    assert (first.status, f"passing over snapshot {ids[0][:8]}: " in first.err) == (0, True)
    assert (
        becalm("commit", "--plan", plan).report["snapshots"]
        == becalm("commit", "--plan", plan).report["snapshots"]
    )
    assert len(stored(repository)) == 5


def test_the_others_are_listed(becalm: Becalm, repository: Path, ids: list[str]) -> None:
    spoil(repository, ids[1])

    result = becalm("snapshots")
    [listed] = becalm("snapshots", "--json").messages

    assert (result.status, ids[1][:8] in result.out) == (0, False)
    assert f"passing over snapshot {ids[1][:8]}: " in result.err
    assert [one["id"] for one in listed] == [ids[0], *ids[2:]]
    assert becalm("snapshots", ids[1]).status == 1


def test_a_first_pass_ahead_of_a_gate_hides_it_not(
    becalm: Becalm, repository: Path, source: Path, tmp_path: Path, ids: list[str]
) -> None:
    spoil(repository, ids[3])
    (tmp_path / "gate").write_text("open")

    result = becalm("backup", f"--gate={tmp_path / 'gate'}", "--pre-copy", source)

    assert result.status == 0
    assert f"error: snapshots/{ids[3]}: " in result.err


def test_a_policy_passes_over_it_and_does_not_count_it(
    becalm: Becalm, repository: Path, ids: list[str]
) -> None:
    spoil(repository, ids[3])

    result = becalm("forget", "--keep-last=2")

    assert result.status == 0
    assert f"passing over snapshot {ids[3][:8]}: " in result.err
    assert f"`becalm forget {ids[3]}`" in result.err
    assert (result.report["kept"], result.report["removed"]) == (2, 1)
    assert stored(repository) == sorted(ids[1:])
    told = json.loads(becalm("forget", "--keep-last=2", "--json").err)
    assert (told["item"], told["during"]) == (ids[3], "forget")


def test_its_name_is_enough_to_remove_it(becalm: Becalm, repository: Path, ids: list[str]) -> None:
    spoil(repository, ids[1])

    dry = becalm("forget", ids[1][:10], "--dry-run")
    assert "1 snapshots would be removed" in dry.out
    assert stored(repository) == sorted(ids)
    result = becalm("forget", ids[1][:10], ids[1], ids[0])

    assert (result.status, result.report["removed"]) == (0, 2)
    assert f"remove snapshot {ids[1][:8]}, which is damaged: " in result.out
    assert stored(repository) == sorted(ids[2:])


def test_which_is_the_latest_nobody_knows_beside_it(becalm: Becalm, repository: Path, ids: list[str]) -> None:
    spoil(repository, ids[1])

    assert becalm("forget", "latest").status == 1
    assert stored(repository) == sorted(ids)


def test_no_prune_deletes_anything_while_it_is_there(
    becalm: Becalm, repository: Path, ids: list[str]
) -> None:
    spoil(repository, ids[1])
    before = packs(repository)

    result = becalm("prune", "--max-unused=0")

    assert result.status == 1
    assert f"`becalm forget {ids[1]}` removes it; then prune again" in result.err
    assert packs(repository) == before


def test_a_prune_goes_with_it(becalm: Becalm, repository: Path, ids: list[str]) -> None:
    spoil(repository, ids[1])

    assert becalm("forget", ids[1], "--prune", "--dry-run", "--max-unused=0").status == 0
    assert becalm("forget", ids[1], "--prune", "--max-unused=0").status == 0
    assert becalm("check", "--read-data").status == 0


def test_a_check_says_how_to_be_rid_of_it(becalm: Becalm, repository: Path, ids: list[str]) -> None:
    spoil(repository, ids[1])

    result = becalm("check")

    assert result.status == 1
    assert f"`becalm recover` saves what it held, and `becalm forget {ids[1]}` removes it" in result.err


def test_what_it_held_is_recovered(becalm: Becalm, repository: Path, ids: list[str]) -> None:
    spoil(repository, ids[1])

    result = becalm("recover")

    assert result.status == 0
    assert f"passing over snapshot {ids[1][:8]}: " in result.err
    assert "found 1 unreferenced roots" in result.out


def test_the_others_are_repaired(becalm: Becalm, repository: Path, ids: list[str]) -> None:
    spoil(repository, ids[1])

    every = becalm("repair", "snapshots")
    named = becalm("repair", "snapshots", ids[1], ids[2])

    for result in (every, named):
        assert result.status == 0
        assert f"passing over snapshot {ids[1][:8]}: " in result.err
        assert "no snapshots were modified" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tag", "--add=seen"), "modified 3 snapshots"),
        (("rewrite", "--new-host=lily"), "modified 3 snapshots"),
        (("rewrite", "--new-host=lily", "--forget"), "modified 3 snapshots"),
        (("rewrite", "--new-host=lily", "--dry-run"), "would modify 3 snapshots"),
        (("stats",), "Snapshots processed:  3"),
        (("find", "of day 1"), "of day 1"),
    ],
)
def test_the_others_are_worked_on_and_the_command_fails(
    becalm: Becalm, repository: Path, ids: list[str], arguments: tuple[str, ...], words: str
) -> None:
    spoil(repository, ids[1])

    result = becalm(*arguments)

    assert result.status == 1
    assert f"passing over snapshot {ids[1][:8]}: " in result.err
    assert f"{arguments[0]} passed over 1 damaged snapshots: " in result.report["error"]["message"]
    assert words in result.out


@pytest.mark.parametrize("arguments", [("tag", "--add=seen"), ("rewrite", "--new-host=lily", "--forget")])
def test_those_that_are_named_are_changed_and_it_is_not(
    becalm: Becalm, repository: Path, ids: list[str], arguments: tuple[str, ...]
) -> None:
    spoil(repository, ids[1])

    named = becalm(*arguments, ids[2])
    itself = becalm(*arguments, ids[1])

    assert (named.status, itself.status) == (0, 1)
    assert "modified 1 snapshots" in named.out
    assert ids[1] in stored(repository)
    assert ids[2] not in stored(repository)


def test_the_others_are_copied_and_one_at_the_target_keeps_none_back(
    becalm: Becalm, repository: Path, tmp_path: Path, ids: list[str]
) -> None:
    target = tmp_path / "target"
    initialise(LocalStorage(target), PASSWORD, cost=CHEAP)
    flags = (f"--repo={target}", f"--from-repo={repository}", f"--from-password-file={tmp_path / 'password'}")
    (tmp_path / "password").write_text(PASSWORD)
    spoil(repository, ids[1])

    copied = becalm("copy", *flags)
    [spoilt, *whole] = stored(target)
    spoil(target, spoilt)
    again = becalm("copy", *flags)
    named = becalm("copy", *flags, ids[3])

    assert (copied.status, again.status, named.status, len(whole)) == (1, 1, 0, 2)
    for result, name in ((copied, ids[1]), (again, ids[1]), (again, spoilt), (named, spoilt)):
        assert f"passing over snapshot {name[:8]}: " in result.err
    assert len(stored(target)) == 4
