import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.volume import scan

BLOCK = 1024 * 1024


def test_a_directory_is_listed_by_raw_name_and_links_are_not_followed(tmp_path: Path) -> None:
    for name in (b"b", b"\xff", b"a"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    (tmp_path / "c").symlink_to("/nowhere")

    handle = scan.open_directory(os.fsencode(tmp_path))

    found, failed = scan.list_directory(handle)

    os.close(handle)
    assert [name for name, _ in found] == [b"a", b"b", b"c", b"\xff"]
    assert stat.S_ISLNK(found[2][1].st_mode)
    assert failed == []


@pytest.mark.parametrize("listing", [scan.list_directory, scan.list_unseen])
def test_a_name_that_the_kernel_lists_twice_is_one_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: Callable[[int], tuple[list[Any], list[Any]]]
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    real = os.scandir

    @contextlib.contextmanager
    def twice(folder: int) -> Iterator[list[os.DirEntry[str]]]:
        with real(folder) as entries:
            found = list(entries)
        yield [*found, found[0]]

    monkeypatch.setattr(os, "scandir", twice)
    handle = scan.open_directory(os.fsencode(tmp_path))
    try:
        found, failed = listing(handle)
    finally:
        os.close(handle)

    assert [name for name, _ in found] == [b"a", b"b", b"c"]
    assert failed == []


@dataclass(frozen=True)
class Gone:
    """An entry of a directory that was removed after it had been listed."""

    name: str

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        raise FileNotFoundError(errno.ENOENT, "gone")

    def is_file(self, *, follow_symlinks: bool) -> bool:
        return False


@pytest.mark.parametrize("listing", [scan.list_directory, scan.list_unseen])
@pytest.mark.parametrize("is_back", [True, False])
def test_of_a_name_listed_twice_only_the_later_one_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    listing: Callable[[int], tuple[list[Any], list[Any]]],
    is_back: bool,
) -> None:
    (tmp_path / "a").mkdir()
    real = os.scandir

    @contextlib.contextmanager
    def twice(folder: int) -> Iterator[list[Any]]:
        with real(folder) as entries:
            found = list(entries)
        yield [Gone("a"), *found] if is_back else [*found, Gone("a")]

    monkeypatch.setattr(os, "scandir", twice)
    handle = scan.open_directory(os.fsencode(tmp_path))
    try:
        found, failed = listing(handle)
    finally:
        os.close(handle)

    names = [name for name, _ in found], [name for name, _ in failed]
    assert names == (([b"a"], []) if is_back else ([], [b"a"]))


def test_regular_files_need_not_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "c").symlink_to(tmp_path / "b")

    handle = scan.open_directory(os.fsencode(tmp_path))

    unseen, seen = scan.list_unseen(handle), scan.list_directory(handle)

    os.close(handle)
    assert unseen == ([seen[0][0], (b"b", None), seen[0][2]], [])


def test_a_directory_of_any_depth_is_opened(tmp_path: Path) -> None:
    path, handle = os.fsencode(tmp_path), os.open(tmp_path, os.O_RDONLY)
    for _ in range(50):
        name = b"d" * 200
        os.mkdir(name, dir_fd=handle)
        inside = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        path, handle = path + b"/" + name, inside
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)

    opened = scan.open_directory(path)

    assert [name for name, _ in scan.list_directory(opened)[0]] == [b"file"]
    os.close(opened)


def test_a_link_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(OSError):
        scan.open_directory(os.fsencode(tmp_path / "link"))


def test_a_file_is_opened_without_touching_its_access_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    os.utime(tmp_path / "file", ns=(1, 10**18))

    handle, found = scan.open_file(os.fsencode(tmp_path / "file"))
    assert found.st_size == 1
    os.read(handle, 1)
    os.close(handle)

    assert (tmp_path / "file").stat().st_atime_ns == 1


def test_a_file_of_somebody_else_is_opened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    opened = os.open

    def refusing(path: bytes, flags: int, dir_fd: int | None = None) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError(1, "Operation not permitted")
        return opened(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)

    handle, found = scan.open_file(os.fsencode(tmp_path / "file"))
    assert found.st_size == 1

    assert os.read(handle, 1) == b"x"
    os.close(handle)


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()

    with pytest.raises(OSError):
        scan.open_file(os.fsencode(path))


def test_holes_are_skipped_and_data_is_not(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("w+b") as file:
        file.truncate(3 * BLOCK)
        file.seek(BLOCK)
        file.write(b"x" * BLOCK)
        file.flush()
        handle = file.fileno()
        os.lseek(handle, 0, os.SEEK_SET)

        assert scan.skip_hole(handle) == BLOCK
        assert scan.skip_hole(handle) == 0
        assert os.read(handle, 1) == b"x"
        os.lseek(handle, 2 * BLOCK, os.SEEK_SET)
        assert scan.skip_hole(handle) == BLOCK
        assert os.lseek(handle, 0, os.SEEK_CUR) == 3 * BLOCK
        assert scan.skip_hole(handle) == 0


def test_where_holes_are_unknown_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seek = os.lseek

    def old(handle: int, at: int, whence: int) -> int:
        if whence == os.SEEK_DATA:
            raise OSError(22, "Invalid argument")
        return seek(handle, at, whence)

    with (tmp_path / "sparse").open("w+b") as file:
        file.truncate(BLOCK)
        monkeypatch.setattr(os, "lseek", old)
        assert scan.skip_hole(file.fileno()) == 0


def test_a_cache_folder_is_known_by_its_signature_only(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    assert not scan.has_marker(folder, *scan.CACHE_TAG)
    (tmp_path / "CACHEDIR.TAG").write_text("something else")
    assert not scan.has_marker(folder, *scan.CACHE_TAG)
    (tmp_path / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55 and more")
    assert scan.has_marker(folder, *scan.CACHE_TAG)
