import itertools
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.format.crypto import Envelope, Key, unseal
from becalm_engine.format.pack import BlobKind, decode_header, expected_size, header_range
from becalm_engine.ids import blob_id
from becalm_engine.repository.packer import OpenPack, Packer

KEY = Key.from_bytes(bytes(range(64)))
PACK_BYTES = 1000
blobs = st.lists(st.binary(min_size=32, max_size=400), max_size=30)


def filled(packer: Packer, sealed_blobs: list[bytes]) -> list[OpenPack]:
    """Put sealed blobs through a packer; a blob's id is the hash of its sealed bytes here."""
    complete: list[OpenPack] = []
    for sealed in sealed_blobs:
        pack, place = packer.reserve(blob_id(sealed), len(sealed), 7)
        place[:] = sealed
        if packer.filled(pack):
            complete.append(pack)
    return [*complete, *packer.flush()]


def packed(
    sealed_blobs: list[bytes], choices: list[int] | None = None, pack_bytes: int = PACK_BYTES
) -> list[OpenPack]:
    left = list(choices or [])
    choose = lambda count: left.pop() % count if left else 0  # noqa: E731
    return filled(Packer(BlobKind.DATA, pack_bytes, choose), sealed_blobs)


@given(blobs, st.lists(st.integers(0, 9), max_size=30))
def test_every_blob_lands_exactly_once(sealed_blobs: list[bytes], choices: list[int]) -> None:
    packs = packed(sealed_blobs, choices)

    landed = [bytes(pack.content(blob)) for pack in packs for blob in pack.blobs]
    assert sorted(landed) == sorted(sealed_blobs)
    assert all(pack.blobs for pack in packs)


@given(blobs, st.lists(st.integers(0, 9), max_size=30))
def test_a_header_says_what_lies_where(sealed_blobs: list[bytes], choices: list[int]) -> None:
    for pack in packed(sealed_blobs, choices):
        data = bytes(pack.finish(Envelope(KEY)))

        at = header_range(pack_bytes=len(data), tail=data[-4:])
        listed = decode_header(unseal(KEY, data[at.start : at.stop]))
        assert listed == pack.blobs
        assert len(data) == expected_size(listed)
        for blob in listed:
            assert blob_id(data[blob.offset : blob.offset + blob.stored_bytes]) == blob.id


@given(blobs, st.lists(st.integers(0, 9), max_size=30))
def test_packs_are_given_away_when_they_are_full(sealed_blobs: list[bytes], choices: list[int]) -> None:
    packs = packed(sealed_blobs, choices)

    assert all(pack.size_bytes < PACK_BYTES + 400 or pack is packs[-1] for pack in packs)
    assert all(pack.size_bytes <= 1.5 * PACK_BYTES for pack in packs)
    assert sum(pack.size_bytes < PACK_BYTES / 2 for pack in packs) <= 1


def test_packs_that_fill_side_by_side_are_not_full_together() -> None:
    turns = itertools.cycle((0, 1))
    packer = Packer(BlobKind.DATA, PACK_BYTES, lambda _: next(turns))
    full_at = []
    for number in range(500):
        sealed = number.to_bytes(32)
        pack, place = packer.reserve(blob_id(sealed), len(sealed), 7)
        place[:] = sealed
        if packer.filled(pack):
            full_at.append(number * 32)

    assert len(full_at) > 10
    assert min(later - earlier for earlier, later in pairwise(full_at)) >= PACK_BYTES / 2


def test_a_blob_larger_than_a_pack_has_one_of_its_own() -> None:
    packs = packed([bytes(5000)])

    assert [len(pack.blobs) for pack in packs] == [1]


def test_a_blob_larger_than_any_chunk_fits_too() -> None:
    tree_of_a_huge_directory = bytes(20 * 1024 * 1024)

    packs = packed([b"small", tree_of_a_huge_directory])

    assert [len(pack.blobs) for pack in packs] == [1, 1]
    assert packs[0].content(packs[0].blobs[0]) == tree_of_a_huge_directory
    assert len(packs[0].finish(Envelope(KEY))) == expected_size(packs[0].blobs)


def test_a_pack_holds_at_most_twenty_thousand_blobs() -> None:
    packer = Packer(BlobKind.DATA, 2**20, choose=lambda _: 0)

    packs = filled(packer, [number.to_bytes(4, "big") for number in range(20_001)])

    assert [len(pack.blobs) for pack in packs] == [20_000, 1]
    assert len(packs[0].finish(Envelope(KEY))) == expected_size(packs[0].blobs)


def test_a_full_pack_is_complete_once_all_its_places_are_filled() -> None:
    packer = Packer(BlobKind.DATA, PACK_BYTES, choose=lambda _: 0)
    first, _ = packer.reserve(blob_id(b"1"), 600, 0)
    second, _ = packer.reserve(blob_id(b"2"), 600, 0)
    assert first is second

    assert not packer.filled(first)
    assert packer.filled(second)
    assert packer.reserve(blob_id(b"3"), 600, 0)[0] is not first


def test_a_buffer_serves_the_next_pack() -> None:
    packer = Packer(BlobKind.DATA, PACK_BYTES, choose=lambda _: 0)
    (first,) = filled(packer, [bytes(PACK_BYTES)])
    packer.give_back(first)

    pack, _ = packer.reserve(blob_id(b"next"), 100, 0)

    assert pack is not first
    assert pack.buffer is first.buffer
    assert [blob.offset for blob in pack.blobs] == [0]


@pytest.mark.parametrize("kind", BlobKind)
def test_the_kind_of_a_packer_is_that_of_its_blobs(kind: BlobKind) -> None:
    (pack,) = filled(Packer(kind, PACK_BYTES), [bytes(50)])

    assert pack.blobs[0].kind is kind


def test_chance_alone_decides_which_open_pack_takes_a_blob() -> None:
    apart = packed([bytes([n]) * 900 for n in range(2)], choices=[1, 0])
    together = packed([bytes([n]) * 900 for n in range(2)], choices=[0, 0])

    assert [len(pack.blobs) for pack in apart] == [1, 1]
    assert [len(pack.blobs) for pack in together] == [2]


def test_flushing_nothing_gives_nothing() -> None:
    assert packed([]) == []
