"""Passwords as they stand in files and in what commands print, and as people enter them: read as restic reads them."""

import contextlib
import getpass
import re
import signal
import sys
from collections.abc import Iterator

from becalm_engine.cli.text_files import text_of, trimmed
from becalm_engine.errors import UsageError


def in_file(raw: bytes) -> tuple[str, str]:
    """Return the password in a file, and the one that becalm once found there."""
    return trimmed(text_of(raw)), _former(raw)


def in_output(raw: bytes) -> tuple[str, str]:
    """Return the password that a command has printed, and the one that becalm once found in it."""
    return trimmed(raw.decode("utf-8", "surrogateescape")), _former(raw)


def _former(raw: bytes) -> str:
    """Return what was the password before blanks were trimmed: repositories may have been made with it."""
    try:
        return re.sub("\r\n?", "\n", raw.decode()).rstrip("\n")
    except UnicodeDecodeError:
        return ""  # such a file was refused


def asked(prompt: str, *, again: bool = False) -> str:
    """Ask for a password on the terminal; `again`: twice, for a new one.

    Raises:
        UsageError: There is no more to read, or the second differs from the first.
        KeyboardInterrupt: A signal came meanwhile.
    """
    with _signals_interrupt():
        try:
            password = getpass.getpass(prompt)
            if again and getpass.getpass("enter password again: ") != password:
                raise UsageError("the two passwords differ")
        except EOFError as error:
            raise UsageError("no password was entered") from error
    return password


def on_standard_input() -> str:
    """Return the first line of standard input."""
    line = sys.stdin.buffer.readline()
    return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let the first signal end the waiting: nothing has begun that would have to come to a sound state."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
