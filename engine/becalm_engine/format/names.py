"""File names as they stand in a tree: Go's `strconv.Quote` of the raw bytes, without the outer quotes."""

import re

from becalm_engine.errors import DamagedError
from becalm_engine.format.printable import is_printable

_PLAIN = re.compile(rb"[ !#-\[\]-~]*")
_SHORT = {7: "\\a", 8: "\\b", 12: "\\f", 10: "\\n", 13: "\\r", 9: "\\t", 11: "\\v"}
_SHORT_BACK = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34}
_ESCAPE = re.compile(
    r"\\(?:(?P<short>[abfnrtv\\\"])|x(?P<byte>[0-9a-fA-F]{2})|(?P<octal>[0-7]{3})"
    r"|u(?P<four>[0-9a-fA-F]{4})|U(?P<eight>[0-9a-fA-F]{8}))",
    re.ASCII,
)
_LOW_SURROGATES = range(0xDC80, 0xDD00)
_SURROGATES = range(0xD800, 0xE000)
_MAX_OCTAL = 0o377


def quote(name: bytes) -> str:
    """Return the text that stands for the bytes `name` in a tree."""
    if _PLAIN.fullmatch(name):
        return name.decode("ascii")
    return "".join(map(_quoted, name.decode("utf-8", "surrogateescape")))


def _quoted(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if code in _LOW_SURROGATES:  # a byte that is not part of valid UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if is_printable(character):
        return character
    if code < 0x80:
        return _SHORT.get(code) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def unquote(text: str) -> bytes:
    """Return the bytes that `text` stands for.

    Raises:
        DamagedError: `strconv.Unquote` would refuse it.
    """
    if "\\" not in text and '"' not in text and "\n" not in text:
        return _utf8(text, text)
    parts, at = [], 0
    while at < len(text):
        escape = text.find("\\", at)
        end = len(text) if escape < 0 else escape
        literal = text[at:end]
        if '"' in literal or "\n" in literal:
            raise DamagedError(f"name {text!r:.80} has a bare quote or line break")
        parts.append(_utf8(literal, text))
        if escape < 0:
            break
        match = _ESCAPE.match(text, escape)
        if match is None:
            raise DamagedError(f"name {text!r:.80} has an unknown escape")
        parts.append(_unescaped(match, text))
        at = match.end()
    return b"".join(parts)


def _unescaped(match: re.Match[str], text: str) -> bytes:
    if match["short"]:
        return bytes((_SHORT_BACK[match["short"]],))
    if match["byte"]:
        return bytes((int(match["byte"], 16),))
    if match["octal"]:
        value = int(match["octal"], 8)
        if value > _MAX_OCTAL:
            raise DamagedError(f"name {text!r:.80} has an octal escape above \\377")
        return bytes((value,))
    code = int(match["four"] or match["eight"], 16)
    if code > 0x10FFFF or code in _SURROGATES:
        raise DamagedError(f"name {text!r:.80} has an escape that is no character")
    return chr(code).encode()


def _utf8(part: str, text: str) -> bytes:
    try:
        return part.encode()
    except UnicodeEncodeError:
        raise DamagedError(f"name {text!r:.80} has a lone surrogate") from None
