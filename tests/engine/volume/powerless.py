"""A process of root without root's power: modes hold for it as for anybody, and its files are its own."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

_VERSION_3 = 0x20080522
_WORDS = 6
"""Twice: the lower and the upper half of what is effective, permitted and inheritable."""


@contextlib.contextmanager
def powerless() -> Iterator[None]:
    """For the block, this thread and those that it starts have no capability in effect."""
    before = (ctypes.c_uint32 * _WORDS)()
    _call("capget", before)
    none = (ctypes.c_uint32 * _WORDS)(*before)
    none[0] = none[3] = 0
    _call("capset", none)
    try:
        yield
    finally:
        _call("capset", before)


def _call(name: str, words: "ctypes.Array[ctypes.c_uint32]") -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    call = getattr(ctypes.CDLL(None, use_errno=True), name)
    if call(header, words):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
