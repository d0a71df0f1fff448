"""Whatever stands in a file: it is read, or refused by an error of ours. Nothing else comes out."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.contract import CommitPlan
from becalm_engine.errors import DamagedError, EngineError
from becalm_engine.format import (
    config,
    gotime,
    index_file,
    key_file,
    lock_file,
    names,
    pack,
    snapshot,
    tree,
    tree_text,
)
from becalm_engine.format.config import Config
from becalm_engine.format.crypto import Key
from becalm_engine.format.documents import number_of, parse_object, text_of, texts_of
from becalm_engine.format.key_file import ScryptCost
from becalm_engine.format.lock_file import Lock
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import FILE, SYMLINK, encode_node, encode_tree
from becalm_engine.ids import BlobID, FileID, PackID
from tests.engine.commands.planted import folder, node
from tests.engine.format.hostile import damage
from tests.engine.fuzz.mutants import as_bytes, mutated, texts_like

ID = BlobID(bytes(range(32)))
NODES = [
    folder(b"a", ID),
    node(b"b", FILE, content=(ID, ID), size=5, inode=7, links=2, xattrs=(("user.x", b"1"),)),
    node(b"c\xff", SYMLINK, link_target=b"\xfe", user="ann"),
]
PACKED = [
    pack.PackedBlob(ID, pack.BlobKind.DATA, 0, 100, 200),
    pack.PackedBlob(ID, pack.BlobKind.TREE, 100, 50),
]
SNAPSHOT = Snapshot(
    10**18,
    ID,
    ("/x",),
    "host",
    "ann",
    1,
    2,
    ("*.o",),
    ("t",),
    FileID(ID),
    FileID(ID),
    "becalm",
    {"files_new": 1},
)
LOCK = Lock(10**18, exclusive=True, hostname="host", username="ann", pid=5, uid=1, gid=2)
KEY_FILE = key_file.make(
    Key.from_bytes(bytes(64)), "p", salt=bytes(64), iv=bytes(16), created_nanos=10**18, username="ann",
    hostname="host", cost=ScryptCost(16, 1, 1),
)  # fmt: skip

Parser = Callable[[bytes], object]


def and_back(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> Parser:
    """Return what also writes what it has read: that goes well, and is read again as the same."""

    def parse(data: bytes) -> None:
        value = decode(data)
        assert decode(encode(value)) == value

    return parse


def tree_again(data: bytes) -> None:
    """Read a tree and write its nodes. Some values are brought inside what can be written, so they differ."""
    encode_tree(map(encode_node, tree.decode_tree(data)))


def snapshot_again(data: bytes) -> None:
    found = snapshot.decode(data)
    assert found.local_time.year
    snapshot.decode(snapshot.encode(found))
    snapshot.edited(data, {"tags": ["t"]})


DOCUMENTS: dict[str, tuple[Parser, bytes]] = {
    "config": (and_back(config.decode, config.encode), config.encode(Config(2, "ab" * 32, 0x3DA3358B4DC173))),
    "key": (key_file.decode, key_file.encode(KEY_FILE)),
    "lock": (and_back(lock_file.decode, lock_file.encode), lock_file.encode(LOCK)),
    "index": (and_back(index_file.decode, index_file.encode), index_file.encode([(PackID(ID), PACKED)])),
    "snapshot": (snapshot_again, snapshot.encode(SNAPSHOT)),
    "tree": (tree_again, encode_tree(map(encode_node, NODES))),
}
BYTES: dict[str, tuple[Parser, bytes]] = {
    **DOCUMENTS,
    "pack header": (and_back(pack.decode_header, pack.encode_header), pack.encode_header(PACKED)),
    "edited tree": (
        lambda data: tree_text.without(data, {0}, {1: (ID, ID)}),
        encode_tree(map(encode_node, NODES)),
    ),
}
each_document = pytest.mark.parametrize(("parse", "valid"), DOCUMENTS.values(), ids=DOCUMENTS)
each_file = pytest.mark.parametrize(("parse", "valid"), BYTES.values(), ids=BYTES)


def is_read_or_refused(parse: Callable[[Any], object], data: object) -> bool:
    try:
        parse(data)
    except EngineError:
        return False
    return True


@each_file
def test_the_valid_ones_are_read(parse: Parser, valid: bytes) -> None:
    assert is_read_or_refused(parse, valid) or parse is BYTES["edited tree"][0]


@each_file
@given(data=st.data())
def test_bytes_are_read_or_refused(parse: Parser, valid: bytes, data: st.DataObject) -> None:
    is_read_or_refused(parse, data.draw(damage(valid)))


@each_document
@given(data=st.data())
def test_documents_are_read_or_refused(parse: Parser, valid: bytes, data: st.DataObject) -> None:
    is_read_or_refused(parse, as_bytes(data.draw(mutated(json.loads(valid)))))


@given(texts_like("2026-01-02T03:04:05.123456789+01:30"))
def test_times_are_read_or_refused(text: str) -> None:
    if is_read_or_refused(gotime.decode, text):
        assert gotime.decode(gotime.encode(gotime.decode(text))) == gotime.decode(text) or "0000" in text


@given(texts_like('a\\x41\\u00e9\\U0001f600\\101\\n\\"'))
def test_names_are_read_or_refused(text: str) -> None:
    if is_read_or_refused(names.unquote, text):
        raw = names.unquote(text)
        assert names.unquote(names.quote(raw)) == raw


@given(st.data())
def test_fields_are_read_or_refused(data: st.DataObject) -> None:
    text = as_bytes(data.draw(mutated({"a": 1, "b": "x", "c": ["y"]})))
    try:
        document = parse_object(text, "test")
        number_of(document, "a", "test")
        text_of(document, "b", "test").encode()
        "".join(texts_of(document, "c", "test")).encode()
    except DamagedError:
        return


@given(st.data())
def test_commit_plans_are_read_or_refused(data: st.DataObject) -> None:
    valid = {
        "snapshots": [{"tree": ID.hex(), "hostname": "h", "paths": ["/x"], "time": "2026-01-02T03:04:05Z"}]
    }
    try:
        CommitPlan.from_json(as_bytes(data.draw(mutated(valid))).decode())
    except ValueError:
        return
