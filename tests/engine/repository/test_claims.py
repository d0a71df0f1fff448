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
    same_slot = [BlobID(b"\1" * 8 + bytes([number]) * 24) for number in range(10)]

    assert all(claims.claim(DATA, blob) for blob in same_slot)
    assert not any(claims.claim(DATA, blob) for blob in same_slot)


def test_a_full_table_lets_everybody_store_rather_than_nobody() -> None:
    claims = Claims(16)
    for number in range(16):
        claims.claim(DATA, blob_id(bytes([number])))

    assert claims.claim(DATA, blob_id(b"one more"))
    assert claims.claim(DATA, blob_id(b"one more"))


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
