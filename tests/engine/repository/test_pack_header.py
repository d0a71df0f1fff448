import pytest

from becalm_engine.errors import DamagedError
from becalm_engine.format.crypto import IV_BYTES, OVERHEAD_BYTES
from becalm_engine.format.pack import BlobKind, PackedBlob, encode_header, encode_length
from becalm_engine.ids import BlobID, PackID
from becalm_engine.repository import pack_header
from becalm_engine.repository.pack_header import read_header
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind
from tests.engine.repository.repositories import made

PACK = PackID(b"\1" * 32)


def blobs_of(count: int) -> list[PackedBlob]:
    """Blobs that have no content at all: what counts here is how many there are."""
    return [
        PackedBlob(BlobID(number.to_bytes(32)), BlobKind.DATA, number * OVERHEAD_BYTES, OVERHEAD_BYTES, 7)
        for number in range(count)
    ]


def store(repository: Repository, blobs: list[PackedBlob], content_bytes: int) -> int:
    """Store a pack with a header of these blobs; return its length."""
    header = repository.envelope.seal(encode_header(blobs), iv=bytes(range(1, IV_BYTES + 1)))
    pack = bytes(content_bytes) + header + encode_length(len(header))
    repository.storage.save(FileKind.PACK, PACK.hex(), pack)
    return len(pack)


@pytest.mark.parametrize("count", [1, 20, 5000])
def test_a_header_is_found_at_the_end_however_long_it_is(count: int) -> None:
    repository, blobs = made(), blobs_of(count)

    size = store(repository, blobs, count * OVERHEAD_BYTES)

    assert read_header(repository, PACK, size_bytes=size) == blobs


def test_a_header_that_does_not_begin_in_what_was_read_first_is_read_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pack_header, "_FIRST_READ_BYTES", 10)
    repository, blobs = made(), blobs_of(3)

    size = store(repository, blobs, 3 * OVERHEAD_BYTES)

    assert read_header(repository, PACK, size_bytes=size) == blobs


@pytest.mark.parametrize("content_bytes", [0, 2 * OVERHEAD_BYTES, 3 * OVERHEAD_BYTES + 1])
def test_a_header_that_does_not_fill_the_pack_is_damage(content_bytes: int) -> None:
    repository = made()

    size = store(repository, blobs_of(3), content_bytes)

    with pytest.raises(DamagedError, match="its header says"):
        read_header(repository, PACK, size_bytes=size)


def test_a_header_that_was_changed_is_damage_of_that_pack() -> None:
    repository = made()
    size = store(repository, blobs_of(1), OVERHEAD_BYTES)
    pack = bytearray(repository.storage.load(FileKind.PACK, PACK.hex()))
    pack[-10] ^= 1
    repository.storage.save(FileKind.PACK, PACK.hex(), bytes(pack))

    with pytest.raises(DamagedError, match=PACK.hex()):
        read_header(repository, PACK, size_bytes=size)


@pytest.mark.parametrize("size", [0, 4])
def test_a_pack_without_room_for_a_header_is_damage(size: int) -> None:
    with pytest.raises(DamagedError, match=f"only {size} bytes"):
        read_header(made(), PACK, size_bytes=size)
