"""Objects of the repository as they are, named and printed as restic does."""

import json
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Becalm


@pytest.fixture
def stored(becalm: Becalm, source: Path) -> str:
    """The id of a snapshot of the source."""
    becalm("backup", source)
    found: str = becalm("snapshots", "--json").messages[0][0]["id"]
    return found


def test_a_tree_may_be_named_by_its_snapshot_and_a_folder_in_it(
    becalm: Becalm, stored: str, source: Path
) -> None:
    of_all = json.loads(becalm("cat", "tree", stored[:8]).out)
    of_source = json.loads(becalm("cat", "tree", f"latest:{source}").out)

    assert [node["name"] for node in of_all["nodes"]] == [source.parts[1]]
    assert {node["name"] for node in of_source["nodes"]} == {path.name for path in source.iterdir()}


def test_a_file_is_no_tree(becalm: Becalm, stored: str, source: Path) -> None:
    result = becalm("cat", "tree", f"{stored}:{source}/file")

    assert result.status == 1
    assert "is no folder" in result.err


@pytest.mark.parametrize("kind", ["snapshot", "key"])
def test_what_people_read_is_indented(becalm: Becalm, stored: str, kind: str) -> None:
    name = stored if kind == "snapshot" else becalm("list", "keys").out.strip()

    result = becalm("cat", kind, name)

    assert result.out.splitlines()[0] == "{"
    assert result.out.splitlines()[1].startswith('  "')
    assert isinstance(json.loads(result.out), dict)


def test_what_it_prints_cannot_steer_a_terminal(becalm: Becalm, source: Path) -> None:
    becalm("backup", source, "--host", "a\x9b31mb")

    shown = becalm("cat", "snapshot", becalm("list", "snapshots").out.strip()).out

    assert "\x9b" not in shown
    assert json.loads(shown)["hostname"] == "a\x9b31mb"
