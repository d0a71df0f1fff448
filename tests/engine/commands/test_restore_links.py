"""Which names of a restore become one file."""

import os
from pathlib import Path

import pytest

from becalm_engine.commands import restore_crew
from becalm_engine.format.tree import FIFO, SYMLINK
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.repository.reader import load_tree
from becalm_engine.storage.local import LocalStorage
from tests.engine.commands import planted
from tests.engine.commands.world import World
from tests.engine.volume.picture import differences, picture

KEEPING = pytest.mark.parametrize("rule", [Overwrite.IF_NEWER, Overwrite.NEVER])


@pytest.fixture
def source(place: Path) -> Path:
    """Three names of a file, and two of a link."""
    folder = place / "source"
    folder.mkdir()
    (folder / "a").write_text("of the snapshot")
    os.utime(folder / "a", ns=(1, 1_500_000_000_000_000_001))
    for name in ("b", "c"):
        (folder / name).hardlink_to(folder / "a")
    (folder / "l").symlink_to("a")
    os.link(folder / "l", folder / "m", follow_symlinks=False)
    return folder


@KEEPING
def test_no_name_is_linked_to_a_file_that_was_kept_though_it_is_another(
    world: World, source: Path, place: Path, rule: Overwrite
) -> None:
    captured, back = world.backup(source), place / "back"
    back.mkdir()
    (back / "a").write_text("later work")
    (back / "l").symlink_to("elsewhere")

    outcome = world.restore_folder(captured, source, back, overwrite=rule, verify=True)

    assert (outcome.failed, outcome.files_unchanged, outcome.files_restored) == ([], 2, 3)
    assert {name: (back / name).read_text() for name in "abc"} == {
        "a": "later work",
        "b": "of the snapshot",
        "c": "of the snapshot",
    }
    assert (back / "b").samefile(back / "c")
    assert [str((back / name).readlink()) for name in "lm"] == ["elsewhere", "a"]


@KEEPING
def test_names_are_linked_to_a_file_that_was_kept_as_it_is_in_the_snapshot(
    world: World, source: Path, place: Path, rule: Overwrite
) -> None:
    captured, back = world.backup(source), place / "back"
    world.restore_folder(captured, source, back)
    (back / "b").unlink()
    (back / "m").unlink()

    assert world.restore_folder(captured, source, back, overwrite=rule).failed == []

    assert differences(picture(source), picture(back)) == []


@pytest.mark.parametrize("processes", [1, 3])
def test_files_that_had_one_number_one_after_the_other_stay_two(
    place: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_crew, "_ALONE_ENTRIES", 1)
    world = World(LocalStorage(place / "repository"))
    (place / "source").mkdir()
    for name in ("one", "two"):
        (place / "source" / name).write_text(f"{name} of them")
    tree, _ = world.tree_at(world.backup(place / "source"), place / "source")
    files = load_tree(world.opened(), tree)
    for file in files:
        file.inode, file.device_id, file.links = 5, 1, 2
    others = [
        planted.node(b"pipe", FIFO, inode=5, device_id=1, links=2),
        *(
            planted.node(name, SYMLINK, link_target=name, inode=5, device_id=1, links=2)
            for name in (b"x", b"y")
        ),
    ]
    inner = planted.plant(world, [*others, *files])
    folders = [planted.folder(name, inner) for name in (b"first", b"second")]

    outcome = world.restore(planted.plant(world, folders), place / "back", processes=processes, verify=True)

    assert outcome.failed == []
    for folder in ("first", "second"):
        assert {name: (place / "back" / folder / name).read_text() for name in ("one", "two")} == {
            "one": "one of them",
            "two": "two of them",
        }
        assert [str((place / "back" / folder / name).readlink()) for name in "xy"] == ["x", "y"]
        assert (place / "back" / folder / "pipe").is_fifo()
        assert (place / "back" / folder / "one").samefile(place / "back" / "first" / "one")
