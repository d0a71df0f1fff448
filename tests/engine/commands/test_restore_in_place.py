"""A restore over what is there: directories in the way, and files that are read-only to who restores."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands.restored import Action, Outcome
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.selection import Selection
from tests.engine.commands.world import World
from tests.engine.volume.picture import below, differences, picture
from tests.engine.volume.powerless import powerless

IN_THE_WAY = (
    "a directory that is not empty is in its place; --delete replaces it unless it holds what is left out"
)


# --- directories where files go


@pytest.fixture
def source(place: Path) -> Path:
    """Files of one blob and of several, a link, and two names of a file."""
    folder = place / "source"
    folder.mkdir()
    (folder / "small").write_text("small")
    (folder / "large").write_bytes(ZERO_BLOCK + os.urandom(1_000_000))
    (folder / "link").symlink_to("small")
    (folder / "name").write_text("name")
    (folder / "other").hardlink_to(folder / "name")
    return folder


NAMES = ("large", "link", "name", "other", "small")


def put_in_the_way(back: Path, *names: str) -> None:
    for name in names:
        (back / name / "inner").mkdir(parents=True)
        (back / name / "inner" / "keep").write_text("keep")


@pytest.mark.parametrize("name", NAMES)
def test_without_delete_a_directory_that_is_not_empty_stays_and_is_that_file_s_failure(
    world: World, source: Path, place: Path, name: str
) -> None:
    captured = world.backup(source)
    put_in_the_way(place / "back", name)

    outcome = world.restore_folder(captured, source, place / "back")

    assert (place / "back" / name / "inner" / "keep").read_text() == "keep"
    assert outcome.failed[0] == f"/{name}: {IN_THE_WAY}"
    others = {"/other: it is /name by another name, which could not be restored"} if name == "name" else set()
    assert set(outcome.failed[1:]) == others
    assert outcome.files_deleted == 0


def test_an_empty_directory_is_replaced(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    for name in NAMES:
        (place / "back" / name).mkdir(parents=True)

    outcome = world.restore_folder(captured, source, place / "back")

    assert (outcome.failed, outcome.files_deleted) == ([], 0)
    assert differences(picture(source), picture(place / "back")) == []


def test_with_delete_it_is_replaced_and_what_was_in_it_is_told(
    world: World, source: Path, place: Path
) -> None:
    captured = world.backup(source)
    put_in_the_way(place / "back", *NAMES)
    told: list[list[tuple[Action, str, int | None]]] = [[], []]

    tried = world.restore_folder(
        captured, source, place / "back", delete=True, dry_run=True, listen=lambda *what: told[0].append(what)
    )
    assert (place / "back" / "small" / "inner" / "keep").read_text() == "keep"
    outcome = world.restore_folder(
        captured, source, place / "back", delete=True, listen=lambda *what: told[1].append(what)
    )

    assert (tried.failed, outcome.failed) == ([], [])
    assert differences(picture(source), picture(place / "back")) == []
    assert sorted(told[0]) == sorted(told[1])
    deleted = {path for action, path, _ in told[1] if action is Action.DELETED}
    assert deleted == {f"/{name}/{path}" for name in NAMES for path in ("inner", "inner/keep")}


@pytest.mark.parametrize("rule", [Overwrite.IF_NEWER, Overwrite.NEVER])
def test_where_the_rule_keeps_it_delete_empties_no_directory(
    world: World, source: Path, place: Path, rule: Overwrite
) -> None:
    captured = world.backup(source)
    put_in_the_way(place / "back", "small")

    outcome = world.restore_folder(captured, source, place / "back", delete=True, overwrite=rule)

    assert outcome.failed == []
    assert (place / "back" / "small" / "inner" / "keep").read_text() == "keep"


def test_delete_empties_no_directory_in_place_of_a_file_that_is_not_asked_for(
    world: World, source: Path, place: Path
) -> None:
    captured = world.backup(source)
    put_in_the_way(place / "back", "small")

    world.restore_folder(
        captured, source, place / "back", delete=True, selection=Selection(exclude=(Patterns(["small"]),))
    )

    assert (place / "back" / "small" / "inner" / "keep").read_text() == "keep"


def test_what_is_left_out_stays_and_so_does_the_directory_that_holds_it(
    world: World, source: Path, place: Path
) -> None:
    captured = world.backup(source)
    put_in_the_way(place / "back", "small", "link")
    (place / "back" / "small" / "other").touch()

    outcome = world.restore_folder(
        captured,
        source,
        place / "back",
        delete=True,
        selection=Selection(exclude=(Patterns(["/small/*/keep"]),)),
    )

    assert outcome.failed == [f"/small: {IN_THE_WAY}"]
    assert below(place / "back" / "small") == {"inner", "inner/keep"}
    assert (place / "back" / "link").is_symlink()


# --- read-only files, and one who is not root


MODES = (0o444, 0o400, 0o555, 0o200, 0o000, 0o640)


@dataclass(frozen=True)
class Kept:
    """A folder that was restored by one who has no power, and what it came from."""

    source: Path
    back: Path
    restore: Callable[..., Outcome]

    def is_as_it_was(self) -> bool:
        """Say whether everything is as in the source."""
        return differences(picture(self.source), picture(self.back)) == []


@pytest.fixture
def kept(world: World, place: Path) -> Kept:
    source, back = place / "source", place / "back"
    source.mkdir()
    for mode in MODES:
        (source / f"{mode:o}").write_text(f"{mode:o}")
        (source / f"{mode:o}").chmod(mode)
    (source / "large").write_bytes(ZERO_BLOCK + os.urandom(1_000_000))
    for name in ("one", "two"):
        (source / name).write_text(name)
        os.setxattr(source / name, "user.name", name.encode())
    for name in ("large", "one", "two"):
        (source / name).chmod(0o444)
    captured = world.backup(source)

    def restore(**options: object) -> Outcome:
        with powerless():
            return world.restore_folder(captured, source, back, **options)

    assert restore().failed == []
    return Kept(source, back, restore)


def test_one_who_is_not_root_restores_read_only_files_with_all_they_have(kept: Kept) -> None:
    assert kept.is_as_it_was()


@pytest.mark.parametrize("rule", list(Overwrite))
def test_read_only_files_that_are_as_in_the_snapshot_stay(kept: Kept, rule: Overwrite) -> None:
    before = {path: path.stat().st_ino for path in kept.back.iterdir()}

    outcome = kept.restore(overwrite=rule, verify=True)

    assert (outcome.failed, outcome.problems.counts, outcome.bytes_restored) == ([], {}, 0)
    assert {path: path.stat().st_ino for path in kept.back.iterdir()} == before
    assert kept.is_as_it_was()


@pytest.mark.parametrize("rule", [Overwrite.ALWAYS, Overwrite.IF_CHANGED, Overwrite.IF_NEWER])
def test_read_only_files_that_have_changed_get_their_content_back(kept: Kept, rule: Overwrite) -> None:
    before = {path: path.stat().st_ino for path in kept.back.iterdir()}
    for path in kept.back.iterdir():
        with path.open("r+b") as file:
            file.write(b"!")
        os.utime(path, ns=(1, 1))

    outcome = kept.restore(overwrite=rule)

    assert (outcome.failed, outcome.problems.counts) == ([], {})
    assert {path: path.stat().st_ino for path in kept.back.iterdir()} == before
    assert kept.is_as_it_was()


def test_read_only_files_get_their_metadata_back(kept: Kept) -> None:
    for path in kept.back.iterdir():
        os.utime(path, ns=(1, 1))
        path.chmod(0o444)
    os.setxattr(kept.back / "one", "user.name", b"another")
    os.setxattr(kept.back / "444", "user.more", b"more")

    outcome = kept.restore()

    assert (outcome.failed, outcome.problems.counts) == ([], {})
    assert kept.is_as_it_was()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_somebody_else_and_is_read_only_stays_as_it_is(kept: Kept) -> None:
    (kept.back / "444").write_text("!!!")
    os.chown(kept.back / "444", 1234, 1234)
    (kept.back / "444").chmod(0o444)

    outcome = kept.restore()

    assert outcome.failed == ["/444: Permission denied"]
    assert (kept.back / "444").read_text() == "!!!"
    assert stat.S_IMODE((kept.back / "444").stat().st_mode) == 0o444


def test_a_read_only_file_with_other_names_is_not_made_writable(kept: Kept, place: Path) -> None:
    (kept.back / "444").unlink()
    (place / "elsewhere").write_text("not yours")
    (place / "elsewhere").chmod(0o444)
    (kept.back / "444").hardlink_to(place / "elsewhere")

    assert kept.restore().failed == []

    assert (place / "elsewhere").read_text() == "not yours"
    assert stat.S_IMODE((place / "elsewhere").stat().st_mode) == 0o444
    assert kept.is_as_it_was()
