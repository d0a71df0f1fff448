"""What is printed: text or JSON, and below it on a terminal how far the run is."""

import sys
import threading
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from becalm_engine.format.shown import json_text

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(slots=True)
class Output:
    """Where and how a run prints. Nothing else prints.

    Lines that show how far it is stay below all others: they are cleared before anything else is printed.
    """

    json: bool = False
    quiet: bool = False
    verbose: int = 0
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    _status_lines: int = 0
    _printing: "threading.RLock" = field(default_factory=threading.RLock)

    def say(self, text: str) -> None:
        """Print a line for people, unless quiet or JSON is wanted."""
        if not (self.json or self.quiet):
            self._print(text, self.out)

    def result(self, text: str) -> None:
        """Print what was asked for, also when quiet."""
        if not self.json:
            self._print(text, self.out)

    def warn(self, text: str) -> None:
        """Print a line to standard error."""
        if not self.json:
            self._print(text, self.err)

    def message(self, document: Mapping[str, Any] | Sequence[Any], *, to_error: bool = False) -> None:
        """Print one JSON line, if JSON is wanted. Nothing in it can steer a terminal."""
        if self.json:
            self._print(json_text(document), self.err if to_error else self.out)

    def error(self, during: str, item: str, reason: str, *, shown: str) -> None:
        """Tell what went wrong with one thing, while the run goes on; `shown` is the line for people."""
        self.warn(shown)
        self.message(
            {"message_type": "error", "error": {"message": reason}, "during": during, "item": item},
            to_error=True,
        )

    def show_status(self, lines: Sequence[str]) -> None:
        """Draw lines on a terminal, in place of those that were drawn before."""
        with self._printing:
            self.clear_status()
            self.out.write("\n".join(lines))
            self.out.flush()
            self._status_lines = len(lines)

    def clear_status(self) -> None:
        """Take away what was drawn."""
        with self._printing:
            if self._status_lines:
                self.out.write("\r" + "\x1b[1A" * (self._status_lines - 1) + "\x1b[J")
                self.out.flush()
                self._status_lines = 0

    def _print(self, text: str, stream: TextIO) -> None:
        with self._printing:
            self.clear_status()
            print(text, file=stream, flush=True)


def size_text(number: float) -> str:
    """Return a number of bytes for people, in units of 1024."""
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            return f"{number:.0f} B" if unit == "B" else f"{number:.3f} {unit}"
        number /= 1024
    raise AssertionError


def duration_text(seconds: float) -> str:
    """Return a duration as minutes and seconds, or hours."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def table(head: Sequence[str], rows: Sequence[Sequence[Sequence[str]]], *, apart: bool = False) -> list[str]:
    """Return the lines of restic's table: a cell may have several lines; `apart` puts a blank line between rows."""
    widths = [
        max(map(display_width, [title, *(line for row in rows for line in row[column])]))
        for column, title in enumerate(head)
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [_line(head, widths), rule]
    for number, row in enumerate(rows):
        lines += [""] if apart and number else []
        for at in range(max(1, *map(len, row))):
            lines.append(_line([cell[at] if at < len(cell) else "" for cell in row], widths))
    return [*lines, rule]


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    padded = (text + " " * (width - display_width(text)) for text, width in zip(texts, widths, strict=True))
    return "  ".join(padded).rstrip(" ")


def display_width(text: str) -> int:
    """Return how many columns of a terminal a text takes, as restic counts: wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
