import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format import config, index_file, key_file, lock_file, snapshot
from becalm_engine.format.config import Config
from becalm_engine.format.documents import number_of, parse_object, text_of, texts_of
from becalm_engine.format.lock_file import Lock
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"5", b"{", b'{"a":\xff}', b"\x02{}", b'{"a":1}x'])
def test_what_is_no_object_is_damage(text: bytes) -> None:
    with pytest.raises(DamagedError, match="thing"):
        parse_object(text, "thing")


fragments = st.sampled_from(
    [
        *'{}[]:, \n\t"\\\0\x7f',
        '"a"', '"b"', "{}", "[]", "null", "true", "0", "-0", "1.0", "01", "1e400", "NaN", "-Infinity", "+1", ".5", "1.",
        str(2**63), str(2**64 - 1), str(-(2**63)), '"\\ud800"', '"\\ud83d\\ude00"', '"\\u00e9"', '"\u00e9"', '"\\x"',
        '"a\nb"', '{"a":1,"a":2}', "\ufeff", "\ud800", "[" * 1100, "]" * 1100,
    ]
)  # fmt: skip
documents = st.lists(fragments, max_size=6).map(
    lambda parts: ('{"k":' + "".join(parts) + "}").encode("utf-8", "surrogatepass")
)


@given(documents)
@example(b'{"k":"\xff"}')
@example(b'{"\xff":1}')
@example(b"\xff\xfe{\0}\0")
@settings(max_examples=500)
def test_read_quickly_is_read_exactly(text: bytes) -> None:
    try:
        parse_object(text, "thing", exact=True)
    except DamagedError:
        with pytest.raises(DamagedError):
            parse_object(text, "thing")
    else:
        expected = json.loads(text, parse_int=_of_64_bits)
        assert repr(parse_object(text, "thing")) == repr(expected)  # NaN equals nothing, and 1 equals 1.0


def _of_64_bits(digits: str) -> int | float:
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(digits)


def test_larger_numbers_are_exact_where_that_is_asked_for() -> None:
    text = b'{"k":%d}' % 2**70

    assert parse_object(text, "thing", exact=True) == {"k": 2**70}


def test_an_absent_field_takes_its_default_or_is_damage() -> None:
    assert text_of({}, "name", "thing", "x") == "x"
    assert number_of({}, "size", "thing", 4) == 4
    assert texts_of({"tags": None}, "tags", "thing") == ()
    with pytest.raises(DamagedError, match="thing: name"):
        text_of({}, "name", "thing")
    with pytest.raises(DamagedError, match="thing: size"):
        number_of({}, "size", "thing")


@pytest.mark.parametrize("value", [True, 1.0, "1", -1, None, [1]])
def test_only_whole_numbers_are_numbers(value: object) -> None:
    with pytest.raises(DamagedError):
        number_of({"size": value}, "size", "thing")


DOCUMENTS: dict[str, bytes] = {
    "config": config.encode(Config(2, "00" * 32, 0x3DA3358B4DC173)),
    "index": index_file.encode([]),
    "lock": lock_file.encode(Lock(0, exclusive=False, hostname="host", username="ann", pid=1, uid=2, gid=3)),
    "snapshot": snapshot.encode(Snapshot(0, BlobID(bytes(32)), ("/data",), "host", "ann", 1, 2)),
    "tree": b'{"nodes":[]}\n',
}
READERS: dict[str, Callable[[bytes], Any]] = {
    "config": config.decode,
    "index": lambda text: list(index_file.decode(text)),
    "key": key_file.decode,
    "lock": lock_file.decode,
    "snapshot": snapshot.decode,
}


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize("folder", READERS)
def test_no_kind_of_document_passes_for_another(kind: str, folder: str) -> None:
    """Whoever may change the store can copy a sealed file into another folder: its name stays right."""
    if kind == folder:
        READERS[folder](DOCUMENTS[kind])
        return
    with pytest.raises(DamagedError):
        READERS[folder](DOCUMENTS[kind])
