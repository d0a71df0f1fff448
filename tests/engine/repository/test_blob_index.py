import random
import tracemalloc
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.format.pack import BlobKind, PackedBlob, expected_size
from becalm_engine.ids import BlobID, PackID
from becalm_engine.repository.blob_index import BlobIndex, Location

# Few different bytes: many ids share a bucket and long prefixes, and turn up across two records.
near_ids = st.text("\x00\x01", min_size=1, max_size=4).map(lambda text: BlobID((text.encode() * 32)[:32]))
packed = st.builds(
    PackedBlob,
    near_ids,
    st.sampled_from(BlobKind),
    st.sampled_from((0, 1, 2**32 - 1)),
    st.sampled_from((32, 0x01010101, 2**31 - 1)),
    st.sampled_from((0, 1, 0x01010101, 2**32 - 1)),
)
pack_ids = st.integers(0, 5).map(lambda number: PackID(bytes([number] * 32)))
additions = st.lists(st.tuples(pack_ids, st.lists(packed, max_size=6)), max_size=6)


Additions = list[tuple[PackID, list[PackedBlob]]]


def built(added: Additions) -> tuple[BlobIndex, dict[PackID, list[PackedBlob]]]:
    """Return an index, and a dictionary that was told the same."""
    index = BlobIndex()
    for pack, blobs in added:
        index.add(pack, blobs)
    model = dict[PackID, list[PackedBlob]]()
    for pack, blobs in news(added):
        model.setdefault(pack, []).extend(blobs)
    return index, model


def news(added: Additions) -> Additions:
    """Return what each addition says that those before it have not said of the same pack."""
    found, said = [], dict[PackID, set[PackedBlob]]()
    for pack, blobs in added:
        known = said.get(pack)
        new = blobs if known is None else [one for one in dict.fromkeys(blobs) if one not in known]
        said.setdefault(pack, set()).update(blobs)
        found.append((pack, new))
    return found


def places(added: Additions, blob: BlobID) -> list[Location]:
    return [Location(pack, b) for pack, blobs in news(added) for b in blobs if b.id == blob]


@given(additions, near_ids)
def test_a_blob_is_found_wherever_it_lies_and_nowhere_else(added: Additions, blob: BlobID) -> None:
    index, _ = built(added)

    expected = places(added, blob)

    assert index.find_all(blob) == expected
    assert index.find(blob) == (expected[0] if expected else None)
    assert (blob in index) == bool(expected)


@given(additions, st.sampled_from(BlobKind), near_ids)
def test_how_long_a_blob_of_a_kind_is(added: Additions, kind: BlobKind, blob: BlobID) -> None:
    index, _ = built(added)

    lengths = [place.blob.content_bytes for place in places(added, blob) if place.blob.kind is kind]

    assert index.content_bytes(kind, blob) == (lengths[0] if lengths else None)
    assert index.holds(kind, blob) == bool(lengths)


@given(additions)
def test_a_spot_says_in_numbers_what_is_found(added: Additions) -> None:
    index, _ = built(added)

    for pack, blob in index:
        spot, found = index.spot_of(blob.id), index.find(blob.id)
        assert spot is not None
        assert found is not None
        assert (index.pack_at(spot[0]), *spot[1:]) == (found.pack, *found.blob[2:])
        assert index.pack_at(index.number_of(pack)) == pack
    assert index.spot_of(BlobID(bytes([77] * 32))) is None


@given(additions)
def test_everything_that_was_added_is_in_it(added: Additions) -> None:
    index, model = built(added)

    everything = [Location(pack, blob) for pack, blobs in model.items() for blob in blobs]

    assert sorted(index, key=repr) == sorted(everything, key=repr)
    assert len(index) == len(everything)
    assert index.packs() == list(model)


@given(additions)
def test_packs_are_listed_whole_and_by_offset(added: Additions) -> None:
    index, model = built(added)

    by_pack = index.by_pack()

    assert by_pack.keys() == model.keys()
    for pack, blobs in by_pack.items():
        assert sorted(blobs, key=repr) == sorted(model[pack], key=repr)
        assert [blob.offset for blob in blobs] == sorted(blob.offset for blob in blobs)


@given(additions)
def test_facts_of_a_pack_are_those_of_its_blobs(added: Additions) -> None:
    index, model = built(added)

    for pack, blobs in model.items():
        ordered = sorted(blobs, key=lambda blob: blob.offset)
        ends = [0, *(blob.offset + blob.stored_bytes for blob in ordered)]
        facts = index.facts_of(pack)
        assert facts.end == max((blob.offset + blob.stored_bytes for blob in blobs), default=0)
        assert facts.blob_count == len(blobs)
        assert facts.size_bytes == expected_size(blobs)
        assert facts.is_contiguous == all(
            blob.offset == end for blob, end in zip(ordered, ends, strict=False)
        )
        assert facts.has_trees == any(blob.kind is BlobKind.TREE for blob in blobs)


