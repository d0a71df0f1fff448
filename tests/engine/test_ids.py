import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.ids import blob_id, is_name, parse_id, stored_id
from tests.engine import strategies


def test_ids_are_sha_256() -> None:
    expected = hashlib.sha256(b"content").digest()

    assert blob_id(b"content") == expected
    assert stored_id(memoryview(b"content")) == expected


@given(strategies.ids)
def test_an_id_written_in_hex_reads_back(raw: bytes) -> None:
    assert parse_id(raw.hex()) == raw
    assert parse_id(raw.hex().upper()) == raw


@pytest.mark.parametrize(
    "text",
    [None, 7, [], "", "ab", "z" * 64, "a" * 63, "a" * 65, "aa " * 21 + "a", "ab" + " " * 62, "\u0661" * 64],
)
def test_what_is_no_id_is_damage(text: object) -> None:
    with pytest.raises(DamagedError):
        parse_id(text)


@given(st.text() | st.text("0123456789abcdef", min_size=63, max_size=65))
def test_only_64_lower_case_hex_digits_name_a_file(text: str) -> None:
    named = is_name(text)

    assert named == (len(text) == 64 and set(text) <= set("0123456789abcdef"))
