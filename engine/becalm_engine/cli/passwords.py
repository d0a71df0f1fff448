"""Passwords as they stand in files and in what commands print: read as restic reads them."""

import re

from becalm_engine.cli.text_files import text_of, trimmed


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
