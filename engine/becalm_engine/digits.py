"""Whole numbers as people write them."""

_MOST_DIGITS = 100
"""Nothing that is counted comes near. Python reads no more than 4300 digits, and makes no fraction of 309."""


def whole_number(text: str) -> int | None:
    """Return the number that a text of digits is, or None if it is anything else or too long."""
    fits = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if fits else None
