"""How this process handles memory: what suits a command that handles much of it and ends."""

import contextlib
import ctypes
import gc

_TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD of malloc.h
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD
_LIMIT_BYTES = 1 << 29
_NEW_OBJECTS = 50_000


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


def leave_all() -> None:
    """Look for no more garbage: at its end a process would otherwise walk through all that it holds, several times."""
    gc.freeze()


def collect_seldom() -> None:
    """Look for garbage in cycles only now and then: lists of a hundred thousand files hold none."""
    gc.set_threshold(_NEW_OBJECTS, 20, 100)
