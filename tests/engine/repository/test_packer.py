import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.format.crypto import Key, unseal
from becalm_engine.format.pack import BlobKind, decode_header, expected_size, header_range
from becalm_engine.ids import BlobID, blob_id
from becalm_engine.repository.packer import OpenPack, Packer

KEY = Key.from_bytes(bytes(range(64)))
PACK_BYTES = 1000
blobs = st.lists(st.binary(min_size=32, max_size=400), max_size=30)


def packed(
    sealed_blobs: list[bytes], choices: list[int] | None = None, pack_bytes: int = PACK_BYTES
) -> list[OpenPack]:
    """Put sealed blobs through a packer; a blob's id is the hash of its sealed bytes here."""
    full: list[OpenPack] = []
    left = list(choices or [])
    packer = Packer(
        BlobKind.DATA, pack_bytes, full.append, choose=lambda count: left.pop() % count if left else 0
    )
    for sealed in sealed_blobs:
        packer.add(blob_id(sealed), sealed, 7)
    packer.flush()
    return full


@given(blobs, st.lists(st.integers(0, 9), max_size=30))
def test_every_blob_lands_exactly_once(sealed_blobs: list[bytes], choices: list[int]) -> None:
    packs = packed(sealed_blobs, choices)

    landed = [part for pack in packs for part in pack.parts]
    assert sorted(landed) == sorted(sealed_blobs)
    assert all(pack.blobs for pack in packs)


@given(blobs, st.lists(st.integers(0, 9), max_size=30))
def test_a_header_says_what_lies_where(sealed_blobs: list[bytes], choices: list[int]) -> None:
    for pack in packed(sealed_blobs, choices):
        data = pack.finish(KEY)

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


def test_a_blob_larger_than_a_pack_has_one_of_its_own() -> None:
    packs = packed([bytes(5000)])

    assert [len(pack.blobs) for pack in packs] == [1]


def test_a_pack_holds_at_most_twenty_thousand_blobs() -> None:
    full: list[OpenPack] = []
    packer = Packer(BlobKind.DATA, 2**30, full.append, choose=lambda _: 0)

    for number in range(20_001):
        packer.add(BlobID(number.to_bytes(32, "big")), b"", 0)

    assert [len(pack.blobs) for pack in full] == [20_000]


@pytest.mark.parametrize("kind", BlobKind)
def test_the_kind_of_a_packer_is_that_of_its_blobs(kind: BlobKind) -> None:
    full: list[OpenPack] = []
    packer = Packer(kind, PACK_BYTES, full.append)

    packer.add(blob_id(b"x"), bytes(50), 0)
    packer.flush()

    assert full[0].blobs[0].kind is kind


def test_chance_alone_decides_which_open_pack_takes_a_blob() -> None:
    apart = packed([bytes([n]) * 900 for n in range(2)], choices=[1, 0])
    together = packed([bytes([n]) * 900 for n in range(2)], choices=[0, 0])

    assert [len(pack.blobs) for pack in apart] == [1, 1]
    assert [len(pack.blobs) for pack in together] == [2]


def test_flushing_nothing_gives_nothing() -> None:
    assert packed([]) == []
