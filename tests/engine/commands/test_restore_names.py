"""Names of a snapshot that are one name where it is restored, and places that somebody takes meanwhile."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands import restore as restore_command
from becalm_engine.commands.backup import Captured
from becalm_engine.commands.restored import Outcome
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.storage.local import LocalStorage
from becalm_engine.volume import target
from tests.engine.commands import planted
from tests.engine.commands.world import World

TAKEN = "its place was free and is taken now"


@dataclass(frozen=True)
class Stored:
    """A folder that was backed up."""

    world: World
    source: Path
    captured: Captured

    def restore(self, back: Path, **options: Any) -> Outcome:
        """Restore it."""
        return self.world.restore_folder(self.captured, self.source, back, **options)


@pytest.fixture
def stored(place: Path) -> Stored:
    """Pairs of names that differ in case: files of one blob and of several, links, and names of one file."""
    folder = place / "source"
    folder.mkdir()
    for name in ("readme", "README"):
        (folder / name).write_text(name)
    for name in ("Large", "LARGE"):
        (folder / name).write_bytes(ZERO_BLOCK + name.encode() * 200_000)
    for name in ("Link", "LINK"):
        (folder / name).symlink_to(name)
    for name in ("Pipe", "PIPE"):
        os.mkfifo(folder / name)
    (folder / "name").write_text("name")
    (folder / "other").hardlink_to(folder / "name")
    (folder / "OTHER").hardlink_to(folder / "name")
    world = World(LocalStorage(place / "repository"))
    return Stored(world, folder, world.backup(folder))


@pytest.fixture
def ignored_case(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Stored:
    """A target that from now on ignores case: each name below it is the one in small letters."""

    def lowered(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(name: Any, *arguments: Any, **named: Any) -> Any:
            is_below = isinstance(name, bytes) and named.get("dir_fd") is not None
            return call(name.lower() if is_below else name, *arguments, **named)

        return wrapper

    for name in ("open", "stat", "unlink", "rmdir", "mkdir", "mkfifo"):
        monkeypatch.setattr(os, name, lowered(getattr(os, name)))
    symlink, link = os.symlink, os.link
    monkeypatch.setattr(os, "symlink", lambda to, name, **named: symlink(to, name.lower(), **named))
    monkeypatch.setattr(os, "link", lambda old, new, **named: link(old.lower(), new.lower(), **named))
    return stored


def lost(failed: list[str]) -> set[str]:
    return {text.partition(":")[0].removeprefix("/") for text in failed if TAKEN in text}


@pytest.mark.parametrize("processes", [1, 3])
def test_no_file_replaces_another_of_the_snapshot(
    ignored_case: Stored, place: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_command, "_MANY_FILES", 1)
    source, back = ignored_case.source, place / "back"

    outcome = ignored_case.restore(back, processes=processes, verify=True)

    missing = lost(outcome.failed)
    assert sorted(name.lower() for name in missing) == ["large", "link", "other", "pipe", "readme"]
    assert len(outcome.failed) == 5
    for name in {path.name for path in source.iterdir()} - missing:
        if (source / name).is_symlink():
            assert (back / name.lower()).readlink() == (source / name).readlink()
        elif (source / name).is_file():
            assert (back / name.lower()).read_bytes() == (source / name).read_bytes()


@pytest.mark.parametrize("rule", list(Overwrite))
def test_nor_does_it_when_the_same_command_comes_again(
    ignored_case: Stored, place: Path, rule: Overwrite
) -> None:
    back = place / "back"
    ignored_case.restore(back)

    for dry_run in (True, False):
        outcome = ignored_case.restore(back, overwrite=rule, dry_run=dry_run)

        refused = {text.partition(":")[0] for text in outcome.failed if "is the same name here" in text}
        assert sorted(path.lower() for path in refused) == [
            "/large",
            "/link",
            "/name",
            "/other",
            "/pipe",
            "/readme",
        ]
        assert len(outcome.failed) == 6


def test_what_is_there_by_a_name_in_other_letters_is_not_deleted_but_written(
    ignored_case: Stored, world: World, place: Path
) -> None:
    back, content = place / "back", planted.plant_content(world, b"new")
    inside = planted.plant(world, [planted.node(b"File", content=(content,), size=3)])
    tree = planted.plant(
        world, [planted.folder(b"Folder", inside), planted.node(b"Name", content=(content,), size=3)]
    )
    (back / "folder").mkdir(parents=True)
    for path in (back / "name", back / "other", back / "folder" / "file"):
        path.write_text("old")

    outcome = world.restore(tree, back, delete=True)

    assert (outcome.failed, outcome.files_deleted) == ([], 1)
    assert sorted(path.name for path in back.iterdir()) == ["folder", "name"]
    assert (back / "name").read_text() == (back / "folder" / "file").read_text() == "new"


def test_files_of_one_number_by_different_names_are_several(
    stored: Stored, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.restore(place / "back")
    really = os.stat

    def numberless(path: Any, **named: Any) -> os.stat_result:
        found = really(path, **named)
        return os.stat_result((found[0], 7, *found[2:]), {"st_mtime_ns": found.st_mtime_ns})

    monkeypatch.setattr(os, "stat", numberless)

    assert stored.restore(place / "back", overwrite=Overwrite.IF_CHANGED).failed == []


def test_what_somebody_puts_there_meanwhile_stays(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [planted.node(b"file", content=(planted.plant_content(world, b"text"),), size=4)]
    tree, really = planted.plant(world, files), target.create_file

    def late(folder: int, name: bytes, *arguments: Any, **named: Any) -> int:
        (place / "back" / "file").write_text("somebody's")
        return really(folder, name, *arguments, **named)

    monkeypatch.setattr(target, "create_file", late)
    outcome = world.restore(tree, place / "back")

    assert (lost(outcome.failed), outcome.files_restored) == ({"file"}, 0)
    assert (place / "back" / "file").read_text() == "somebody's"


def test_what_was_found_there_is_replaced(stored: Stored, place: Path) -> None:
    back = place / "back"
    back.mkdir()
    for path in stored.source.iterdir():
        (back / path.name).symlink_to("nowhere")

    outcome = stored.restore(back)

    assert outcome.failed == []
    assert (back / "README").read_text() == "README"
    assert (back / "LINK").readlink() == Path("LINK")
    assert (back / "OTHER").samefile(back / "name")
