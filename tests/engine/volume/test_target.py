import contextlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import TargetError
from becalm_engine.format.tree import SYMLINK, Node
from becalm_engine.policy.overwrite import UNFINISHED
from becalm_engine.volume import removing, target
from becalm_engine.volume.target import Target
from tests.engine.volume.descriptors import open_below
from tests.engine.volume.powerless import powerless


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_RDONLY)
    yield opened
    os.close(opened)


@pytest.fixture
def place(handle: int) -> Iterator[Target]:
    with contextlib.closing(Target(handle)) as opened:
        yield opened


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"/etc", b"a\0"])
def test_names_that_lead_out_are_refused(name: bytes) -> None:
    with pytest.raises(TargetError):
        target.refuse_name(name)


@pytest.mark.parametrize("name", [b"...", b"..a", b"\xff", b"a\n", b"\\"])
def test_odd_names_are_names(name: bytes) -> None:
    target.refuse_name(name)


def test_a_target_is_made_with_all_that_leads_to_it(tmp_path: Path) -> None:
    os.close(target.open_target(str(tmp_path / "a" / "b")))

    assert (tmp_path / "a" / "b").is_dir()


def test_a_target_that_is_no_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(TargetError, match="cannot restore into"):
        target.open_target(str(tmp_path / "file"))


def test_folders_are_made_where_they_are_missing(tmp_path: Path, place: Target) -> None:
    (tmp_path / "there").mkdir()
    with place.folder((b"there", b"new", b"newer"), make=True) as folder:
        assert os.path.samestat(os.fstat(folder), (tmp_path / "there" / "new" / "newer").stat())


@pytest.mark.parametrize("make", [True, False])
def test_a_link_in_the_way_is_never_entered(tmp_path: Path, place: Target, make: bool) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "link").symlink_to("outside")
    if make:
        with place.folder((b"link", b"x"), make=True):
            pass
        assert not (tmp_path / "link").is_symlink()
    else:
        with pytest.raises(OSError), place.folder((b"link",)):
            pass
    assert list((tmp_path / "outside").iterdir()) == []


_NAMES = st.sampled_from((b"a", b"b"))
_PATHS = st.lists(_NAMES, max_size=40).map(tuple)


@given(st.lists(st.one_of(_PATHS, _PATHS.map(lambda path: (b"a",) * 20 + path)), max_size=12))
def test_whatever_was_opened_before_the_folder_is_the_one_that_was_asked_for(
    tmp_path_factory: pytest.TempPathFactory, paths: list[tuple[bytes, ...]]
) -> None:
    root = tmp_path_factory.mktemp("target")
    opened = os.open(root, os.O_RDONLY)
    with contextlib.closing(Target(opened)) as place:
        for path in paths:
            with place.folder(path, make=True) as folder:
                assert os.path.samestat(os.fstat(folder), root.joinpath(*map(os.fsdecode, path)).stat())
        for path in paths:
            with pytest.raises(FileNotFoundError), place.folder((*path, b"missing", b"more")):
                pass
            with place.folder(path) as folder:
                assert os.path.samestat(os.fstat(folder), root.joinpath(*map(os.fsdecode, path)).stat())
        assert len(open_below(root)) <= 18
    assert open_below(root) == [root]
    os.close(opened)


def test_a_deep_target_is_walked_a_few_levels_at_a_time(
    place: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels, opened, really = 600, [], target.open_directory

    def counted(folder: int, name: bytes) -> int:
        opened.append(name)
        return really(folder, name)

    monkeypatch.setattr(target, "open_directory", counted)
    for depth in (*range(levels), *reversed(range(levels))):
        with place.folder((b"d",) * depth, make=True):
            pass

    assert len(opened) < levels * levels / 20


def test_each_thread_has_the_folder_that_it_asked_for(tmp_path: Path, place: Target) -> None:
    def look(number: int) -> bool:
        name = b"%d" % (number % 3)
        with place.folder((name,), make=True) as one, place.folder((b"other",), make=True) as other:
            asked = os.path.samestat(os.fstat(one), (tmp_path / name.decode()).stat())
            return asked and os.path.samestat(os.fstat(other), (tmp_path / "other").stat())

    (tmp_path / "other").mkdir()
    for number in range(3):
        (tmp_path / f"{number}").mkdir()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, range(200)))


