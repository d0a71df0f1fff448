"""Passwords as they stand in files and in what commands print: read as restic reads them."""

import codecs
import re

_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_AT_THE_ENDS = re.compile(f"\\A[{_BLANKS}]+|[{_BLANKS}]+\\Z")
"""What Go takes for white space; Python adds control characters, which a password may begin and end with."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "surrogateescape"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "replace"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "replace"),
)


def trimmed(text: str) -> str:
    """Return a text without the white space at its ends, as restic trims it."""
    return _AT_THE_ENDS.sub("", text)


def text_of(raw: bytes) -> str:
    """Return the text of a file: by its byte order mark, or UTF-8. Bytes that are none of it stay as they are."""
    for mark, encoding, errors in _MARKS:
        if raw.startswith(mark):
            return raw.removeprefix(mark).decode(encoding, errors)
    return raw.decode("utf-8", "surrogateescape")


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
