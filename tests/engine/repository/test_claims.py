import os

from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import BlobID, blob_id
from becalm_engine.repository.claims import Claims

DATA = BlobKind.DATA
ids = st.binary(max_size=3).map(blob_id)


@given(st.lists(ids, max_size=100))
def test_a_blob_is_claimed_once(blobs: list[BlobID]) -> None:
    claims = Claims(4096)

    granted = [blob for blob in blobs if claims.claim(DATA, blob)]

    assert granted == list(dict.fromkeys(blobs))


def test_ids_that_meet_in_one_slot_are_told_apart() -> None:
    claims = Claims(16)
    same_slot = [BlobID(b"\1" * 8 + bytes([number]) * 24) for number in range(60)]

    assert all(claims.claim(DATA, blob) for blob in same_slot)
    assert not any(claims.claim(DATA, blob) for blob in same_slot)
    assert not claims.missed


def test_an_id_that_ends_with_zeros_stays_whole() -> None:
    claims = Claims(16)
    same_slot = [BlobID(b"\1" * 8 + bytes([number]) * 8 + bytes(16)) for number in range(1, 20)]

    assert all(claims.claim(DATA, blob) for blob in same_slot)
    assert not any(claims.claim(DATA, blob) for blob in same_slot)


@given(st.lists(ids, max_size=400), st.integers(1, 32))
def test_a_full_table_lets_everybody_store_rather_than_nobody(blobs: list[BlobID], slots: int) -> None:
    claims = Claims(slots)

    granted = [blob for blob in blobs if claims.claim(DATA, blob)]

    assert set(granted) == set(blobs)
    twice = {blob for blob in granted if granted.count(blob) > 1}
    assert twice <= claims.missed


@given(st.sets(ids), st.lists(ids))
def test_what_was_missed_and_is_stored_now_is_taken_once(missed: set[BlobID], stored: list[BlobID]) -> None:
    claims = Claims(1)
    claims.missed |= missed

    assert claims.take_missed(stored) == missed & set(stored)
    assert claims.take_missed(stored) == set()
    assert claims.missed == missed - set(stored)


def test_what_was_claimed_before_a_table_was_full_stays_claimed() -> None:
    claims = Claims(16)
    for number in range(200):
        claims.claim(DATA, blob_id(bytes([number])))

    assert claims.missed
    assert not claims.claim(DATA, blob_id(bytes([0])))
    assert all(claims.claim(DATA, blob) for blob in claims.missed)


def test_claims_of_another_process_are_seen() -> None:
    claims = Claims(1024)
    child = os.fork()
    if not child:
        os._exit(0 if claims.claim(DATA, blob_id(b"theirs")) else 1)
    assert os.waitpid(child, 0)[1] == 0

    assert not claims.claim(DATA, blob_id(b"theirs"))
    assert claims.claim(DATA, blob_id(b"ours"))


def test_a_tree_is_not_taken_for_a_file_of_the_same_content() -> None:
    claims = Claims(1024)

    assert claims.claim(DATA, blob_id(b"both"))
    assert claims.claim(BlobKind.TREE, blob_id(b"both"))
    assert not claims.claim(BlobKind.TREE, blob_id(b"both"))