def test_no_descriptor_is_left_open(tmp_path: Path, handle: int) -> None:
    place = Target(handle)

    with place.folder((b"a", b"b", b"c"), make=True):
        pass
    with pytest.raises(FileNotFoundError), place.folder((b"a", b"none")):
        pass
    removing.remove(handle, b"a")
    place.close()

    assert open_below(tmp_path) == [tmp_path]
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_takes_the_place_of_anything(tmp_path: Path, handle: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    os.mkfifo(tmp_path / "fifo")

    for name in (b"folder", b"link", b"fifo", b"nothing"):
        os.close(target.create_file(handle, name))
        assert (tmp_path / name.decode()).read_bytes() == b""
        assert stat.S_IMODE((tmp_path / name.decode()).stat().st_mode) == UNFINISHED


def test_nothing_is_replaced_where_nothing_was(tmp_path: Path, handle: int) -> None:
    (tmp_path / "file").write_text("mine")
    node = Node(b"file", SYMLINK, 0o777, 1, 1, 1, 0, 0, link_target=b"x")

    with pytest.raises(FileExistsError):
        target.create_file(handle, b"file", replaces=False)
    with pytest.raises(FileExistsError):
        target.create_special(handle, b"file", node, replaces=False)
    assert (tmp_path / "file").read_text() == "mine"


def test_only_an_empty_directory_is_replaced(tmp_path: Path, handle: int) -> None:
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    node = Node(b"folder", SYMLINK, 0o777, 1, 1, 1, 0, 0, link_target=b"x")

    for replace in (
        lambda: target.create_file(handle, b"folder"),
        lambda: target.create_special(handle, b"folder", node),
        lambda: target.make_way(handle, b"folder"),
    ):
        with pytest.raises(TargetError, match="--delete replaces it"):
            replace()
    assert (tmp_path / "folder" / "inside").is_dir()


@pytest.mark.parametrize("kind", ["link", "fifo", "hard link"])
def test_only_a_file_of_our_own_is_written(tmp_path: Path, handle: int, kind: str) -> None:
    (tmp_path / "other").write_text("other")
    if kind == "link":
        (tmp_path / "x").symlink_to("other")
    elif kind == "fifo":
        os.mkfifo(tmp_path / "x")
    else:
        (tmp_path / "x").hardlink_to(tmp_path / "other")

    with pytest.raises((TargetError, OSError)):
        target.open_for_writing(handle, b"x")
    with pytest.raises((TargetError, OSError)):
        target.open_for_metadata(handle, b"x")
    assert (tmp_path / "other").read_text() == "other"


@pytest.mark.parametrize("mode", [0o444, 0o555, 0o200, 0o000])
def test_a_file_of_one_s_own_is_looked_at_whatever_its_mode_which_stays(
    tmp_path: Path, handle: int, mode: int
) -> None:
    (tmp_path / "file").write_text("content")
    (tmp_path / "file").chmod(mode)

    with powerless():
        for opened in (target.open_for_reading(handle, b"file"), target.open_for_metadata(handle, b"file")):
            assert os.read(opened, 10) == b"content"
            os.close(opened)

    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o444, 0o4555, 0o000])
def test_a_read_only_file_of_one_s_own_becomes_writable_and_nothing_else(
    tmp_path: Path, handle: int, mode: int
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(mode)

    with powerless():
        os.close(target.open_for_writing(handle, b"file"))

    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode & 0o777 | 0o200


def test_no_link_and_no_other_name_has_its_mode_changed(tmp_path: Path, handle: int) -> None:
    (tmp_path / "other").touch()
    (tmp_path / "name").hardlink_to(tmp_path / "other")
    (tmp_path / "other").chmod(0)
    (tmp_path / "link").symlink_to("other")

    with powerless():
        for name in (b"link", b"name"):
            with pytest.raises(OSError):
                target.open_for_writing(handle, name)

    assert stat.S_IMODE((tmp_path / "other").stat().st_mode) == 0


def test_removing_what_is_not_there_is_no_error(handle: int) -> None:
    removing.remove(handle, b"nothing")


def test_a_file_that_may_not_be_removed_says_so(
    tmp_path: Path, handle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", refuse)

    with pytest.raises(PermissionError):
        removing.remove(handle, b"file")
