"""JSON strings exactly as Go's `encoding/json` writes them, so that equal trees are equal blobs."""

import json
import re
from typing import Any

_PLAIN = re.compile(r"[ !#-%'-;=?-\[\]-~]*", re.ASCII)
_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    # a byte that is no UTF-8 comes as a lone surrogate; Go writes this escape for it, not the character
    | dict.fromkeys(map(chr, range(0xD800, 0xE000)), "\\ufffd")
)


def string(text: str) -> str:
    """Return `text` as a JSON string with quotes; `<`, `>` and `&` are escaped as Go does."""
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    return json.dumps(text, ensure_ascii=False).translate(_ESCAPES)


def document(value: Any) -> bytes:
    """Return a whole value as JSON without blanks; outside strings no escaped character can occur."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_ESCAPES).encode()
