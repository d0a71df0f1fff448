"""New files get what they need and no more; whatever a folder gives them is found out, not foretold."""

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.policy.overwrite import UNFINISHED
from becalm_engine.volume.creating import NewFiles

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    handle = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield handle
    os.close(handle)


def made(files: NewFiles, name: str, mode: int, uid: int, gid: int) -> tuple[bool, os.stat_result]:
    handle, is_as_wanted = files.create(name.encode(), mode, uid, gid)
    try:
        return is_as_wanted, os.fstat(handle)
    finally:
        os.close(handle)


@given(
    modes=st.lists(
        st.sampled_from([0o600, 0o644, 0o664, 0o400, 0o4755, 0o2755, 0o1644, 0o777, 0]), min_size=1
    ),
    owners=st.lists(st.sampled_from([0, 1234]), min_size=2, max_size=2),
    umask=st.sampled_from([0, 0o022, 0o077]),
    folder_mode=st.sampled_from([0o700, 0o2700]),
)
@root_only
def test_what_is_said_to_be_as_wanted_is_so_and_all_else_is_closed_to_others(
    tmp_path_factory: pytest.TempPathFactory,
    modes: list[int],
    owners: list[int],
    umask: int,
    folder_mode: int,
) -> None:
    path = tmp_path_factory.mktemp("new")
    os.chown(path, -1, owners[0])
    path.chmod(folder_mode)
    handle, before = os.open(path, os.O_RDONLY), os.umask(umask)
    try:
        files = NewFiles(handle)
        for number, mode in enumerate(modes):
            as_wanted, found = made(files, f"f{number}", mode, 0, owners[1])

            if as_wanted:
                assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, 0, owners[1])
            elif (found.st_uid, found.st_gid) != (0, owners[1]):
                assert stat.S_IMODE(found.st_mode) & 0o077 == 0
    finally:
        os.umask(before)
        os.close(handle)


def test_a_second_file_of_a_mode_is_not_looked_at(folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    files, looked, real = NewFiles(folder), [], os.fstat

    def look(handle: int) -> os.stat_result:
        looked.append(handle)
        return real(handle)

    monkeypatch.setattr(os, "fstat", look)

    said = []
    for number in range(5):
        handle, is_as_wanted = files.create(b"f%d" % number, 0o600, os.geteuid(), os.getegid())
        os.close(handle)
        said.append(is_as_wanted)

    assert said == [False, True, True, True, True]
    assert len(looked) == 2


def test_files_that_get_attributes_from_their_folder_are_never_as_wanted(folder: int, tmp_path: Path) -> None:
    entries = [(1, 6, -1), (2, 4, 1234), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
    default = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", default)
    except OSError:
        pytest.skip("no ACLs here")
    files = NewFiles(folder)

    assert [made(files, f"f{n}", 0o644, os.geteuid(), os.getegid())[0] for n in range(3)] == [False] * 3


def test_a_mode_that_the_umask_takes_bits_from_is_set_later(folder: int) -> None:
    before = os.umask(0o027)
    try:
        files = NewFiles(folder)
        said = [made(files, f"f{n}", 0o644, os.geteuid(), os.getegid())[0] for n in range(3)]
    finally:
        os.umask(before)

    assert said == [False, False, False]


def test_what_is_in_the_way_is_replaced(folder: int, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("old")
    (tmp_path / "g").mkdir()
    files = NewFiles(folder)

    for name in ("f", "g"):
        assert made(files, name, 0o640, os.geteuid(), os.getegid())[1].st_size == 0
    assert (tmp_path / "g").is_file()


def test_marked_files_are_known_as_unfinished_whatever_mode_they_are_to_have(folder: int) -> None:
    files = NewFiles(folder, marked=True)

    for number in range(3):
        is_as_wanted, found = made(files, f"f{number}", 0o644, os.geteuid(), os.getegid())
        assert (is_as_wanted, stat.S_IMODE(found.st_mode)) == (False, UNFINISHED)
