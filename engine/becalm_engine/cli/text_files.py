"""The text of files that people write, read as restic reads it."""

import codecs
import re
from collections.abc import Mapping

_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_AT_THE_ENDS = re.compile(f"\\A[{_BLANKS}]+|[{_BLANKS}]+\\Z")
"""What Go takes for white space; Python adds control characters, which a password may begin and end with."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "surrogateescape"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "replace"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "replace"),
)
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|(\{)|([*#$@!?0-9-]|[A-Za-z0-9_]+))")


def trimmed(text: str) -> str:
    """Return a text without the white space at its ends, as restic trims it."""
    return _AT_THE_ENDS.sub("", text)


def text_of(raw: bytes) -> str:
    """Return the text of a file: by its byte order mark, or UTF-8. Bytes that are none of it stay as they are."""
    for mark, encoding, errors in _MARKS:
        if raw.startswith(mark):
            return raw.removeprefix(mark).decode(encoding, errors)
    return raw.decode("utf-8", "surrogateescape")


def patterns_in(raw: bytes, environment: Mapping[str, str]) -> list[str]:
    """Return the patterns in a file: one a line, with variables, without blank lines and comments."""
    lines = (trimmed(line) for line in text_of(raw).split("\n"))
    wanted = (expanded(line, environment) for line in lines if not line.startswith("#"))
    return [line for line in wanted if line]


def expanded(line: str, environment: Mapping[str, str]) -> str:
    """Put variables in the place of `$NAME` and `${NAME}`, as Go does.

    `$$` is a dollar, what is not set is empty, and braces that hold nothing or are not closed vanish.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3] or ""
        return "$" if name == "$" else environment.get(name, "")

    return _VARIABLE.sub(value, line)
