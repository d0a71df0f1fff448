import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.cli.status import current_line, seconds_left, share_done, status_document, status_line
from becalm_engine.cli.watcher import Watcher
from becalm_engine.cli.watching import watched
from becalm_engine.commands.progress import Progress
from tests.engine.commands.world import wait
from tests.engine.repository.repositories import PASSWORD

HALF = Progress(
    files_done=3, bytes_done=512, files_total=4, bytes_total=1024, errors=1, current="/data/\x1b[31mfile"
)


class Terminal(io.StringIO):
    """A stream on which somebody watches."""

    def isatty(self) -> bool:
        return True


# --- what is said


def test_a_line_has_share_files_bytes_speed_errors_and_the_rest_of_the_time() -> None:
    assert status_line(HALF, 2.0) == (
        "[0:02]  50.00%  3 files 512 B, total 4 files 1.000 KiB, 256 B/s, 1 errors  ETA 0:02"
    )
    assert status_line(Progress(files_done=1, bytes_done=10), 0.0) == "[0:00]  1 files 10 B, 0 B/s, 0 errors"


def test_what_is_worked_on_cannot_steer_the_terminal() -> None:
    assert current_line(HALF) == r'"/data/\x1b[31mfile"'
    assert current_line(Progress()) == ""


def test_a_message_is_restic_s_and_leaves_out_what_is_0() -> None:
    assert status_document(HALF, 2.0) == {
        "message_type": "status", "percent_done": 0.5, "seconds_elapsed": 2, "seconds_remaining": 2,
        "total_files": 4, "files_done": 3, "total_bytes": 1024, "bytes_done": 512, "error_count": 1,
        "current_files": ["/data/\x1b[31mfile"],
    }  # fmt: skip
    assert status_document(Progress(), 0.0) == {"message_type": "status", "percent_done": 0.0}


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.floats(0, 10**7))
def test_shares_and_rests_are_within_reason(done: int, total: int, elapsed: float) -> None:
    progress = Progress(bytes_done=done, bytes_total=total)

    assert 0 <= share_done(progress) <= 1
    assert (seconds_left(progress, elapsed) or 0) >= 0
    assert "%" in status_line(progress, elapsed) or not total


# --- where and when


def test_a_terminal_shows_two_lines_and_clears_them() -> None:
    out = Terminal()

    with Watcher(Output(out=out), HALF, updates_per_second=500):
        wait(lambda: out.getvalue().count("50.00%") >= 2)

    assert '\n"/data/' in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[1A\x1b[J")


def test_without_a_terminal_nothing_is_drawn_until_somebody_asks() -> None:
    out, err = io.StringIO(), io.StringIO()
    progress = Progress(files_done=7)

    with Watcher(Output(out=out, err=err), progress, updates_per_second=500):
        progress.asked.set()
        wait(lambda: "7 files" in err.getvalue())

    assert (out.getvalue(), err.getvalue().count("\n")) == ("", 1)


def test_without_a_terminal_lines_are_drawn_if_that_is_wanted() -> None:
    out = io.StringIO()

    with Watcher(Output(out=out), Progress(files_done=7), updates_per_second=500, always=True):
        wait(lambda: out.getvalue().count("7 files") >= 2)

    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_json_is_a_line_of_status_each_time(terminal: bool) -> None:
    out = Terminal() if terminal else io.StringIO()

    with Watcher(Output(json=True, out=out), HALF, updates_per_second=500):
        wait(lambda: out.getvalue().count("\n") >= 2)

    assert json.loads(out.getvalue().splitlines()[0])["files_done"] == 3


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [({}, None), ({"RESTIC_PROGRESS_FPS": "abc"}, None), ({"RESTIC_PROGRESS_FPS": "-1"}, None),
     ({"RESTIC_PROGRESS_FPS": "nan"}, None), ({"RESTIC_PROGRESS_FPS": "4"}, 0.25),
     ({"RESTIC_PROGRESS_FPS": "0.00001"}, 100.0),
     ({"RESTIC_PROGRESS_FPS": "1000"}, 1 / 60)],
)  # fmt: skip
def test_the_environment_says_how_often(environment: dict[str, str], seconds: float | None) -> None:
    session = Session(Namespace(), environment)

    assert watched(session, Output(out=io.StringIO()), Progress())._interval == seconds
    assert watched(session, Output(out=Terminal()), Progress())._interval == (seconds or 0.2)
    assert watched(session, Output(out=io.StringIO(), quiet=True), Progress())._interval is None


# --- real processes


@pytest.fixture
def waiting(repository: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A backup that waits for its standard input, of which it has read a part."""
    process = start(repository, stdout=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def start(repository: Path, *flags: str, stdout: int, **environment: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from becalm_engine.cli.entry import main; main()",
            "backup",
            "--stdin",
            *flags,
        ],
        env={**os.environ, "RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": PASSWORD, **environment},
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(bytes(3 << 20))
    process.stdin.flush()
    return process


@pytest.mark.slow
def test_sigusr1_prints_one_line(repository: Path, waiting: "subprocess.Popen[bytes]") -> None:
    wait(lambda: any((repository / "locks").iterdir()))  # until then the signal has its default effect
    assert waiting.stderr is not None
    os.set_blocking(waiting.stderr.fileno(), False)
    said = b""

    def told() -> bool:
        nonlocal said
        waiting.send_signal(signal.SIGUSR1)
        assert waiting.stderr is not None
        said += waiting.stderr.read() or b""
        return said.endswith(b" errors\n") and b" files " in said

    wait(told)
    assert waiting.poll() is None


@pytest.mark.slow
def test_sighup_ends_nothing(repository: Path, waiting: "subprocess.Popen[bytes]") -> None:
    """restic sends it to whoever holds a lock, to see whether he lives."""
    wait(lambda: any((repository / "locks").iterdir()))

    waiting.send_signal(signal.SIGHUP)

    waiting.communicate(b"the end", timeout=60)
    assert waiting.returncode == 0


@pytest.mark.slow
def test_a_real_terminal_shows_how_far_it_is(repository: Path) -> None:
    ours, theirs = pty.openpty()
    process = start(repository, stdout=theirs, RESTIC_PROGRESS_FPS="50")
    os.close(theirs)
    said = b""

    def shown() -> bool:
        nonlocal said
        said += os.read(ours, 10_000)
        return b"/s, 0 errors" in said

    wait(shown)
    process.communicate()
    with contextlib.suppress(OSError):  # the other end is closed: all is read
        while more := os.read(ours, 10_000):
            said += more
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[J" in said
