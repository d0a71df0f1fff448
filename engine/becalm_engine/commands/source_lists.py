"""Files that name what to back up: one name a line with patterns, one a line as it is, or names that end with NUL."""

import glob
import os
import re
from collections.abc import Callable

from becalm_engine.errors import UsageError

_SPECIAL = re.compile(rb"\\(.)|\[\^", re.DOTALL)


def patterns_in(text: bytes) -> list[bytes]:
    """Return the patterns in a list, without blank lines, blanks around them, and comments."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith(b"#")]


def names_in_lines(text: bytes) -> list[bytes]:
    """Return the names in a list, every byte of each line; only empty lines are left out."""
    return [line for line in text.removesuffix(b"\n").split(b"\n") if line]


def names_with_nul(text: bytes) -> list[bytes]:
    """Return the names in a list, each of which ends with NUL.

    Raises:
        UsageError: The last one does not, or one is empty.
    """
    if not text:
        return []
    if not text.endswith(b"\0"):
        raise UsageError("--files-from-raw: the last name does not end with NUL; was the list cut off?")
    names = text[:-1].split(b"\0")
    if b"" in names:
        raise UsageError("--files-from-raw: a name in the list is empty")
    return names


def expanded(pattern: bytes, unmatched: Callable[[bytes], None]) -> list[bytes]:
    """Return the files that fit a pattern; `unmatched` is told of one that fits none."""
    found = sorted(glob.glob(_translated(pattern), include_hidden=True))
    if not found:
        unmatched(pattern)
    return found


def _translated(pattern: bytes) -> bytes:
    """Return restic's pattern as `glob` writes it: `[^a]` is `[!a]`, and a backslash takes what follows as it is."""
    return _SPECIAL.sub(lambda match: glob.escape(match[1]) if match[1] else b"[!", pattern)


def sources_of(
    arguments: list[str],
    lists: list[bytes],
    verbatim: list[bytes],
    raw: list[bytes],
    unmatched: Callable[[bytes], None],
) -> list[str]:
    """Return all sources that arguments and the texts of lists name, in order, each once.

    Raises:
        UsageError: A list is broken.
    """
    names = [os.fsencode(name) for name in arguments]
    names += [name for text in lists for line in patterns_in(text) for name in expanded(line, unmatched)]
    names += [name for text in verbatim for name in names_in_lines(text)]
    names += [name for text in raw for name in names_with_nul(text)]
    return [os.fsdecode(name) for name in dict.fromkeys(names)]
