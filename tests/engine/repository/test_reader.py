from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError, ObjectMissingError, StorageError, StorageUnavailableError
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.tree import encode_tree
from becalm_engine.ids import BlobID, PackID, blob_id
from becalm_engine.repository import reader
from becalm_engine.repository.reader import load_blob, load_range, load_tree, open_blob, ranges_of
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.repository.faulty import FaultyStorage
from tests.engine.repository.repositories import contents, made

MIB = 1024 * 1024
PACK = PackID(bytes(32))


def written(blobs: list[bytes], repository: Repository | None = None) -> Repository:
    target = repository or made()
    with Writer(target) as writer:
        for content in blobs:
            writer.save(BlobKind.DATA, content)
    return target


def stored_twice(content: bytes) -> Repository:
    """Store a blob in two packs, as two runs at the same time do."""
    repository = written([content])
    (first,) = repository.index.find_all(blob_id(content))
    other = Repository(repository.storage, repository.key, repository.config)
    written([content], other)
    (second,) = other.index.find_all(blob_id(content))
    repository.index.add(second.pack, [second.blob])
    assert first.pack != second.pack
    return repository


def spoil(repository: Repository, pack: PackID) -> None:
    data = bytearray(repository.storage.load(FileKind.PACK, pack.hex()))
    data[20] ^= 1
    repository.storage.save(FileKind.PACK, pack.hex(), bytes(data))


class TestLoading:
    def test_of_a_pack_that_is_cut_short_what_is_left_can_be_read(self) -> None:
        """Trees are read with their neighbours, and the last of those is not there any more."""
        repository, trees = made(), [encode_tree([]), *(b'{"nodes":[]}' + b" " * n for n in range(3))]
        with Writer(repository) as writer:
            for text in trees:
                writer.save(BlobKind.TREE, text)
        [pack] = repository.index.packs()
        data, end = repository.storage.load(FileKind.PACK, pack.hex()), repository.index.facts_of(pack).end
        repository.storage.save(FileKind.PACK, pack.hex(), data[: end - 1])
        last = max(repository.index, key=lambda place: place.blob.offset).blob.id

        for text in trees:
            if blob_id(text) != last:
                assert load_blob(repository, blob_id(text)) == text
        with pytest.raises(StorageError, match="ends before"):
            load_blob(repository, last)

    def test_a_blob_that_no_index_knows_is_damage(self) -> None:
        with pytest.raises(DamagedError, match="in no index"):
            load_blob(made(), blob_id(b"x"))

    def test_a_changed_blob_is_damage(self) -> None:
        repository = written([b"content"])
        spoil(repository, repository.index.packs()[0])

        with pytest.raises(DamagedError, match=repository.index.packs()[0].hex()):
            load_blob(repository, blob_id(b"content"))

    def test_a_whole_copy_stands_in_for_a_changed_one(self) -> None:
        repository = stored_twice(b"content")
        spoil(repository, repository.index.packs()[0])

        assert load_blob(repository, blob_id(b"content")) == b"content"

    def test_a_whole_copy_stands_in_for_a_pack_that_is_gone(self) -> None:
        repository = stored_twice(b"content")
        repository.storage.delete(FileKind.PACK, repository.index.packs()[0].hex())

        assert load_blob(repository, blob_id(b"content")) == b"content"

    def test_a_whole_copy_stands_in_for_a_pack_that_is_cut_short(self) -> None:
        repository = stored_twice(b"content")
        repository.storage.save(FileKind.PACK, repository.index.packs()[0].hex(), b"short")

        assert load_blob(repository, blob_id(b"content")) == b"content"

    def test_the_only_pack_that_is_gone_is_missing(self) -> None:
        repository = written([b"content"])
        repository.storage.delete(FileKind.PACK, repository.index.packs()[0].hex())

        with pytest.raises(ObjectMissingError):
            load_blob(repository, blob_id(b"content"))

    def test_a_storage_that_is_away_is_not_taken_for_damage(self) -> None:
        storage = FaultyStorage()
        repository = written([b"content"], made(storage))
        storage.on_load = lambda *_: StorageUnavailableError("away")

        with pytest.raises(StorageUnavailableError):
            load_blob(repository, blob_id(b"content"))

    def test_a_blob_under_another_s_id_is_damage(self) -> None:
        repository = written([b"content"])
        (location,) = repository.index
        stored = repository.storage.load_range(
            FileKind.PACK, location.pack.hex(), offset=0, length=location.blob.stored_bytes
        )

        with pytest.raises(DamagedError, match="another hash"):
            open_blob(repository, location.blob._replace(id=blob_id(b"other")), stored)

    @pytest.mark.parametrize("plain_bytes", [1, 6, 8, 2**32 - 1])
    def test_a_wrong_plain_length_is_damage(self, plain_bytes: int) -> None:
        repository = written([b"content"])
        (location,) = repository.index
        stored = repository.storage.load_range(
            FileKind.PACK, location.pack.hex(), offset=0, length=location.blob.stored_bytes
        )

        with pytest.raises(DamagedError):
            open_blob(repository, location.blob._replace(plain_bytes=plain_bytes), stored)

    def test_a_tree_is_loaded_as_nodes(self) -> None:
        repository = written([encode_tree([])])

        assert load_tree(repository, blob_id(encode_tree([]))) == []

    def test_a_blob_that_is_no_tree_is_damage(self) -> None:
        repository = written([b"content"])

        with pytest.raises(DamagedError, match="tree"):
            load_tree(repository, blob_id(b"content"))


