"""Keeps freed memory in the process, to be used again."""

import contextlib
import ctypes

_TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD of malloc.h
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD
_LIMIT_BYTES = 1 << 29


def keep_freed_memory() -> None:
    """Have the C library hold on to what is freed, instead of giving every large buffer back to the kernel.

    Otherwise each buffer of a MiB is mapped, zeroed and unmapped again, page by page, which takes longer than
    to encrypt it. The process grows no larger than its peak. Where the C library knows no such setting (musl),
    nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_TRIM_THRESHOLD, _LIMIT_BYTES)
        library.mallopt(_MMAP_THRESHOLD, _LIMIT_BYTES)
