"""restic and becalm at work on one repository at the same time, and what one that died has left for the other."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from becalm_engine.format import lock_file
from becalm_engine.format.gotime import NANOS
from becalm_engine.format.lock_file import Lock
from becalm_engine.storage.base import FileKind
from tests.compat.programs import Program, becalm, restic
from tests.compat.trees import opened
from tests.engine.storage.s3_server import S3Server
from tests.engine.volume.sources import MIB

pytestmark = [pytest.mark.restic, pytest.mark.s3, pytest.mark.slow]

DEADLINE_SECONDS = 60.0
HALF_BYTES = 12 * MIB
LOCKED = 11
NOBODY = 2**22 + 1
"""No process has this id: it is beyond what Linux gives."""


@dataclass(frozen=True, slots=True)
class Shared:
    """One repository, both programs on it, and the folder in which its files lie, wherever it is."""

    ours: Program
    theirs: Program
    folder: Path

    def by(self, name: str) -> tuple[Program, Program]:
        """Return one of the two, and the other."""
        return (self.ours, self.theirs) if name == "becalm" else (self.theirs, self.ours)

    def locks(self) -> list[Path]:
        """Return the lock files that are there."""
        return [path for path in (self.folder / "locks").glob("*") if "tmp" not in path.name]


@pytest.fixture(params=[("folder", "0.14"), ("s3", "0.18"), ("folder", "0.19")], ids=" ".join)
def shared(request: pytest.FixtureRequest, place: Path) -> Shared:
    """An empty repository in a folder or in a bucket."""
    where, version = request.param
    if where == "folder":
        location, folder = str(place / "repository"), place / "repository"
    else:
        server: S3Server = request.getfixturevalue("s3")
        location, folder = f"s3:{server.url}/bucket/here", server.folder / "bucket" / "here"
    found = Shared(becalm(location), restic(version, location, place / "cache"), folder)
    found.ours.run("init")
    return found


def until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Wait for a condition while a process is at work."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert process.poll() is None, "it ended before that"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def backing_up(program: Program, shared: Shared, content: bytes) -> Iterator["subprocess.Popen[bytes]"]:
    """Keep a program in the middle of a backup of standard input, with half of it read, while the block runs."""
    before = len(shared.locks())
    process = program.start(
        "backup", "--stdin", f"--stdin-filename={program.binary.name}", stdin=subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        until(lambda: len(shared.locks()) > before, process)
        process.stdin.write(content[: len(content) // 2])
        process.stdin.flush()
        yield process
        if process.poll() is None:
            process.communicate(content[len(content) // 2 :], timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
        process.communicate()


def refused(program: Program) -> int:
    """Return the exit code for a repository that is locked; 0.14 has none of its own."""
    return 1 if program.version == "0.14" else LOCKED


def test_both_back_up_at_the_same_time(shared: Shared, place: Path) -> None:
    alike, first, second = (os.urandom(HALF_BYTES) for _ in range(3))
    contents = {shared.ours.binary.name: alike + first, shared.theirs.binary.name: alike + second}

    with (
        backing_up(shared.ours, shared, contents[shared.ours.binary.name]) as ours,
        backing_up(shared.theirs, shared, contents[shared.theirs.binary.name]) as theirs,
    ):
        pass

    assert (ours.returncode, theirs.returncode) == (0, 0)
    assert shared.locks() == []
    assert len(shared.theirs.json("snapshots")) == 2
    shared.theirs.run("check", "--read-data")
    shared.ours.run("check", "--read-data")
    for reader in (shared.ours, shared.theirs):
        for name, content in contents.items():
            assert reader.attempt("dump", f"--path=/{name}", "latest", name).stdout == content


@pytest.mark.parametrize("writer", ["becalm", "restic"])
def test_nothing_is_pruned_or_locked_for_oneself_while_the_other_backs_up(
    shared: Shared, writer: str
) -> None:
    busy, other = shared.by(writer)
    other.run("backup", "--host=first", Path(__file__))

    with backing_up(busy, shared, os.urandom(2 * MIB)) as process:
        for arguments in (["prune"], ["forget", "--keep-last=1", "--prune"], ["check"], ["tag", "--add=x"]):
            other.run(*arguments, status=refused(other))
        other.run("unlock")
        assert len(shared.locks()) == 1
        other.run("backup", "--host=second", Path(__file__))

    assert process.returncode == 0
    other.run("prune")
    other.run("check", "--read-data")
    assert len(other.json("snapshots")) == 3


@pytest.mark.parametrize("pruner", ["becalm", "restic"])
def test_nobody_backs_up_while_the_other_prunes(shared: Shared, pruner: str) -> None:
    busy, other = shared.by(pruner)
    other.run("backup", Path(__file__))
    process = busy.start("prune")
    try:
        until(lambda: bool(shared.locks()), process)
        process.send_signal(signal.SIGSTOP)
        assert shared.locks()

        for arguments in (["backup", str(Path(__file__))], ["snapshots"], ["prune"]):
            other.run(*arguments, status=refused(other))
    finally:
        process.send_signal(signal.SIGCONT)

    assert process.wait(DEADLINE_SECONDS) == 0
    other.run("backup", Path(__file__))
    other.run("check", "--read-data")


@pytest.mark.parametrize("writer", ["becalm", "restic"])
def test_a_check_without_a_lock_finds_nothing_wrong_while_the_other_backs_up(
    shared: Shared, writer: str, place: Path
) -> None:
    """What is half there is in no index yet, and what a snapshot needs is in one: the order of writes sees to that."""
    busy, other = shared.by(writer)
    (place / "large").write_bytes(os.urandom(60 * MIB))
    other.run("backup", "--host=first", Path(__file__))
    checks = 0

    process = busy.start("backup", "--pack-size=4", place / "large")
    while process.poll() is None:
        other.run("check", "--no-lock", "--read-data")
        checks += 1

    assert process.returncode == 0
    assert checks > 0
    other.run("check", "--read-data")


@pytest.mark.parametrize("victim", ["becalm", "restic"])
def test_the_lock_of_one_that_was_killed_is_removed_by_the_other_when_it_is_told(
    shared: Shared, victim: str
) -> None:
    killed, other = shared.by(victim)
    with backing_up(killed, shared, os.urandom(2 * MIB)) as process:
        process.kill()
        process.communicate()
    assert len(shared.locks()) == 1
    other.run("prune", status=refused(other))

    other.run("unlock")

    assert shared.locks() == []
    other.run("prune")
    other.run("check", "--read-data")


# --- locks of hosts that nobody can ask


def put_lock(shared: Shared, *, age_minutes: float, exclusive: bool) -> None:
    """Leave the lock of a process on another host."""
    then = time.time_ns() - int(age_minutes * 60 * NANOS)
    lock = Lock(then, exclusive, f"not-{socket.gethostname()}", "somebody", NOBODY, 0, 0)
    name = opened(shared.folder).save_document(FileKind.LOCK, lock_file.encode(lock))
    os.utime(shared.folder / "locks" / name, ns=(then, then))


@pytest.fixture
def local(version: str, place: Path) -> Shared:
    """An empty repository in a folder."""
    location = place / "repository"
    found = Shared(becalm(location), restic(version, location, place / "cache"), location)
    found.ours.run("init")
    return found


def test_a_young_lock_of_another_host_is_left_alone_by_both(local: Shared) -> None:
    put_lock(local, age_minutes=25, exclusive=True)

    for program in (local.ours, local.theirs):
        program.run("unlock")
        program.run("backup", Path(__file__), status=refused(program))

    assert len(local.locks()) == 1
    local.ours.run("unlock", "--remove-all")
    local.theirs.run("backup", Path(__file__))


def test_a_stale_lock_stands_in_restic_s_way_until_it_is_told_and_never_in_becalm_s(local: Shared) -> None:
    put_lock(local, age_minutes=35, exclusive=True)

    local.theirs.run("backup", Path(__file__), status=refused(local.theirs))
    local.ours.run("backup", Path(__file__))

    assert local.locks() == []
    put_lock(local, age_minutes=35, exclusive=True)
    local.theirs.run("unlock")
    assert local.locks() == []
    local.theirs.run("check", "--read-data")
