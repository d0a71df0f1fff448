from collections.abc import Callable
from typing import Any

import pytest

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
