"""Files that go on and on: what a directory's tree cannot name is left out and told, and the rest is saved."""

import itertools
import os
from pathlib import Path

import pytest

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands import files
from becalm_engine.commands.backup import BackupOptions, capture
from becalm_engine.commands.files import Room
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import UsageError
from tests.engine.commands.world import World

BLOCK = len(ZERO_BLOCK)


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a tree could name but 20 chunks of long files, which are those of more than 4."""
    monkeypatch.setattr(files, "_ORDINARY_CHUNKS", 4)
    monkeypatch.setattr(files, "_LONG_FILES_BYTES", 67 * 20)


def sparse(path: Path, blocks: int) -> None:
    path.touch()
    os.truncate(path, blocks * BLOCK)


def test_the_file_that_is_too_long_is_told_and_the_rest_is_saved(world: World, tmp_path: Path) -> None:
    (tmp_path / "small").write_text("content")
    sparse(tmp_path / "endless", 1 << 20)

    captured = world.backup(tmp_path)

    [(path, during, reason)] = world.told
    assert (path, during) == (str(tmp_path / "endless"), "read")
    assert reason.startswith(f"beyond {20 * BLOCK} bytes of it no restore could read")
    assert (captured.report.exit_code, captured.report.unreadable) == (3, (path,))
    assert captured.report.files_new == 1
    assert world.check().errors == []


def test_files_share_the_room_of_their_directory(world: World, tmp_path: Path) -> None:
    for name, blocks in (("a", 10), ("b", 10), ("c", 4), ("sub/d", 10)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        sparse(tmp_path / name, blocks)

    first = world.backup(tmp_path)
    os.truncate(tmp_path / "c", 8 * BLOCK)
    second = world.backup(tmp_path)

    assert first.report.unreadable == (str(tmp_path / "b"),)
    assert second.report.unreadable == (str(tmp_path / "b"), str(tmp_path / "c"))


def test_an_endless_stream_is_refused(world: World) -> None:
    zeros = itertools.repeat(bytes(BLOCK))

    def read(place: memoryview) -> int:
        part = next(zeros)[: len(place)]
        place[: len(part)] = part
        return len(part)

    with pytest.raises(UsageError, match="too long to be a file"):
        capture(
            world.opened(),
            BackupOptions(stdin_filename="zeros"),
            progress=Progress(),
            report=print,
            read=read,
        )


def test_an_ordinary_file_has_room_wherever_it_lies() -> None:
    room = Room(0)

    room.take(1000, chunks=3)

    assert room.most_chunks == 4
