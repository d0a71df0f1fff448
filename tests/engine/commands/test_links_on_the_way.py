"""Sources whose paths lead through symbolic links: they are stored where they are named, or it is said why not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from becalm_engine.commands import backup
from becalm_engine.commands.backup import Captured
from becalm_engine.commands.sources import arrange, leaves
from becalm_engine.format.tree import DIR
from becalm_engine.storage.local import LocalStorage
from tests.engine.commands.world import World

FILES = {"one": b"a/one", "two.log": b"a/two.log"}


@pytest.fixture
def linked(source: Path) -> Path:
    """A folder with a link to the source, one to that link, and one to a file."""
    place = source.parent
    (place / "link").symlink_to("source")
    (place / "twice").symlink_to(place / "link")
    (place / "to-file").symlink_to(source / "large")
    return place


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def restored(world: World, captured: Captured, folder: Path, out: Path) -> dict[str, bytes]:
    assert (world.told, captured.report.exit_code) == ([], 0)
    world.restore_folder(captured, folder, out)
    return content(out)


@pytest.mark.parametrize("link", ["link", "twice"])
def test_a_link_on_the_way_to_a_source_is_stored_as_the_folder_it_leads_to(
    world: World, linked: Path, link: str
) -> None:
    captured = world.backup(linked / link / "a")

    assert restored(world, captured, linked / link / "a", linked / "out") == FILES
    _, node = world.tree_at(captured, linked / link)
    about = (linked / "source").stat()
    assert node is not None
    assert (node.type, node.mode, node.inode) == (DIR, about.st_mode & 0o7777, about.st_ino)
    assert node.mtime == about.st_mtime_ns


def test_it_has_the_attributes_of_that_folder(world: World, linked: Path) -> None:
    try:
        os.setxattr(linked / "source", "user.kept", b"yes")
    except OSError:
        pytest.skip("the file system has no attributes")

    captured = world.backup(linked / "link" / "a")

    _, node = world.tree_at(captured, linked / "link")
    assert node is not None
    assert ("user.kept", b"yes") in node.xattrs


def test_a_file_behind_a_link_is_stored(world: World, linked: Path) -> None:
    captured = world.backup(linked / "link" / "a" / "one")

    assert restored(world, captured, linked / "link" / "a", linked / "out") == {"one": b"a/one"}


def test_a_relative_source_may_lead_through_a_link(
    world: World, linked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(linked / "source")

    captured = world.backup("../link/a")

    assert (world.told, captured.report.exit_code) == ([], 0)
    world.restore(captured.tree, linked / "out")
    assert content(linked / "out") == {f"link/a/{name}": text for name, text in FILES.items()}


def test_what_lies_behind_a_link_is_known_the_next_time(world: World, linked: Path) -> None:
    first = world.backup(linked / "link" / "a")

    second = world.backup(linked / "link" / "a")

    assert second.report.files_unmodified == first.report.files_new == 2
    assert second.report.data_blobs == 0


def test_several_processes_store_what_lies_behind_a_link(
    linked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(LocalStorage(linked / "repository"))
    monkeypatch.setattr(backup, "is_large", lambda _: True)

    captured = world.backup(linked / "twice" / "a", linked / "link", linked / "link" / "b", processes=2)

    assert restored(world, captured, linked / "twice" / "a", linked / "out") == FILES
    world.restore_folder(captured, linked / "link", linked / "all")
    assert content(linked / "all") == content(linked / "source")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_link_that_leads_to_another_source_is_taken_as_a_folder(
    world: World, linked: Path, order: tuple[int, int]
) -> None:
    named = linked / "link", linked / "link" / "a"

    captured = world.backup(*(named[number] for number in order))

    assert restored(world, captured, linked / "link", linked / "out") == content(linked / "source")


def test_a_way_through_a_file_leads_to_no_source(world: World, linked: Path) -> None:
    captured = world.backup(linked / "to-file" / "below", linked / "source" / "a")

    assert world.told == [(str(linked / "to-file" / "below"), "scan", "it does not exist")]
    assert captured.report.exit_code == 3


def _removed(link: Path) -> None:
    link.unlink()


def _dangling(link: Path) -> None:
    link.unlink()
    link.symlink_to("nowhere")


def _to_a_file(link: Path) -> None:
    link.unlink()
    link.symlink_to("source/large")


def _a_file(link: Path) -> None:
    link.unlink()
    link.write_text("no folder")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_removed, "No such file or directory"),
        (_dangling, "No such file or directory"),
        (_to_a_file, "Not a directory"),
        (_a_file, "Not a directory"),
    ],
)
@pytest.mark.parametrize("leaf", [False, True])
def test_sources_are_told_if_the_way_to_them_is_no_longer_a_folder(
    world: World,
    linked: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    reason: str,
    *,
    leaf: bool,
) -> None:
    """A leaf that others lie below is told itself."""
    below = [linked / "link" / "a", linked / "link" / "b" / "three"]
    sources = [linked / "source" / "a", *([linked / "link"] if leaf else []), *below]
    arranged = arrange([str(one) for one in sources])

    def changed(_: object) -> object:
        change(linked / "link")
        return arranged

    monkeypatch.setattr("becalm_engine.commands.sources.arrange", changed)

    captured = world.capture(*sources)

    lost = [linked / "link"] if leaf else below
    assert sorted(world.told) == [(str(path), "scan", reason) for path in lost]
    assert captured.report.exit_code == 3
    world.tree_at(captured, linked / "source" / "a")


def test_a_source_that_others_lie_below_is_one_source(linked: Path) -> None:
    root = arrange([str(linked / "link" / "a"), str(linked / "link")])

    assert list(leaves(root)) == [bytes(linked / "link")]
