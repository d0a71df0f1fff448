"""becalm ended in the middle of its work, by a signal it can see and by one it cannot."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.programs import Program, becalm, restic
from tests.engine.volume.picture import differences, picture
from tests.engine.volume.sources import MIB

pytestmark = [pytest.mark.restic, pytest.mark.slow]

SIZE_BYTES = 240 * MIB
DEADLINE_SECONDS = 60.0


@pytest.fixture(scope="session")
def large(scratch: Path) -> Path:
    """Enough random data that becalm is busy with it for a while."""
    folder = scratch / "large"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}").write_bytes(os.urandom(SIZE_BYTES // 4))
    return folder


@pytest.fixture
def ours(place: Path) -> Program:
    program = becalm(place / "repository")
    program.run("init")
    return program


@pytest.fixture
def newest(place: Path) -> Program:
    return restic("0.19", place / "repository", place / "cache")


def packs(repository: str) -> Iterator[Path]:
    return (path for path in Path(repository, "data").glob("*/*") if "tmp" not in path.name)


def interrupted(program: Program, source: Path, number: signal.Signals) -> int:
    """Start a backup, send a signal once it has stored some packs, and return its exit status."""
    process = program.start("backup", "--pack-size=4", source)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while sum(1 for _ in packs(program.repository)) < 5:
        assert process.poll() is None, "the backup ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    return process.wait(DEADLINE_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_backup_without_a_lock_or_a_snapshot(
    ours: Program, newest: Program, large: Path, number: signal.Signals
) -> None:
    assert interrupted(ours, large, number) == 130

    assert list(Path(ours.repository, "locks").iterdir()) == []
    assert ours.json("snapshots") == []
    newest.run("check", "--read-data")


def test_what_an_interrupted_backup_has_uploaded_is_not_uploaded_again(ours: Program, large: Path) -> None:
    interrupted(ours, large, signal.SIGTERM)

    summary = list(ours.lines("backup", large))[-1]

    assert 0 < summary["data_added"] < SIZE_BYTES - 4 * MIB


def test_a_killed_backup_leaves_a_sound_repository_and_the_next_one_completes(
    ours: Program, newest: Program, large: Path, place: Path
) -> None:
    assert interrupted(ours, large, signal.SIGKILL) == -signal.SIGKILL
    newest.run("unlock")
    newest.run("check", "--read-data")

    ours.run("backup", large)

    newest.run("check", "--read-data")
    ours.run("restore", f"latest:{large}", f"--target={place / 'out'}")
    assert differences(picture(large), picture(place / "out")) == []
