"""File names of every kind that a file system takes: every byte, every code point, everything that is not UTF-8."""

import itertools
import os
import random
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

NAME_BYTES = 255
_SEPARATORS = (b"/", b"\0")
_FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
_COMPOSED = ("é", "Å", "ﬁ", "ǆ", "각", "が", "ẛ̣", "½", "①", "Ω")
_RANDOM_NAMES = 500


def write_names(folder: Path, names: Iterable[bytes]) -> list[bytes]:
    """Write an empty file of each name, and return the names in the order of their bytes."""
    folder.mkdir(parents=True)
    inside = os.open(folder, os.O_DIRECTORY)
    try:
        every = sorted(set(names))
        for name in every:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=inside))
    finally:
        os.close(inside)
    return every


def single_bytes() -> Iterator[bytes]:
    """Yield names of each byte alone, at the start, in the middle and at the end."""
    for number in range(1, 256):
        byte = bytes((number,))
        if byte not in _SEPARATORS:
            yield from (byte + b"-start", b"mid-" + byte + b"-dle", b"end-" + byte, byte * 3)
            if byte != b".":
                yield byte


def code_points() -> Iterator[bytes]:
    """Yield names that hold every code point of Unicode once, but for surrogates, the slash and NUL."""
    scalars = (chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000)
    yield from _packed((one.encode() for one in scalars if one != "/"), b"u")


def not_utf8() -> Iterator[bytes]:
    """Yield names of bytes that no UTF-8 holds: halves, surrogates, overlong forms, beyond the last code point."""
    high = range(0x80, 0x100)
    yield from _packed((bytes(pair) for pair in itertools.product(high, high)), b"p", b"|")
    yield from _packed((chr(code).encode("utf-8", "surrogatepass") for code in range(0xD800, 0xE000)), b"s")
    overlong = [bytes((lead, trail)) for lead in (0xC0, 0xC1) for trail in range(0x80, 0xC0)]
    overlong += [b"\xe0\x80" + bytes((trail,)) for trail in range(0x80, 0xC0)]
    overlong += [
        b"\xe0\x9f\xbf",
        b"\xf0\x80\x80\xaf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84" + b"\x80" * 4,
    ]
    beyond = [b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xf5\x80\x80\x80", b"\xfe", b"\xff"]
    cut = [
        text.encode()[:end]
        for text in ("é", "日", "😀", "\U0010ffff")
        for end in range(1, len(text.encode()))
    ]
    yield from _packed([*overlong, *beyond], b"o", b"|")
    for part in cut:
        yield from (part, part + b"x", b"x" + part, part + "é".encode(), part * 2)


def normal_forms() -> Iterator[bytes]:
    """Yield each form of texts that look alike: a file system keeps them apart, and so must a backup."""
    for text, form in itertools.product(_COMPOSED, _FORMS):
        yield unicodedata.normalize(form, text).encode()


def quoted_looking() -> Iterator[bytes]:
    """Yield names that look like what other names become in a tree, in JSON, or in a pattern."""
    for text in (
        "\\n",
        "\\\\n",
        "\\x00",
        "\\u00e9",
        "\\ud800",
        "\\U0001f600",
        '"',
        '\\"',
        "'",
        "&lt;",
        "<&>",
        "\u2028",
    ):
        yield from (text.encode(), b"a" + text.encode(), text.encode() + b"\\")


def anything() -> Iterator[bytes]:
    """Yield names of random bytes, of every length that a name may have."""
    source = random.Random("names")
    allowed = [byte for byte in range(1, 256) if byte != 0x2F]
    for _ in range(_RANDOM_NAMES):
        yield b"r" + bytes(source.choices(allowed, k=source.randrange(1, NAME_BYTES)))


def every_name() -> Iterator[bytes]:
    """Yield all of the above."""
    yield from itertools.chain(
        single_bytes(), code_points(), not_utf8(), normal_forms(), quoted_looking(), anything()
    )


def _packed(parts: Iterable[bytes], mark: bytes, between: bytes = b"") -> Iterator[bytes]:
    """Yield as few names as hold all parts; `mark` keeps them apart from other names."""
    name = mark
    for part in parts:
        if len(name) + len(between) + len(part) > NAME_BYTES:
            yield name
            name = mark
        name += between + part
    yield name
