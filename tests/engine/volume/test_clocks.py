"""The hole in telling changes by size and times, on a real disk: and the rule that closes it."""

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from becalm_engine.volume import clocks
from becalm_engine.volume.clocks import file_system_of, tells_of_stores
from tests.engine.commands.world import World
from tests.engine.volume.disks import disk, kind_of

SECOND = 10**9
PAGE = mmap.PAGESIZE


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path) as place:
        yield place


@dataclass(slots=True)
class Mapped:
    """A file that a database would keep open: what is stored into it goes through a shared mapping."""

    path: Path
    memory: mmap.mmap

    def store(self, text: bytes) -> None:
        self.memory[: len(text)] = text

    def sync(self) -> None:
        """Write back all that is dirty, as a sync of the whole file system does."""
        handle = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def settle(self) -> None:
        """Let it look as if it was changed long ago."""
        os.utime(self.path, ns=(SECOND, SECOND))


@pytest.fixture
def mapped(folder: Path) -> Iterator[Mapped]:
    yield from _mapped(folder)


def _mapped(folder: Path) -> Iterator[Mapped]:
    path = folder / "database"
    path.write_bytes(bytes(4 * PAGE))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        yield Mapped(path, memory)


def twice(mapped: Mapped, between: bytes, *, read_nanos: int | None) -> bytes:
    """Back up, store, back up again as if the first time was `read_nanos`; return how the second one's file begins."""
    world = World()
    world.backup(mapped.path, time_nanos=1)
    mapped.store(between)
    captured = world.backup(mapped.path, time_nanos=2, parent_read_nanos=read_nanos)
    out = mapped.path.parent / "out"
    world.restore(captured.tree, out)
    return (out / str(mapped.path).lstrip("/")).read_bytes()[: len(between)]


def after_all_times(mapped: Mapped) -> int:
    """Return a time that lies well after every change so far: by more than a hot read is trusted for."""
    return mapped.path.stat().st_ctime_ns + 100 * SECOND


def test_a_page_that_is_dirty_already_changes_no_time_and_size_and_times_miss_the_change(
    mapped: Mapped,
) -> None:
    mapped.store(b"first")

    assert twice(mapped, b"second", read_nanos=after_all_times(mapped)) == b"first\0"


def test_the_next_backup_reads_what_was_written_shortly_before_the_one_it_compares_with(
    mapped: Mapped,
) -> None:
    mapped.store(b"first")

    assert twice(mapped, b"second", read_nanos=None) == b"second"


def test_what_was_stored_while_it_was_read_is_read_again_by_the_rule(mapped: Mapped) -> None:
    mapped.sync()
    synced = mapped.path.stat().st_ctime_ns
    mapped.store(b"first")

    assert twice(mapped, b"second", read_nanos=synced) == b"second"


def test_a_store_after_a_sync_changes_the_times(mapped: Mapped) -> None:
    mapped.store(b"first")
    mapped.sync()
    mapped.settle()

    assert twice(mapped, b"second", read_nanos=after_all_times(mapped)) == b"second"


def test_without_the_sync_the_rule_would_not_do(mapped: Mapped) -> None:
    mapped.store(b"first")
    mapped.settle()

    assert twice(mapped, b"second", read_nanos=after_all_times(mapped)) == b"first\0"


def test_a_file_that_nobody_touched_is_not_read_again(mapped: Mapped) -> None:
    mapped.sync()
    mapped.settle()
    world = World()
    world.backup(mapped.path, time_nanos=1)

    captured = world.backup(mapped.path, time_nanos=2, parent_read_nanos=after_all_times(mapped))
    assert captured.report.files_unmodified == 1


# --- which file systems are like that


def test_a_disk_is_trusted(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        assert tells_of_stores(handle)
    finally:
        os.close(handle)


def test_memory_is_not_trusted_since_a_sync_protects_nothing_there() -> None:
    place = Path("/dev/shm")
    if not place.is_dir() or kind_of(place) != "tmpfs":
        pytest.skip("there is no tmpfs at /dev/shm")
    for mapped in _on_tmpfs(place):
        with mapped.path.open("rb") as file:
            assert not tells_of_stores(file.fileno())
        mapped.store(b"first")
        mapped.sync()
        mapped.settle()

        assert twice(mapped, b"second", read_nanos=after_all_times(mapped)) == b"first\0"


def _on_tmpfs(place: Path) -> Iterator[Mapped]:
    with TemporaryDirectory(dir=place) as folder:
        yield from _mapped(Path(folder))


def test_what_has_no_mount_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    try:
        assert file_system_of(reading) == ""
        assert not tells_of_stores(reading)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_number_that_is_no_open_file_is_not_trusted() -> None:
    assert not tells_of_stores(10**6)


@pytest.mark.parametrize("line", ["", "garbage", "36 35 98:0 / /mnt rw", " - ", "36 - ", " - ext4"])
def test_lines_that_are_no_mounts_are_left_out(line: str) -> None:
    valid = "36 35 98:0 /a /mnt\\040x rw,noatime master:1 - xfs /dev/sda rw"

    assert clocks._types(f"{line}\n{valid}\n") == [("36", "xfs")]


def test_what_is_mounted_below_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    places = ["/", "/srv", "/srv/data", "/srv/data/a\\040b", "/srv/data/c/d", "/srv/database"]
    lines = [f"36 35 98:0 / {place} rw - ext4 /dev/sda rw" for place in places]
    monkeypatch.setattr(clocks, "_mounts", lambda: "\n".join([*lines, "36 35"]))

    assert list(clocks.mounts_below(b"/srv/data")) == [b"/srv/data/a b", b"/srv/data/c/d"]
    assert len(list(clocks.mounts_below(b"/"))) == 5
