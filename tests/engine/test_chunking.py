import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyfastcdc import FastCDC

from becalm_engine.chunking import (
    AVERAGE_BYTES,
    MAX_BYTES,
    MIN_BYTES,
    WINDOW_BYTES,
    ZERO_BLOCK,
    Chunker,
    Read,
    seed_of,
)

SEED = 12345
KIB, MIB = 1024, 1024 * 1024
RANDOM = random.Random(7).randbytes(6 * MIB)
ZEROS = len(ZERO_BLOCK)


def reader(content: bytes, pieces: Iterator[int] | None = None) -> Read:
    """Read `content`, at most as many bytes at a time as `pieces` says."""
    at = 0

    def read(place: memoryview) -> int:
        nonlocal at
        part = content[at : at + (min(len(place), next(pieces)) if pieces else len(place))]
        at += len(part)
        place[: len(part)] = part
        return len(part)

    return read


def cut(content: bytes, seed: int = SEED, pieces: Iterator[int] | None = None) -> list[bytes]:
    return [bytes(chunk) for chunk in Chunker(seed).cut(reader(content, pieces))]


def ends(chunks: list[bytes]) -> list[int]:
    return list(accumulate(map(len, chunks)))


sparse = st.lists(
    st.tuples(st.sampled_from(("data", "zeros")), st.integers(1, 3 * ZEROS // 2), st.integers(0, MIB)),
    max_size=5,
).map(
    lambda parts: b"".join(
        RANDOM[offset : offset + size] if kind == "data" else bytes(size) for kind, size, offset in parts
    )
)


@given(sparse)
@settings(max_examples=25)
def test_the_chunks_are_the_stream(content: bytes) -> None:
    chunks = cut(content)

    assert b"".join(chunks) == content
    assert all(0 < len(chunk) <= MAX_BYTES for chunk in chunks)


@given(sparse, st.integers(1, 2**32))
@settings(max_examples=15)
def test_cuts_do_not_depend_on_how_the_stream_was_read(content: bytes, seed: int) -> None:
    sizes = random.Random(seed)
    pieces = iter(lambda: sizes.randint(1, 300 * KIB), None)

    assert cut(content, pieces=pieces) == cut(content)


@given(sparse, st.integers(0, 4 * MIB))
@settings(max_examples=25)
def test_cuts_do_not_depend_on_the_length_that_was_expected(content: bytes, expected: int) -> None:
    chunks = [bytes(chunk) for chunk in Chunker(SEED).cut(reader(content), expected_bytes=expected)]

    assert chunks == cut(content)


@pytest.mark.parametrize("expected", [0, 1, 11 * MIB])
def test_a_stream_that_goes_on_is_read_in_large_pieces(expected: int) -> None:
    """Each piece has what is not cut yet looked at once more: small ones made `--stdin` three times slower."""
    content = random.Random(1).randbytes(48 * MIB)
    read, asked = reader(content), []

    def noted(view: memoryview) -> int:
        asked.append(len(view))
        return read(view)

    assert sum(len(chunk) for chunk in Chunker(SEED).cut(noted, expected_bytes=expected)) == len(content)
    assert len(asked) < 48


@given(sparse)
@settings(max_examples=25)
def test_every_long_run_of_zeros_becomes_zero_blocks(content: bytes) -> None:
    chunks = list(Chunker(SEED).cut(reader(content)))

    for chunk in chunks:
        assert chunk is ZERO_BLOCK or ZERO_BLOCK not in bytes(chunk)


@pytest.mark.parametrize("before", [0, 1, 4095, 256 * KIB, 700_001])
@pytest.mark.parametrize("rest", [0, 1, ZEROS - 1])
def test_a_run_is_cut_from_its_first_zero_on(before: int, rest: int) -> None:
    data = RANDOM[:before].rstrip(b"\0")
    content = data + bytes(3 * ZEROS + rest) + b"\x01"

    chunks = cut(content)

    at = len(data)
    assert {at, at + ZEROS, at + 2 * ZEROS, at + 3 * ZEROS} - {0} <= set(ends(chunks))
    assert chunks.count(ZERO_BLOCK) == 3


def test_a_stream_of_zeros_is_zero_blocks_across_windows() -> None:
    chunks = list(Chunker(SEED).cut(reader(bytes(WINDOW_BYTES + 3 * ZEROS + 5))))

    assert all(chunk is ZERO_BLOCK for chunk in chunks[:-1])
    assert bytes(chunks[-1]) == bytes(5)


@pytest.mark.parametrize("size", [0, 1, MIN_BYTES - 1])
def test_a_small_stream_is_one_chunk_and_an_empty_one_none(size: int) -> None:
    content = RANDOM[:size]

    assert cut(content) == ([content] if content else [])


def test_chunks_keep_to_restic_s_limits() -> None:
    sizes = [len(chunk) for chunk in cut(RANDOM * 5)]

    assert all(MIN_BYTES <= size <= MAX_BYTES for size in sizes[:-1])
    assert AVERAGE_BYTES / 2 < sum(sizes) / len(sizes) < AVERAGE_BYTES * 2


def test_a_stream_without_any_cut_point_is_cut_at_the_maximum() -> None:
    content = b"a" * (2 * MAX_BYTES + 5)

    assert [len(chunk) for chunk in cut(content)] == [MAX_BYTES, MAX_BYTES, 5]


@pytest.mark.slow
def test_windows_leave_no_trace_in_the_cuts() -> None:
    content = random.Random(3).randbytes(2 * WINDOW_BYTES + 5 * MIB)
    whole = FastCDC(AVERAGE_BYTES, min_size=MIN_BYTES, max_size=MAX_BYTES, seed=SEED)

    expected = [chunk.offset + chunk.length for chunk in whole.cut_buf(content)]

    assert ends(cut(content)) == expected


@given(sparse, st.integers(0, 2**32))
@settings(max_examples=25)
def test_holes_that_are_skipped_leave_no_trace_in_the_cuts(content: bytes, seed: int) -> None:
    at = 0
    sizes = random.Random(seed)

    def read(place: memoryview) -> int:
        nonlocal at
        part = content[at : at + len(place)]
        at += len(part)
        place[: len(part)] = part
        return len(part)

    def skip_hole() -> int:
        # a hole may end anywhere before the zeros do: file systems know only whole blocks of them
        nonlocal at
        zeros = len(content) - at - len(content[at:].lstrip(b"\0"))
        length = sizes.choice((zeros, zeros // 2, 0))
        at += length
        return length

    chunks = [bytes(chunk) for chunk in Chunker(SEED).cut(read, skip_hole)]

    assert chunks == cut(content)


def test_a_long_hole_is_not_read() -> None:
    left = 5 * 1024 * MIB
    asked = []

    def read(place: memoryview) -> int:
        asked.append(len(place))
        return 0

    def skip_hole() -> int:
        nonlocal left
        length, left = left, 0
        return length

    chunks = list(Chunker(SEED).cut(read, skip_hole))

    assert len(asked) == 1
    assert len(chunks) == 5 * 1024 * 2
    assert all(chunk is ZERO_BLOCK for chunk in chunks)


@given(st.binary(min_size=64, max_size=64))
def test_every_key_gives_a_seed_that_cuts(master_key: bytes) -> None:
    assert cut(b"content", seed=seed_of(master_key)) == [b"content"]


def test_data_put_in_front_moves_only_the_first_cuts() -> None:
    before = set(cut(RANDOM))

    after = set(cut(b"a few bytes" + RANDOM))

    assert len(before & after) >= len(before) - 2


def test_another_seed_cuts_elsewhere() -> None:
    assert not set(cut(RANDOM, seed=1)[:-1]) & set(cut(RANDOM, seed=2)[:-1])


def test_the_seed_is_derived_from_the_master_key_alone() -> None:
    first, second = bytes(64), bytes(63) + b"\x01"

    assert seed_of(first) != seed_of(second)
    assert 0 <= seed_of(first) < 2**63
    assert 0 <= seed_of(second) < 2**63


def test_the_seed_of_a_key_never_changes() -> None:
    # another value would store every file of every repository again
    assert seed_of(bytes(range(64))) == 5074108350736047820


def test_the_cuts_of_a_seed_never_change() -> None:
    assert ends(cut(RANDOM)) == [742020, 1425672, 5275222, 6291456]


def test_one_chunker_serves_several_threads() -> None:
    chunker = Chunker(SEED)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: [bytes(c) for c in chunker.cut(reader(RANDOM))], range(4)))

    assert results == [cut(RANDOM)] * 4
