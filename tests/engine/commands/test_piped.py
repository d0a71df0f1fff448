import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from becalm_engine.commands.piped import Command, Pipe, opened_fifo
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import SourceFailedError, StoppedError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def everything(command: Command) -> bytes:
    place, out = bytearray(7), b""
    while count := command.readinto(memoryview(place)):
        out += place[:count]
    return out


def python(text: str) -> list[str]:
    return [sys.executable, "-S", "-c", text]


def test_what_a_command_writes_is_read_to_its_end() -> None:
    with Command(python("print('x' * 100_000)"), Progress()) as command:
        assert everything(command) == b"x" * 100_000 + b"\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("print('partial', flush=True); raise SystemExit(3)", "exit status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    ],
)
def test_a_command_that_fails_is_an_error_at_its_end(text: str, reason: str) -> None:
    with Command(python(text), Progress()) as command, pytest.raises(SourceFailedError, match=reason):
        everything(command)


def test_a_command_that_cannot_be_started_is_an_error() -> None:
    with (
        pytest.raises(SourceFailedError, match="cannot start no-such-command"),
        Command(["no-such-command"], Progress()),
    ):
        pass


@pytest.mark.parametrize("text", ["", "import os; os.close(1)"])
def test_a_signal_ends_the_waiting_for_a_command_and_the_command(text: str) -> None:
    progress = Progress()

    with Command(python(f"{text}\nimport time; time.sleep(1000)"), progress) as command:
        threading.Timer(0.1, progress.stop.set).start()
        with pytest.raises(StoppedError):
            everything(command)

    assert command._process.returncode == -15


def test_a_signal_ends_the_waiting_for_a_pipe(pipe: tuple[int, int]) -> None:
    progress = Progress()
    threading.Timer(0.1, progress.stop.set).start()

    with pytest.raises(StoppedError):
        Pipe(pipe[0], progress).readinto(memoryview(bytearray(1)))


def test_a_pipe_gives_what_has_come_and_0_at_its_end(pipe: tuple[int, int]) -> None:
    place = bytearray(10)
    os.write(pipe[1], b"abc")
    reading = Pipe(pipe[0], Progress())

    assert reading.readinto(memoryview(place)) == 3
    os.close(pipe[1])
    assert (bytes(place[:3]), reading.readinto(memoryview(place))) == (b"abc", 0)


# --- a named pipe


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_a_named_pipe_is_read_until_its_writer_closes_it(fifo: Path) -> None:
    content = os.urandom(300_000)
    writer = threading.Thread(target=fifo.write_bytes, args=[content])
    read, place = b"", bytearray(1000)

    with opened_fifo(str(fifo), Progress()) as pipe:
        writer.start()
        while count := pipe.readinto(memoryview(place)):
            read += place[:count]
    writer.join()

    assert read == content


def test_a_signal_ends_the_waiting_for_somebody_to_write(fifo: Path) -> None:
    progress = Progress()

    with opened_fifo(str(fifo), progress) as pipe:
        threading.Timer(0.1, progress.stop.set).start()
        with pytest.raises(StoppedError):
            pipe.readinto(memoryview(bytearray(1)))


def test_what_is_no_named_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for path, reason in ((tmp_path / "file", "not a named pipe"), (tmp_path / "nowhere", "cannot open")):
        with (
            pytest.raises(SourceFailedError, match=reason),
            opened_fifo(str(path), Progress()),
        ):
            pass