sizes = st.sampled_from((32, 1000, MIB, 9 * MIB, 31 * MIB, 40 * MIB))
gaps = st.sampled_from((0, 1, MIB, MIB + 1, 5 * MIB))


@st.composite
def scattered(draw: st.DrawFn) -> list[PackedBlob]:
    """Some blobs of a pack, with gaps where others lie, in any order."""
    blobs, offset = [], 0
    for number, (gap, size) in enumerate(draw(st.lists(st.tuples(gaps, sizes), max_size=12))):
        offset += gap
        blobs.append(PackedBlob(BlobID(bytes([number] * 32)), BlobKind.DATA, offset, size))
        offset += size
    return draw(st.permutations(blobs))


@given(scattered())
def test_the_ranges_cover_every_blob_once_and_in_order(blobs: list[PackedBlob]) -> None:
    ranges = ranges_of(PACK, blobs)

    planned = [blob for wanted in ranges for blob in wanted.blobs]
    assert planned == sorted(blobs, key=lambda blob: blob.offset)
    for wanted in ranges:
        first, last = wanted.blobs[0], wanted.blobs[-1]
        assert wanted.offset == first.offset
        assert wanted.offset + wanted.length == last.offset + last.stored_bytes


@given(scattered())
def test_a_range_reads_little_in_vain_and_fits_into_memory(blobs: list[PackedBlob]) -> None:
    for wanted in ranges_of(PACK, blobs):
        assert len(wanted.blobs) == 1 or wanted.length <= reader._MOST_RANGE_BYTES
        ends = [blob.offset + blob.stored_bytes for blob in wanted.blobs]
        for end, after in zip(ends, wanted.blobs[1:], strict=False):
            assert after.offset - end <= reader._MOST_GAP_BYTES


@given(scattered())
def test_ranges_are_apart_only_for_a_reason(blobs: list[PackedBlob]) -> None:
    ranges = ranges_of(PACK, blobs)

    for one, following in pairwise(ranges):
        gap = following.offset - (one.offset + one.length)
        joined = following.blobs[0].offset + following.blobs[0].stored_bytes - one.offset
        assert gap > reader._MOST_GAP_BYTES or joined > reader._MOST_RANGE_BYTES


class TestRanges:
    def test_a_range_gives_its_blobs_with_their_content(self) -> None:
        blobs = contents(5)
        repository = written(blobs)
        ((pack, listed),) = repository.index.by_pack().items()

        (wanted,) = ranges_of(pack, listed[1:4])
        loaded = list(load_range(repository, wanted))

        assert [packed for packed, _ in loaded] == listed[1:4]
        assert all(blob_id(content) == packed.id for packed, content in loaded)

    @pytest.mark.parametrize("harm", ["changed", "gone", "short"])
    def test_what_one_pack_cannot_give_is_sought_in_another(self, harm: str) -> None:
        repository = stored_twice(b"content")
        pack = repository.index.packs()[0]
        (wanted,) = ranges_of(pack, repository.index.by_pack()[pack])
        if harm == "changed":
            spoil(repository, pack)
        elif harm == "gone":
            repository.storage.delete(FileKind.PACK, pack.hex())
        else:
            repository.storage.save(FileKind.PACK, pack.hex(), b"short")

        ((_, content),) = load_range(repository, wanted)

        assert content == b"content"

    def test_what_no_pack_can_give_is_an_error(self) -> None:
        repository = written([b"content"])
        ((pack, listed),) = repository.index.by_pack().items()
        spoil(repository, pack)

        with pytest.raises(DamagedError):
            list(load_range(repository, ranges_of(pack, listed)[0]))

    def test_a_storage_that_is_away_is_not_taken_for_damage(self) -> None:
        storage = FaultyStorage()
        repository = written([b"content"], made(storage))
        ((pack, listed),) = repository.index.by_pack().items()
        storage.on_load = lambda *_: StorageUnavailableError("away")

        with pytest.raises(StorageUnavailableError):
            list(load_range(repository, ranges_of(pack, listed)[0]))
