"""What an attacker who knows the password may have stored, or a disk that lies."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from becalm_engine.errors import DamagedError


def damage(valid: bytes) -> st.SearchStrategy[bytes]:
    """Bytes made from valid ones: cut, with a few bytes replaced, or nothing like them."""
    replaced = st.dictionaries(st.integers(0, max(len(valid) - 1, 0)), st.integers(0, 255), max_size=3)
    mutated = replaced.map(lambda changes: bytes(changes.get(at, byte) for at, byte in enumerate(valid)))
    cut = st.integers(0, len(valid)).map(lambda end: valid[:end])
    return mutated | cut | st.binary(max_size=80)


def changed(document: bytes, changes: Mapping[str, Any]) -> bytes:
    """Return a JSON object with some fields replaced."""
    return json.dumps({**json.loads(document), **changes}).encode()


def is_read_or_refused(decode: Callable[[bytes], object], data: bytes) -> bool:
    """Say True if `decode` returns something or raises `DamagedError`; all else passes through."""
    try:
        decode(data)
    except DamagedError:
        return True
    return True
