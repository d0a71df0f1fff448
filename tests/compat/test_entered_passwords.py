"""Passwords that people type, on a real terminal, and that scripts pipe in."""

import os
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compat.programs import PASSWORD, VERSIONS, Program, becalm, restic

_PATIENCE_SECONDS = 60


def without_password(program: Program) -> dict[str, str]:
    """Return a program's environment in which nobody has given a password."""
    environment = program.all_environment()
    del environment["RESTIC_PASSWORD"]
    return environment


def piped(program: Program, text: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command that has no password, with something on its standard input."""
    return subprocess.run(
        [program.binary, *arguments],
        env=without_password(program),
        input=text.encode(),
        capture_output=True,
        check=False,
    )


class Terminal:
    """A program at a terminal of its own, which somebody types at."""

    def __init__(self, program: Program, *arguments: str | Path) -> None:
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", program.binary, *arguments],
            env=without_password(program), stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""

    def answer(self, prompt: str, text: str) -> None:
        """Wait for a prompt, and type."""
        seen = len(self.shown)
        self._read_until(lambda: prompt in self.shown[seen:])
        time.sleep(0.05)  # the echo is turned off just after the prompt
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Return the exit status."""
        self._read_until(lambda: False)
        os.close(self._ours)
        return self.process.wait(_PATIENCE_SECONDS)

    def _read_until(self, enough: Callable[[], bool]) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while not enough():
            assert select.select([self._ours], [], [], until - time.monotonic())[0], self.shown
            try:
                got = os.read(self._ours, 4096)
            except OSError:  # nobody is there any more
                return
            self.shown += got.decode()


@pytest.fixture(params=["restic", "becalm"])
def program(request: pytest.FixtureRequest, place: Path) -> Program:
    """Either program on a repository that is there."""
    theirs = restic(VERSIONS[-1], place / "repository", place / "cache")
    theirs.init()
    return theirs if request.param == "restic" else becalm(place / "repository")


ASKED = "enter password for repository: "


def test_who_has_mistyped_a_password_may_try_twice_again(program: Program) -> None:
    terminal = Terminal(program, "snapshots")
    for text in ("wrong", "wrong", PASSWORD):
        terminal.answer(ASKED, f"{text}\n")

    assert terminal.end() == 0
    assert terminal.shown.count("Try again") == 2
    assert PASSWORD not in terminal.shown


def test_the_third_wrong_one_is_the_last(program: Program) -> None:
    terminal = Terminal(program, "snapshots")
    for _ in range(3):
        terminal.answer(ASKED, "wrong\n")

    assert terminal.end() == 12


def test_a_new_password_is_typed_twice(place: Path) -> None:
    for program in (restic(VERSIONS[-1], place / "theirs", place / "cache"), becalm(place / "ours")):
        differing = Terminal(program, "init")
        differing.answer("enter password for new repository: ", f"{PASSWORD}\n")
        differing.answer("enter password again: ", "another\n")
        assert differing.end() == 1

        terminal = Terminal(program, "init")
        terminal.answer("enter password for new repository: ", f"{PASSWORD}\n")
        terminal.answer("enter password again: ", f"{PASSWORD}\n")
        assert terminal.end() == 0
        program.run("snapshots")


def test_both_passwords_of_a_copy_are_typed(place: Path) -> None:
    source, target = place / "source", place / "target"
    for folder in (source, target):
        becalm(folder).init(anew=True)
    for program in (restic(VERSIONS[-1], target, place / "cache"), becalm(target)):
        terminal = Terminal(program, "copy", "--from-repo", source)
        terminal.answer("enter password for source repository: ", f"{PASSWORD}\n")
        terminal.answer(ASKED, f"{PASSWORD}\n")
        assert terminal.end() == 0, terminal.shown


def test_an_interrupt_at_the_prompt_ends_it_at_once_and_leaves_the_echo_on(place: Path) -> None:
    ours = becalm(place / "repository")
    ours.init()
    terminal = Terminal(ours, "snapshots")
    terminal.answer(ASKED, "half\x03")

    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown


def test_a_script_may_pipe_a_password_in(program: Program) -> None:
    for text, opens in ((f"{PASSWORD}\r\nmore\n", True), (PASSWORD, True), ("wrong\n", False), ("", False)):
        done = piped(program, text, "snapshots")
        assert (done.returncode == 0) == opens, done.stderr


@pytest.mark.parametrize("flags", [("--stdin",), ("--files-from=-",)], ids=str)
def test_data_and_the_password_do_not_both_come_from_standard_input(
    program: Program, flags: tuple[str, ...]
) -> None:
    done = piped(program, "x\n", "backup", *flags)

    assert done.returncode == 1
    assert b"stdin" in done.stderr or b"standard input" in done.stderr
