"""What a restore leaves behind that could not go on: it is known as unfinished, and the next one finishes it."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.restored import Outcome
from becalm_engine.errors import StoppedError
from becalm_engine.policy.overwrite import UNFINISHED, Overwrite
from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.selection import Selection
from becalm_engine.storage.base import FileKind
from becalm_engine.volume import target
from tests.engine.commands.world import World, restore
from tests.engine.volume.picture import differences, picture

Restoring = Callable[[Path], Outcome]

_CHANGES = (
    "open", "mkdir", "pwrite", "ftruncate", "posix_fallocate", "fchown", "setxattr", "utime", "fchmod", "unlink",
    "rmdir", "link",
)  # fmt: skip
_MOST_CHANGES = 400


class Killed(BaseException):
    """Nobody catches it, so nothing is cleared away: what a killed process leaves behind."""


@contextlib.contextmanager
def killed_after(changes: int) -> Iterator[None]:
    """For the block, let so many calls of the system through, then be dead."""
    numbers = count()

    def mortal(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            if next(numbers) >= changes:
                raise Killed
            return call(*arguments, **named)

        return wrapper

    with pytest.MonkeyPatch.context() as patch:
        for name in _CHANGES:
            patch.setattr(os, name, mortal(getattr(os, name)))
        yield


def killed_anywhere(
    folder: Path, restoring: Restoring, prepare: Callable[[Path], None] = lambda _: None
) -> Iterator[Path]:
    """Have a restore killed after each of its calls, each time in a folder of its own; the last one lives."""
    for number in range(_MOST_CHANGES):
        back, died = folder / f"back-{number}", False
        prepare(back)
        try:
            with killed_after(number):
                restoring(back)
        except Killed:
            died = True
        yield back
        if not died:
            assert number > 10
            return
    raise AssertionError("it never ends")


@pytest.fixture
def source(place: Path) -> Path:
    """Files of no blob, one and several, with modes and attributes, and two names of a file."""
    folder = place / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "large").write_bytes(ZERO_BLOCK + os.urandom(700_000))
    (folder / "sub" / "large").chmod(0o640)
    (folder / "empty").touch()
    for name in ("one", "two"):
        (folder / name).write_text(name)
    (folder / "two").chmod(0o444)
    os.setxattr(folder / "two", "user.name", b"value")
    (folder / "name").write_text("name")
    (folder / "other").hardlink_to(folder / "name")
    (folder / "sub").chmod(0o751)
    for path in (folder, *folder.rglob("*")):
        os.utime(path, ns=(1, 1_500_000_000_000_000_001))
    return folder


def put_older(back: Path) -> None:
    """Have some of the files be there, with another content of long ago."""
    (back / "sub").mkdir(parents=True)
    (back / "sub" / "large").write_bytes(bytes(2_000_000))
    (back / "one").write_text("one of long ago")
    for path in (back / "one", back / "sub" / "large"):
        path.chmod(0o600)
        os.utime(path, ns=(1, 1_400_000_000_000_000_001))


def restoring_of(world: World, source: Path, **options: Any) -> Restoring:
    """Back up a folder; return what restores it."""
    captured = world.backup(source)
    (tree, node), repository = world.tree_at(captured, source), world.opened()
    return lambda back: restore(repository, tree, back, node, **options)


# --- killed


@pytest.mark.parametrize(
    ("rule", "older"),
    [("always", True), ("if-changed", True), ("if-newer", True), ("if-newer", False), ("never", False)],
)
def test_a_restore_that_is_killed_anywhere_is_completed_by_the_same_command(
    world: World, source: Path, place: Path, rule: str, older: bool
) -> None:
    restoring = restoring_of(world, source, overwrite=Overwrite(rule))
    expected = picture(source)

    for back in killed_anywhere(place, restoring, put_older if older else lambda _: None):
        assert restoring(back).failed == []
        assert differences(expected, picture(back)) == []


def test_never_still_leaves_alone_what_no_restore_has_begun(world: World, source: Path, place: Path) -> None:
    restoring = restoring_of(world, source, overwrite=Overwrite.NEVER)
    for back in killed_anywhere(place, restoring, put_older):
        assert restoring(back).failed == []
        assert (back / "one").read_text() == "one of long ago"
        assert (back / "sub" / "large").read_bytes() == bytes(2_000_000)


def test_folders_that_were_made_on_the_way_to_something_are_finished_too(
    world: World, source: Path, place: Path
) -> None:
    selection = Selection((Patterns(["/sub/large"]),))
    restoring = restoring_of(world, source, selection=selection)

    for back in killed_anywhere(place, restoring):
        back.mkdir(exist_ok=True)
        assert restoring(back).failed == []
        folder = (back / "sub").stat()
        assert (stat.S_IMODE(folder.st_mode), folder.st_mtime_ns) == (0o751, 1_500_000_000_000_000_001)


# --- ended by a signal, for want of room, or by damage


@pytest.mark.parametrize("rule", list(Overwrite))
def test_a_restore_that_a_signal_ends_is_completed_by_the_same_command(
    world: World, source: Path, place: Path, rule: Overwrite, monkeypatch: pytest.MonkeyPatch
) -> None:
    restoring, stopping = restoring_of(world, source, overwrite=rule), Progress()
    captured = world.backup(source)
    write = target.write_all

    def signalled(*arguments: Any) -> None:
        write(*arguments)
        stopping.stop.set()

    with monkeypatch.context() as patch:
        patch.setattr(target, "write_all", signalled)
        with pytest.raises(StoppedError, match="The same command completes it"):
            world.restore_folder(captured, source, place / "back", overwrite=rule, progress=stopping)
    assert (place / "back" / "sub" / "large").stat().st_size == len(ZERO_BLOCK) + 700_000

    assert restoring(place / "back").failed == []
    assert differences(picture(source), picture(place / "back")) == []


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("rule", list(Overwrite))
def test_a_restore_that_finds_no_room_is_completed_by_the_same_command(
    world: World, source: Path, place: Path, rule: Overwrite, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    restoring, written = restoring_of(world, source, overwrite=rule), count()

    def fills(handle: int, content: bytes, offset: int) -> None:
        is_full = next(written) >= after
        os.pwrite(handle, content[: len(content) // 2] if is_full else content, offset)
        if is_full:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(target, "write_all", fills)
        assert restoring(place / "back").failed != []

    assert restoring(place / "back").failed == []
    assert differences(picture(source), picture(place / "back")) == []


def test_what_one_rule_has_not_finished_no_other_takes_for_finished(
    world: World, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    always, never = restoring_of(world, source), restoring_of(world, source, overwrite=Overwrite.NEVER)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(target, "write_all", full)
        assert always(place / "back").failed != []

    assert never(place / "back").failed == []
    assert differences(picture(source), picture(place / "back")) == []


# --- damage


@pytest.fixture
def four(place: Path) -> Path:
    """Four files of several blobs, which come into one pack."""
    folder = place / "source"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}").write_bytes(ZERO_BLOCK + os.urandom(1_000_000))
    return folder


def spoil(world: World) -> tuple[str, bytes]:
    """Change three bytes of the only pack of content; return its name and what it was."""
    [(pack, _)] = [
        (pack, blobs)
        for pack, blobs in world.opened().index.by_pack().items()
        if blobs[0].kind.name == "DATA"
    ]
    before = bytes(world.storage.load(FileKind.PACK, pack.hex()))
    world.storage.save(FileKind.PACK, pack.hex(), before[:1000] + b"bad" + before[1003:])
    return pack.hex(), before


def test_a_damaged_blob_costs_the_file_that_it_is_in_and_no_others(
    world: World, four: Path, place: Path
) -> None:
    restoring = restoring_of(world, four)
    spoil(world)

    outcome = restoring(place / "back")

    assert len(outcome.failed) == 1
    lost = outcome.failed[0].partition(":")[0].removeprefix("/")
    whole = [
        path for path in four.iterdir() if (place / "back" / path.name).read_bytes() == path.read_bytes()
    ]
    assert sorted(path.name for path in whole) == sorted({"0", "1", "2", "3"} - {lost})
    assert outcome.files_restored == 3


@pytest.mark.parametrize("rule", list(Overwrite))
def test_a_file_that_was_damaged_is_completed_once_its_blob_is_whole(
    world: World, four: Path, place: Path, rule: Overwrite
) -> None:
    restoring = restoring_of(world, four, overwrite=rule)
    pack, before = spoil(world)
    lost = restoring(place / "back").failed[0].partition(":")[0].removeprefix("/")
    assert stat.S_IMODE((place / "back" / lost).stat().st_mode) == UNFINISHED
    assert len(restoring(place / "back").failed) == 1

    world.storage.save(FileKind.PACK, pack, before)

    assert restoring(place / "back").failed == []
    assert differences(picture(four), picture(place / "back")) == []
