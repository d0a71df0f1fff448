from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import BlobID
from becalm_engine.policy.blob_counts import BlobCounts

# few different bytes, so that ids share buckets and appear across the records of others
narrow_ids = st.lists(st.sampled_from(b"\x00\x01"), min_size=32, max_size=32).map(lambda b: BlobID(bytes(b)))
keys = st.tuples(st.sampled_from(BlobKind), narrow_ids)


@given(st.lists(st.tuples(keys, st.none() | st.integers(0, 255)), max_size=40), st.lists(keys, max_size=5))
def test_numbers_are_kept_as_in_a_dictionary(
    steps: list[tuple[tuple[BlobKind, BlobID], int | None]], others: list[tuple[BlobKind, BlobID]]
) -> None:
    counts, expected = BlobCounts(), dict[tuple[BlobKind, BlobID], int]()

    for (kind, blob), number in steps:
        if number is None or (kind, blob) not in expected:
            assert counts.add(kind, blob) is ((kind, blob) not in expected)
            expected.setdefault((kind, blob), 0)
        else:
            counts.put(kind, blob, number)
            expected[kind, blob] = number

    assert {(kind, blob): number for kind, blob, number in counts} == expected
    assert len(counts) == len(expected)
    for kind in BlobKind:
        assert sorted(counts.of_kind(kind)) == sorted(blob for of, blob in expected if of is kind)
    for key in [*others, *expected]:
        assert counts.get(*key) == expected.get(key)


def test_a_file_and_a_directory_of_one_id_are_two_blobs() -> None:
    counts, blob = BlobCounts(), BlobID(bytes(32))

    counts.add(BlobKind.DATA, blob)

    assert counts.get(BlobKind.TREE, blob) is None
    assert counts.add(BlobKind.TREE, blob)


def test_bytes_that_lie_across_two_records_are_no_record() -> None:
    counts = BlobCounts()
    first = BlobID(b"\0" * 32)
    counts.add(BlobKind.TREE, first)
    counts.put(BlobKind.TREE, first, BlobKind.TREE.value)
    across = BlobID(first[1:] + bytes((BlobKind.TREE.value,)))  # then the number, which reads as a kind

    assert counts.get(BlobKind.TREE, across) is None
    assert counts.add(BlobKind.TREE, across)
    assert counts.get(BlobKind.TREE, across) == 0
