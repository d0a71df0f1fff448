"""Reading JSON that nobody vouches for: each value is asked for by name and type."""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from becalm_engine.errors import DamagedError

INT64, UINT32, UINT64 = (1 << 63) - 1, (1 << 32) - 1, (1 << 64) - 1
"""Nobody writes larger numbers, and what reckons with them further on could not hold them."""


def parse_object(text: bytes, what: str, *, exact: bool = False) -> dict[str, Any]:
    """Return the JSON object in `text`. Numbers above 64 bits may come as floats, unless they must be `exact`.

    Raises:
        DamagedError: It is not JSON, or no object, or nested beyond reason.
    """
    try:
        document = json.loads(text) if exact else _loaded(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{what} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise DamagedError(f"{what} is not a JSON object")
    return document


def _loaded(text: bytes) -> Any:
    """Parse JSON quickly. What the quick parser refuses, as lone surrogates, may still be what others write."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def text_of(document: Mapping[str, Any], key: str, what: str, default: str | None = None) -> str:
    """Return a string field; `default` None makes it mandatory."""
    value = document.get(key, default)
    if not isinstance(value, str):
        raise DamagedError(f"{what}: {key} is not a string")
    return _sound(value)


def number_of(
    document: Mapping[str, Any], key: str, what: str, default: int | None = None, *, largest: int = UINT64
) -> int:
    """Return a whole number that is not negative, nor above `largest`; `default` None makes it mandatory."""
    value = document.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise DamagedError(f"{what}: {key} is not a whole number from 0 to {largest}")
    return value


def texts_of(document: Mapping[str, Any], key: str, what: str) -> tuple[str, ...]:
    """Return a list of strings; absent and null count as empty."""
    value = document.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DamagedError(f"{what}: {key} is not a list of strings")
    return tuple(_sound(item) for item in value)


def _sound(text: str) -> str:
    """Replace lone surrogates, which JSON can hold and nothing else, by U+FFFD as Go does."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
