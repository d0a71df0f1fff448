"""Names from a repository, made fit to be looked at: nothing in them can steer a terminal.

What is printable stays byte for byte as it is, which is how restic prints it. Anything else is put into double
quotes with Go's escapes. Paths begin with a slash, so a line that begins with a quote is always such a one.
"""

import json
import re

from becalm_engine.format import gojson
from becalm_engine.format.names import quote
from becalm_engine.format.printable import is_printable

_PLAIN = re.compile(rb"[ -~]*")
_NOT_PLAIN = re.compile(r"[^ -~]")


def shown(name: bytes) -> str:
    """Return a path or a name for people."""
    if _PLAIN.fullmatch(name):
        return name.decode("ascii")
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return f'"{quote(name)}"'
    return text if all(map(is_printable, text)) else f'"{quote(name)}"'


def shown_text(text: str) -> str:
    """Return a text of a repository, like a host name or a tag, for people."""
    return shown(text.encode("utf-8", "surrogateescape"))


def json_text(document: object) -> str:
    """Return a document as restic prints JSON; what is not printable is escaped, which changes no value."""
    return _NOT_PLAIN.sub(_escaped, gojson.document(document).decode())


def indented_text(document: object) -> str:
    """Return a document as JSON in several lines, for people; what is not printable is escaped, too."""
    lines = json.dumps(document, indent=2, ensure_ascii=False).split("\n")
    return "\n".join(_NOT_PLAIN.sub(_escaped, line) for line in lines)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if is_printable(character):
        return character
    if "\ud800" <= character <= "\udfff":
        return "\\ufffd"  # half a character is no text; Go writes this for it
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
