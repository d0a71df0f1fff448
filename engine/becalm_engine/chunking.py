"""Where files are cut into blobs: FastCDC with a secret seed; long runs of zeros at fixed lengths.

The only module that knows pyfastcdc. Cut points depend on the content alone, never on how it was read.
"""

import itertools
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

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
_LOOKAHEAD_BYTES = MAX_BYTES + len(ZERO_BLOCK)
WINDOW_BYTES = 32 * 1024 * 1024

Read = Callable[[int], bytes]
"""Returns up to so many bytes of a stream, and none at its end."""

SkipHole = Callable[[], int]
"""Passes over the hole of a sparse file that the stream stands at, and returns its length; 0 if there is none."""

_Cuts = Generator[bytes | memoryview, None, int]
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

    def cut(self, read: Read, skip_hole: SkipHole | None = None) -> Iterator[bytes | memoryview]:
        """Yield the chunks of a stream in order; a zero block is the object `ZERO_BLOCK` itself.

        A chunk may be a view of a window of `WINDOW_BYTES`, which lives as long as the view. With `skip_hole`,
        long holes are not read; the chunks are the same.
        """
        # its import takes longer than ours, and most commands cut nothing
        from pyfastcdc import FastCDC  # noqa: PLC0415

        cutter = FastCDC(AVERAGE_BYTES, min_size=MIN_BYTES, max_size=MAX_BYTES, seed=self._seed)
        rest, ended = b"", False
        while not ended:
            if skip_hole is not None and _is_zero(rest):
                blocks, left = divmod(len(rest) + skip_hole(), len(ZERO_BLOCK))
                yield from itertools.repeat(ZERO_BLOCK, blocks)
                rest = bytes(left)
            window, ended = _filled(rest, read)
            at = yield from _cut_window(cutter, window, ended=ended)
            rest = window[at:]


def _is_zero(part: bytes) -> bool:
    """Say whether there are only zeros in a part: looks at its ends first, which are seldom zero."""
    return not part or (part[0] == part[-1] == 0 and part.count(0) == len(part))


def _filled(rest: bytes, read: Read) -> tuple[bytes, bool]:
    """Return `rest` and what follows it, up to a window, and whether the stream has ended."""
    parts, size = [rest] if rest else [], len(rest)
    while size < WINDOW_BYTES and (part := read(WINDOW_BYTES - size)):
        parts.append(part)
        size += len(part)
    # one part needs no copy: most files are smaller than a window
    return parts[0] if len(parts) == 1 else b"".join(parts), size < WINDOW_BYTES


def _cut_window(cutter: "FastCDC", window: bytes, *, ended: bool) -> _Cuts:
    """Yield the chunks that no later byte can change."""
    at = 0
    while at < len(window) and (ended or at + _LOOKAHEAD_BYTES <= len(window)):
        zeros = _next_zero_block(window, at)
        if zeros == at:
            yield ZERO_BLOCK
            at += len(ZERO_BLOCK)
        else:
            known_end = ended or zeros < len(window)
            at = yield from _cut_segment(cutter, memoryview(window), at, zeros, known_end=known_end)
    return at


def _cut_segment(cutter: "FastCDC", window: memoryview, at: int, end: int, *, known_end: bool) -> _Cuts:
    for chunk in cutter.cut_buf(window[at:end]):
        if not known_end and at + _LOOKAHEAD_BYTES > len(window):
            break
        yield window[at : at + chunk.length]
        at += chunk.length
    return at


def _next_zero_block(window: bytes, start: int) -> int:
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


def _run_start(window: bytes, lowest: int, at: int) -> int:
    """Walk back from a zero at `at` to the first zero of its run, not below `lowest`."""
    step = _PROBE_BYTES
    while step:
        before = max(lowest, at - step)
        if before < at and window.startswith(ZERO_BLOCK[: at - before], before):
            at = before
        else:
            step //= 2
    return at
