import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format.crypto import Key, seal, unseal
from becalm_engine.format.pack import (
    LENGTH_BYTES,
    BlobKind,
    PackedBlob,
    decode_header,
    encode_header,
    encode_length,
    expected_size,
    header_range,
)
from becalm_engine.ids import BlobID, blob_id, stored_id
from tests.engine import strategies
from tests.engine.format import hostile

KEY = Key(bytes(range(0x20)), bytes(range(0x20, 0x30)), bytes(range(0x30, 0x40)))
TREE = b'{"nodes":[]}\n'
HEADER = encode_header(
    [
        PackedBlob(BlobID(bytes(32)), BlobKind.DATA, 0, 40),
        PackedBlob(BlobID(bytes(32)), BlobKind.TREE, 40, 50, 90),
    ]
)


def known_pack() -> bytes:
    sealed = seal(KEY, TREE, iv=bytes(range(0x40, 0x50)))
    blob = PackedBlob(blob_id(TREE), BlobKind.TREE, 0, len(sealed))
    header = seal(KEY, encode_header([blob]), iv=bytes(range(0x50, 0x60)))
    return sealed + header + encode_length(len(header))


def test_the_known_pack_comes_out() -> None:
    pack = known_pack()

    assert len(pack) == 118
    assert int.from_bytes(pack[-4:], "little") == 69
    assert stored_id(pack).hex() == "785aa2eb9f03141db32ba965b68ce99d4d2d58c38ef8674bcd69a0d1918265c5"


def test_the_known_pack_says_what_it_holds() -> None:
    pack = known_pack()

    at = header_range(pack_bytes=len(pack), tail=pack[-LENGTH_BYTES:])
    blobs = decode_header(unseal(KEY, pack[at.start : at.stop]))

    assert blobs == [PackedBlob(blob_id(TREE), BlobKind.TREE, 0, 45)]
    assert unseal(KEY, pack[:45]) == TREE
    assert expected_size(blobs) == len(pack)


@given(strategies.packed())
def test_a_header_reads_back_as_it_was(blobs: list[PackedBlob]) -> None:
    assert decode_header(encode_header(blobs)) == blobs


@given(st.lists(strategies.packed(), max_size=3).map(lambda some: [blob for blobs in some for blob in blobs]))
def test_a_header_of_compressed_blobs_alone_is_read_as_any_other(blobs: list[PackedBlob]) -> None:
    compressed, offset = [], 0
    for blob in blobs:
        compressed.append(blob._replace(offset=offset, plain_bytes=blob.plain_bytes or 1))
        offset += blob.stored_bytes

    assert decode_header(encode_header(compressed)) == compressed


def test_entries_are_laid_out_as_restic_does() -> None:
    raw = BlobID(b"\xaa" * 32)

    plain = encode_header([PackedBlob(raw, BlobKind.TREE, 0, 0x102)])
    compressed = encode_header([PackedBlob(raw, BlobKind.DATA, 0, 0x102, 0x304)])

    assert plain == b"\x01\x02\x01\x00\x00" + raw
    assert compressed == b"\x02\x02\x01\x00\x00\x04\x03\x00\x00" + raw


@given(strategies.packed())
def test_a_blob_s_content_is_as_long_as_stated_or_as_stored(blobs: list[PackedBlob]) -> None:
    for blob in blobs:
        assert blob.content_bytes == (blob.plain_bytes or blob.stored_bytes - 32)


@pytest.mark.parametrize(
    "header",
    [
        b"\x04" + HEADER[1:],
        b"\xff",
        HEADER[:-1],
        HEADER[:1],
        b"\x00\x1f" + bytes(35),
        b"\x02\x1f" + bytes(39),
    ],
)
def test_a_broken_entry_is_damage(header: bytes) -> None:
    with pytest.raises(DamagedError):
        decode_header(header)


@given(hostile.damage(HEADER))
def test_a_damaged_header_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(decode_header, data)


@given(st.integers(0, 2**33), st.binary(max_size=5))
def test_a_header_lies_inside_its_pack_or_is_damage(pack_bytes: int, tail: bytes) -> None:
    try:
        at = header_range(pack_bytes=pack_bytes, tail=tail)
    except DamagedError:
        return

    assert at.start >= 0
    assert at.stop == pack_bytes - LENGTH_BYTES
    assert len(at) == int.from_bytes(tail, "little")


@pytest.mark.parametrize("stated", [0, 32, 97, 2**32 - 1])
def test_a_header_that_cannot_be_there_is_damage(stated: int) -> None:
    with pytest.raises(DamagedError):
        header_range(pack_bytes=100, tail=stated.to_bytes(4, "little"))
