"""Files that somebody has a lease on: servers of NFS and Samba take them for their clients."""

import fcntl
import os
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from becalm_engine.volume import scan
from tests.engine.commands.world import World
from tests.engine.volume.descriptors import open_below


def hold(path: Path, ready: int) -> None:
    """Take a lease, say so, and give it up a moment after the kernel has asked for that."""
    signal.alarm(60)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
    handle = os.open(path, os.O_RDWR)
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    os.write(ready, b"!")
    signal.sigwait({signal.SIGIO})
    time.sleep(0.05)
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    os.close(handle)


@pytest.fixture
def leased(tmp_path: Path) -> Iterator[Path]:
    """A file under a lease of another process."""
    path = tmp_path / "source" / "leased"
    path.parent.mkdir()
    path.write_text("content")
    reading, ready = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            hold(path, ready)
        finally:
            os._exit(0)
    os.close(ready)
    assert os.read(reading, 1) == b"!"
    os.close(reading)
    yield path
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_its_holder_is_waited_for(leased: Path) -> None:
    with pytest.raises(BlockingIOError):
        os.close(os.open(leased, os.O_RDONLY | os.O_NONBLOCK))

    handle, found = scan.open_file(os.fsencode(leased))

    assert os.read(handle, 100) == b"content"
    assert stat.S_ISREG(found.st_mode)
    os.close(handle)


def test_it_is_backed_up(leased: Path) -> None:
    world = World()

    captured = world.backup(leased.parent)

    assert (captured.report.exit_code, world.told) == (0, [])


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_has_taken_its_place_is_not_opened(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = tmp_path / "place", tmp_path / "target"
    target.write_text("of somebody else")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
    really = os.open

    def open_(name: bytes, flags: int, *, dir_fd: int | None = None) -> int:
        if flags & os.O_NONBLOCK:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return really(name, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", open_)

    with pytest.raises(OSError, match="no longer a regular file"):
        scan.open_file(os.fsencode(path))
    assert open_below(tmp_path) == []
