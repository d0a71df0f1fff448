from pathlib import Path

import pytest

from tests.engine.cli.conftest import Becalm


def spoil(repository: Path) -> Path:
    """Flip one byte in the largest pack; return the pack."""
    pack = max((repository / "data").glob("*/*"), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[50] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    return pack


@pytest.fixture(autouse=True)
def stored(becalm: Becalm, source: Path) -> None:
    """A backup whose largest pack has the content of a file."""
    (source / "file").write_text("a content that makes its pack the largest one" * 100)
    becalm("backup", "--host=rose", "--compression=off", source)


def test_damage_is_named_and_what_to_do_about_it(becalm: Becalm, repository: Path, source: Path) -> None:
    [[snapshot]] = becalm("snapshots", "--json").messages
    pack = spoil(repository)

    result = becalm("check", "--read-data")

    assert result.status == 1
    assert f"error: snapshot {snapshot['short_id']}: {source}: file " in result.err
    assert f"error: snapshot {snapshot['short_id']} is damaged" in result.err
    assert f"becalm repair packs {pack.name}" in result.err
    summary = becalm("check", "--read-data", "--json").messages[-1]
    assert summary["broken_packs"] == [pack.name]
    assert summary["damaged_snapshots"] == [snapshot["id"]]
    assert (summary["suggest_repair_index"], summary["suggest_prune"]) == (False, False)


def test_the_index_comes_first_where_packs_are_in_none(becalm: Becalm, repository: Path) -> None:
    for index in (repository / "index").iterdir():
        index.unlink()

    result = becalm("check")

    assert result.err.index("\n  becalm repair index\n") < result.err.index("becalm repair snapshots")
    assert becalm("check", "--json").messages[-1]["suggest_repair_index"] is True
    assert becalm("repair", "index").status == 0
    assert becalm("check", "--read-data").status == 0


def test_subsets_are_read(becalm: Becalm, repository: Path) -> None:
    spoil(repository)

    assert becalm("check", "--with-cache").status == 0
    assert becalm("check", "--read-data-subset=100%").status == 1
    assert becalm("check", "--read-data-subset=1/1").status == 1
    assert becalm("check", "--read-data-subset=10G").status == 1
    assert "read 1 of 2 packs" in becalm("check", "--read-data-subset=1%").out


@pytest.mark.parametrize("flags", [["--read-data-subset=0%"], ["--read-data-subset=1/2", "--read-data"]])
def test_a_subset_that_makes_no_sense_is_refused(becalm: Becalm, flags: list[str]) -> None:
    result = becalm("check", *flags)

    assert result.status == 1
    assert "--read-data-subset" in result.err


def test_snapshots_are_chosen(becalm: Becalm, repository: Path, source: Path) -> None:
    (source / "file").write_text("another content")
    becalm("backup", "--host=lily", source)
    [listed] = becalm("snapshots", "--json").messages
    for pack in (repository / "data").glob("*/*"):
        before = {one["hostname"]: becalm("check", f"--host={one['hostname']}").status for one in listed}
        content = pack.read_bytes()
        pack.unlink()
        after = becalm("check", "--host=rose", "--json").messages[-1]
        assert before == {"rose": 0, "lily": 0}
        assert {one["hostname"] for one in listed if one["id"] in after["damaged_snapshots"]} <= {"rose"}
        pack.write_bytes(content)
