"""What a restore calls whole is on the disk, not only in memory."""

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands import restore as restore_command
from becalm_engine.errors import TargetError, TargetFullError
from becalm_engine.policy.overwrite import UNFINISHED, Overwrite
from becalm_engine.storage.local import LocalStorage
from becalm_engine.volume import syncing
from tests.engine.commands.world import World
from tests.engine.volume.disks import made_image, mounted
from tests.engine.volume.picture import differences, picture


@pytest.fixture
def source(place: Path) -> Path:
    """Files of one blob and of several, a link, and two names of a file."""
    folder = place / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "large").write_bytes(ZERO_BLOCK + os.urandom(1_000_000))
    (folder / "sub" / "small").write_text("small")
    (folder / "link").symlink_to("sub")
    (folder / "name").write_text("name")
    (folder / "other").hardlink_to(folder / "name")
    for path in (folder / "sub" / "large", folder / "name", folder):
        os.utime(path, ns=(1, 1_500_000_000_000_000_001))
    return folder


def on_sync(monkeypatch: pytest.MonkeyPatch, then: Callable[[int], None]) -> None:
    """Have something happen instead of each sync."""
    monkeypatch.setattr(syncing, "sync_file_system", then)


def test_content_is_on_the_disk_before_a_file_is_finished_and_all_is_before_the_end(
    world: World, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured, back, seen = world.backup(source), place / "back", []

    def look(handle: int) -> None:
        assert os.path.samestat(os.fstat(handle), back.stat())
        seen.append(picture(back))

    on_sync(monkeypatch, look)
    assert world.restore_folder(captured, source, back).failed == []

    first, last = seen
    wanted = picture(source)
    for path in (b"sub/large", b"name"):
        assert first[path].content == wanted[path].content
        assert stat.S_IMODE(first[path].mode) == UNFINISHED
        assert first[path].mtime != wanted[path].mtime
    assert differences(wanted, last) == []


def test_several_processes_leave_it_to_the_one_that_leads(
    source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_command, "_MANY_FILES", 1)
    world = World(LocalStorage(place / "repository"))
    captured, log = world.backup(source), place / "log"

    def write_down(_: int) -> None:
        with log.open("a") as out:
            print(os.getpid(), file=out)

    on_sync(monkeypatch, write_down)
    assert world.restore_folder(captured, source, place / "back", processes=3).failed == []

    assert log.read_text().split() == [str(os.getpid())] * 2


def test_a_folder_that_is_a_mount_is_written_back_too(
    world: World, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured, back, seen = world.backup(source), place / "back", list[int]()
    mounts = [os.fsencode(back / "sub"), os.fsencode(back / "elsewhere")]
    monkeypatch.setattr(syncing, "mounts_below", lambda above: mounts if above == bytes(back) else [])

    on_sync(monkeypatch, lambda handle: seen.append(os.fstat(handle).st_ino))
    world.restore_folder(captured, source, back)

    assert seen == [back.stat().st_ino, (back / "sub").stat().st_ino] * 2


def test_a_dry_run_syncs_nothing(
    world: World, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured, seen = world.backup(source), list[int]()
    on_sync(monkeypatch, seen.append)

    world.restore_folder(captured, source, place / "back", dry_run=True)

    assert seen == []


@pytest.mark.parametrize("lasting", [0, 1])
@pytest.mark.parametrize(
    "failing",
    [(errno.EIO, TargetError), (errno.ENOSPC, TargetFullError), (errno.EDQUOT, TargetFullError)],
)
def test_what_does_not_reach_the_disk_fails_the_restore(
    world: World,
    source: Path,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    lasting: int,
    failing: tuple[int, type[TargetError]],
) -> None:
    captured, (number, kind), seen = world.backup(source), failing, list[int]()

    def refuse(handle: int) -> None:
        seen.append(handle)
        if len(seen) > lasting:
            raise OSError(number, os.strerror(number))

    on_sync(monkeypatch, refuse)
    with pytest.raises(TargetError, match=f"may not be on the disk: {os.strerror(number)}") as failure:
        world.restore_folder(captured, source, place / "back")

    assert (failure.type, failure.value.exit_code) == (kind, 1)
    is_unfinished = stat.S_IMODE((place / "back" / "sub" / "large").stat().st_mode) == UNFINISHED
    assert is_unfinished == (lasting == 0)


def test_a_restore_that_fails_at_its_first_sync_is_completed_by_the_same_command(
    world: World, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = world.backup(source)

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        on_sync(patch, refuse)
        with pytest.raises(TargetFullError):
            world.restore_folder(captured, source, place / "back", overwrite=Overwrite.NEVER)
    outcome = world.restore_folder(captured, source, place / "back", overwrite=Overwrite.NEVER)

    assert outcome.failed == []
    assert differences(picture(source), picture(place / "back")) == []


def test_what_was_restored_outlasts_a_power_cut(
    world: World,
    source: Path,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    real_sync: Callable[[int], None],
) -> None:
    on_sync(monkeypatch, real_sync)
    captured, image = world.backup(source), made_image(place / "image")
    with mounted(image, place / "before") as back:
        assert world.restore_folder(captured, source, back).failed == []
        shutil.copy(image, place / "image-then")  # what the disk holds at this moment

    with mounted(place / "image-then", place / "after") as back:
        found = picture(back, holes=False)
        del found[b"lost+found"]
    assert differences(picture(source, holes=False), found) == []