@given(additions, pack_ids, st.lists(packed, max_size=6, unique_by=lambda blob: blob.offset))
def test_a_pack_is_known_by_all_its_blobs(added: Additions, pack: PackID, listed: list[PackedBlob]) -> None:
    index, model = built([*added, (PackID(bytes([9] * 32)), listed)])

    assert index.lists(PackID(bytes([9] * 32)), listed[::-1])
    assert index.lists(pack, listed) == (pack in model and sorted(model[pack]) == sorted(listed))
    for at in range(len(listed)):
        assert not index.lists(PackID(bytes([9] * 32)), listed[:at] + listed[at + 1 :])


def test_a_record_that_lies_across_two_others_is_not_taken_for_one() -> None:
    within = PackedBlob(BlobID(b"\x05" * 32), BlobKind.DATA, 0x05050505, 0x05050505, 0x05050505)
    index = BlobIndex()

    index.add(PackID(bytes(32)), [within, within])
    index._buckets[b"\x05\x05"][:] = b"\x06" * 8 + b"\x05" * 32 + bytes(4) + b"\x05" * 12 + b"\x06" * 40

    assert not index.lists(PackID(bytes(32)), [within, within._replace(offset=0)])


def test_what_is_added_later_is_not_in_a_view() -> None:
    index, blob = BlobIndex(), PackedBlob(BlobID(bytes(32)), BlobKind.DATA, 0, 100, 80)
    index.add(PackID(bytes(32)), [blob])
    view = index.by_pack()

    index.add(PackID(b"\x01" * 32), [blob, blob])

    assert dict(view) == {PackID(bytes(32)): [blob]}
    assert PackID(b"\x01" * 32) not in view


def test_an_id_that_lies_across_two_records_is_not_found() -> None:
    first = BlobID(b"\x07" * 32)
    # the end of one record and the beginning of the next spell `across`
    across = BlobID(b"\x07" * 2 + b"\x00" * 16 + b"\x07" * 14)
    index = BlobIndex()

    index.add(
        PackID(bytes(32)),
        [PackedBlob(first, BlobKind.DATA, 0, 0, 0), PackedBlob(first, BlobKind.DATA, 0, 0, 0)],
    )

    assert index._buckets[b"\x07\x07"].find(across) > 0
    assert across not in index
    assert index.find_all(across) == []
    assert index.find(BlobID(b"\x07" * 31 + b"\x00")) is None


def test_an_empty_index_knows_nothing() -> None:
    index = BlobIndex()

    assert len(index) == 0
    assert BlobID(bytes(32)) not in index
    assert index.find_all(BlobID(bytes(32))) == []
    assert list(index) == []


def test_a_view_by_pack_holds_no_object_for_each_blob() -> None:
    index = BlobIndex()
    chance = random.Random(1)
    for number in range(20):
        blobs = [
            PackedBlob(BlobID(chance.randbytes(32)), BlobKind.DATA, at * 100, 100, 80) for at in range(1000)
        ]
        index.add(PackID(bytes([number] * 32)), blobs)
    del blobs
    tracemalloc.start()

    by_pack = index.by_pack()
    offsets = sum(len(by_pack[pack]) for pack in by_pack)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (offsets, len(by_pack)) == (20_000, 20)
    assert most < 20_000 * 8 + 1000 * 600, "8 bytes a blob, and one pack of objects"


def test_a_pack_that_is_not_there_is_not_in_the_view() -> None:
    index = BlobIndex()

    assert PackID(bytes(32)) not in index.by_pack()


@given(st.lists(packed, max_size=8, unique_by=lambda blob: blob.id), st.data())
def test_a_pack_that_several_listings_have_in_parts_is_as_one_that_one_listing_has_whole(
    blobs: list[PackedBlob], data: st.DataObject
) -> None:
    pack, ends = PackID(bytes(32)), [0, *accumulate(blob.stored_bytes for blob in blobs)]
    whole = [blob._replace(offset=end) for blob, end in zip(blobs, ends, strict=False) if end < 2**32]
    parts = data.draw(st.lists(st.lists(st.sampled_from(whole), unique=True), max_size=4)) if whole else []

    index, _ = built([*((pack, part) for part in parts), (pack, whole)])

    assert index.facts_of(pack) == built([(pack, whole)])[0].facts_of(pack)
    assert index.by_pack()[pack] == whole
    assert index.lists(pack, whole)
