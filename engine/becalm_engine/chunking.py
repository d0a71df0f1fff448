"""Where files are cut into blobs: FastCDC with a secret seed; long runs of zeros at fixed lengths.

The only module that knows pyfastcdc. Cut points depend on the content alone, never on how it was read.
"""

import itertools
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from becalm_engine.ids import Buffer

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

MIN_BYTES = 512 * 1024
AVERAGE_BYTES = 1024 * 1024
MAX_BYTES = 8 * 1024 * 1024
"""restic's own limits: its readers hold a whole blob in memory, and its users know the granularity."""

ZERO_BLOCK = bytes(512 * 1024)
"""restic makes a hole of a blob only if it is this one."""

_PROBE_BYTES = 4096
_PROBE_STRIDE = len(ZERO_BLOCK) // 2
_LEAST_WINDOW_BYTES = 64 * 1024
WINDOW_BYTES = 10 * 1024 * 1024
"""How much of a stream is in memory at once, the longest chunk at least; its chunks keep it until they are stored."""

Read = Callable[[memoryview], int]
"""Reads a stream into a buffer, and returns how many bytes it gave; 0 only at its end."""

SkipHole = Callable[[], int]
"""Passes over the hole of a sparse file that the stream stands at, and returns its length; 0 if there is none."""

_Cuts = Generator[Buffer, None, int]
"""Yields chunks, and returns where the next one begins."""


def seed_of(master_key: bytes) -> int:
    """Derive a repository's seed from its master key, so that its cut points are its own.

    It has 63 bits: pyfastcdc takes no more.
    """
    derived = HKDF(SHA256(), length=8, salt=None, info=b"becalm chunking seed").derive(master_key)
    return int.from_bytes(derived, "little") >> 1


class Chunker:
    """Cuts streams. One object serves any number of streams and threads."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def cut(
        self, read: Read, skip_hole: SkipHole | None = None, *, expected_bytes: int = WINDOW_BYTES
    ) -> Iterator[Buffer]:
        """Yield the chunks of a stream in order; a zero block is the object `ZERO_BLOCK` itself.

        A chunk may be a view of a window of up to `WINDOW_BYTES`, which lives as long as the view. With
        `skip_hole`, long holes are not read; the chunks are the same. A stream that is longer or shorter than
        expected only costs a little more.
        """
        # its import takes longer than ours, and most commands cut nothing
        from pyfastcdc import FastCDC  # noqa: PLC0415

        cutter = FastCDC(AVERAGE_BYTES, min_size=MIN_BYTES, max_size=MAX_BYTES, seed=self._seed)
        rest, ended = memoryview(b""), False
        while not ended:
            if skip_hole is not None and _is_zero(rest):
                blocks, left = divmod(len(rest) + skip_hole(), len(ZERO_BLOCK))
                yield from itertools.repeat(ZERO_BLOCK, blocks)
                rest = memoryview(bytes(left))
            size = min(len(rest) + _asked_bytes(expected_bytes), WINDOW_BYTES)
            window, ended = _filled(rest, read, size)
            expected_bytes -= len(window) - len(rest)
            at = yield from _cut_window(cutter, window, ended=ended)
            rest = memoryview(window)[at:]


def _asked_bytes(expected_bytes: int) -> int:
    """Return how much to read of a stream of which so much should be left."""
    if expected_bytes < 0:
        return WINDOW_BYTES  # nobody knows: small windows would have the same bytes looked at again and again
    # one byte more than there should be shows the end without another window
    return max(expected_bytes + 1, _LEAST_WINDOW_BYTES)


def _is_zero(part: memoryview) -> bool:
    """Say whether there are only zeros in a part: looks at its ends first, which are seldom zero."""
    return not part or (part[0] == part[-1] == 0 and bytes(part).count(0) == len(part))


def _filled(rest: memoryview, read: Read, size: int) -> tuple[bytearray, bool]:
    """Return a window of `rest` and what follows it, and whether the stream has ended."""
    window, length, ended = bytearray(size), len(rest), False
    window[:length] = rest
    with memoryview(window) as view:
        while length < size and not ended:
            more = read(view[length:])
            length, ended = length + more, not more
    del window[length:]
    return window, ended


def _cut_window(cutter: "FastCDC", window: bytearray, *, ended: bool) -> _Cuts:
    """Yield the chunks that no later byte can change."""
    at, before = 0, -1
    while before < at < len(window):
        before = at
        zeros = _next_zero_block(window, at)
        if zeros == at:
            yield ZERO_BLOCK
            at += len(ZERO_BLOCK)
        else:
            known_end = ended or zeros < len(window)
            at = yield from _cut_segment(cutter, memoryview(window), at, zeros, known_end=known_end)
    return at


def _cut_segment(cutter: "FastCDC", window: memoryview, at: int, end: int, *, known_end: bool) -> _Cuts:
    """Yield the chunks up to `end`. Where that is only the window's end, the last ones may go on after it.

    A cut depends on the bytes before it alone, unless a run of zeros begins there that cannot be told yet.
    """
    for chunk in cutter.cut_buf(window[at:end]):
        if not known_end and at + chunk.length + len(ZERO_BLOCK) > len(window):
            break
        yield window[at : at + chunk.length]
        at += chunk.length
    return at


def _next_zero_block(window: bytearray, start: int) -> int:
    """Find where the first run of zeros begins that is at least a zero block long, or the window's end.

    Such a run covers at least one probe whole, so looking at the probes alone misses none.
    """
    probe = ZERO_BLOCK[:_PROBE_BYTES]
    for at in range(start, len(window) - _PROBE_BYTES + 1, _PROBE_STRIDE):
        if window.startswith(probe, at):
            first = _run_start(window, start, at)
            if window.startswith(ZERO_BLOCK, first):
                return first
    return len(window)


def _run_start(window: bytearray, lowest: int, at: int) -> int:
    """Walk back from a zero at `at` to the first zero of its run, not below `lowest`."""
    step = _PROBE_BYTES
    while step:
        before = max(lowest, at - step)
        if before < at and window.startswith(ZERO_BLOCK[: at - before], before):
            at = before
        else:
            step //= 2
    return at
