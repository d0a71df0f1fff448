import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format.tree import (
    CHARDEV,
    DIR,
    FIFO,
    FILE,
    SYMLINK,
    Node,
    decode_node,
    decode_tree,
    encode_node,
    encode_tree,
    faults_of_order,
    go_mode,
    unix_mode,
)
from becalm_engine.ids import BlobID, blob_id
from tests.engine import strategies
from tests.engine.format import hostile

CONTENT = BlobID(b"\x11" * 32)
FULL = Node(
    name=b"a<b",
    type=FILE,
    mode=0o4755,
    mtime=1_700_000_000_120_000_000,
    atime=0,
    ctime=1,
    uid=0,
    gid=5,
    user="root",
    group="staff",
    inode=3,
    device_id=4,
    size=6,
    links=2,
    xattrs=(("user.x", b"\xff"),),
    content=(CONTENT,),
)
VALID = encode_tree([encode_node(FULL)])
DOCUMENT = json.loads(VALID)["nodes"][0]


def node(name: bytes = b"n", kind: str = FILE, **more: object) -> Node:
    made = Node(name, kind, 0o644, 0, 0, 0, 0, 0)
    for key, value in more.items():
        setattr(made, key, value)
    return made


def test_the_empty_tree_is_restic_s() -> None:
    empty = encode_tree([])

    assert empty == b'{"nodes":[]}\n'
    assert blob_id(empty).hex() == "ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8"


def test_a_node_is_written_as_restic_writes_it() -> None:
    assert encode_node(FULL) == (
        '{"name":"a\\u003cb","type":"file","mode":8389101,"mtime":"2023-11-14T22:13:20.12Z",'
        '"atime":"1970-01-01T00:00:00Z","ctime":"1970-01-01T00:00:00.000000001Z","uid":0,"gid":5,'
        '"user":"root","group":"staff","inode":3,"device_id":4,"size":6,"links":2,'
        '"extended_attributes":[{"name":"user.x","value":"/w=="}],'
        f'"content":["{"11" * 32}"]}}'
    )


@pytest.mark.parametrize(
    ("kind", "mode", "flags"),
    [
        (DIR, 0o755, 2147484141),
        (DIR, 0o1777, 2148532735),
        (FILE, 0o4755, 8389101),
        (SYMLINK, 0o777, 134218239),
        (FIFO, 0o644, 33554852),
        (CHARDEV, 0o644, 69206436),
    ],
)
def test_modes_are_go_s(kind: str, mode: int, flags: int) -> None:
    assert go_mode(kind, mode) == flags
    assert unix_mode(flags) == mode


@given(st.lists(strategies.nodes(), max_size=3))
def test_a_tree_reads_back_as_it_was(nodes: list[Node]) -> None:
    assert decode_tree(encode_tree(map(encode_node, nodes))) == nodes


@given(st.lists(strategies.nodes(), max_size=3))
def test_equal_nodes_are_equal_bytes(nodes: list[Node]) -> None:
    text = encode_tree(map(encode_node, nodes))

    again = encode_tree(map(encode_node, decode_tree(text)))

    assert again == text
    assert text.endswith(b"]}\n")
    assert not set(text.decode()) & set("<>&\u2028\u2029")


def test_an_empty_file_has_an_empty_list_and_others_have_null() -> None:
    assert encode_node(node()).endswith(',"content":[]}')
    assert encode_node(node(kind=DIR, subtree=CONTENT)).endswith(f',"content":null,"subtree":"{"11" * 32}"}}')
    assert encode_node(node(kind=FIFO)).endswith(',"content":null}')


def test_a_link_target_that_is_not_utf_8_is_kept_raw_beside_what_can_be_shown() -> None:
    link = node(kind=SYMLINK, link_target=b"bad\xff\xfe-\xe2\x28\xed\xa0\x80")

    text = encode_node(link)

    assert (
        r'"linktarget":"bad\ufffd\ufffd-\ufffd(\ufffd\ufffd\ufffd","linktarget_raw":"YmFk//4t4ijtoIA="'
        in text
    )


def test_what_is_not_utf_8_elsewhere_is_replaced_as_restic_does() -> None:
    name = b"user.b\xffd".decode("utf-8", "surrogateescape")

    text = encode_node(node(xattrs=((name, b"v"),)))

    assert r'[{"name":"user.b\ufffdd","value":"dg=="}]' in text


def test_null_and_absent_fields_are_read() -> None:
    xattrs = b'"extended_attributes":[{"name":"x","value":null}]'
    text = b'{"nodes":[{"name":"n","type":"file","mtime":null,"content":null,%b}]}' % xattrs

    (read,) = decode_tree(text)

    assert (read.mtime, read.mode, read.content) == (0, 0, ())
    assert read.xattrs == (("x", b""),)


@pytest.mark.parametrize("text", [b'{"nodes":null}', b'{"nodes":[]}', b"{}"])
def test_a_tree_without_nodes_is_empty(text: bytes) -> None:
    assert decode_tree(text) == []


@pytest.mark.parametrize(
    "text", [b'{"nodes":{}}', b'{"nodes":"a"}', b'{"nodes":[1]}', b'{"nodes":[null]}', b"[]"]
)
def test_what_is_no_list_of_objects_is_no_tree(text: bytes) -> None:
    with pytest.raises(DamagedError):
        decode_tree(text)


def test_a_lone_surrogate_in_a_link_target_is_replaced_as_go_does() -> None:
    text = json.dumps({"nodes": [{**DOCUMENT, "type": "symlink", "linktarget": "a\udc80b"}]}).encode()

    (read,) = decode_tree(text)

    assert read.link_target == "a\ufffdb".encode()


def test_what_restic_on_windows_keeps_of_a_file_is_kept() -> None:
    """A repaired directory is written anew, also on a machine that can do nothing with this."""
    kept = b'"generic_attributes":{"windows.creation_time":"AQ==","windows.file_attributes":"Ag\\u0026"}'
    written = encode_tree([encode_node(node(xattrs=(("a", b"b"),)))])
    theirs = written.replace(b',"content"', b"," + kept + b',"content"')

    (read,) = decode_tree(theirs)

    assert encode_tree([encode_node(read)]) == theirs


@pytest.mark.parametrize(
    "changes",
    [
        {"name": None},
        {"name": "lone\\"},
        {"name": 'a"b'},
        {"type": "door"},
        {"type": None},
        {"type": []},
        {"type": "dir"},
        {"mode": -1},
        {"mtime": "now"},
        {"mtime": []},
        {"uid": "0"},
        {"size": 1.5},
        {"content": "ab"},
        {"content": ["ab"]},
        {"content": [None]},
        {"content": {"a": 1}},
        {"extended_attributes": {"a": 1}},
        {"extended_attributes": ["a"]},
        {"extended_attributes": [{"value": ""}]},
        {"extended_attributes": [{"name": "x", "value": "/w"}]},
        {"extended_attributes": [{"name": "x", "value": "_w=="}]},
        {"type": "symlink", "linktarget": 5},
        {"type": "symlink", "linktarget_raw": "!"},
        {"type": "dev", "device": -1},
    ],
)
def test_a_node_that_makes_no_sense_is_damage(changes: dict[str, object]) -> None:
    text = json.dumps({"nodes": [{**DOCUMENT, **changes}]}).encode()

    with pytest.raises(DamagedError):
        decode_tree(text)


@given(
    strategies.replaced_fields(
        *DOCUMENT, "linktarget", "linktarget_raw", "device", "subtree", "generic_attributes"
    ),
    st.sampled_from(("file", "dir", "symlink", "chardev", "socket")),
)
def test_changed_fields_are_read_or_called_damage(changes: dict[str, object], kind: str) -> None:
    text = json.dumps({"nodes": [{**DOCUMENT, "type": kind, "subtree": "11" * 32, **changes}]}).encode()

    assert hostile.is_read_or_refused(decode_tree, text)


@given(hostile.damage(VALID))
def test_damage_is_called_damage(data: bytes) -> None:
    assert hostile.is_read_or_refused(decode_tree, data)


def test_names_that_would_leave_the_directory_are_left_to_who_creates_files() -> None:
    text = encode_tree([encode_node(node(name=b"..")), encode_node(node(name=b"a/b"))])

    assert [read.name for read in decode_tree(text)] == [b"..", b"a/b"]


def test_the_raw_link_target_counts() -> None:
    raw = base64.b64encode(b"\xff").decode()
    text = json.dumps({"nodes": [{"name": "l", "type": "symlink", "linktarget": "x", "linktarget_raw": raw}]})

    assert decode_tree(text.encode())[0].link_target == b"\xff"


@given(st.lists(strategies.names, unique=True))
def test_ascending_names_have_no_fault(names: list[bytes]) -> None:
    assert faults_of_order(node(name) for name in sorted(names)) == []


def test_order_is_that_of_the_raw_bytes() -> None:
    assert faults_of_order([node(b"badlink"), node(b"bad\xffx")]) == []


@pytest.mark.parametrize(
    ("names", "fault"), [((b"b", b"a"), "out of order"), ((b"a", b"a"), "two entries are named 'a'")]
)
def test_disorder_and_twins_are_told(names: tuple[bytes, ...], fault: str) -> None:
    (told,) = faults_of_order(map(node, names))

    assert fault in told


def test_what_may_be_anything_is_kept_exactly() -> None:
    text = encode_tree([encode_node(FULL).replace('"uid"', f'"generic_attributes":{{"a":{2**70}}},"uid"')])

    (read,) = decode_tree(text)

    assert read.generic_attributes == {"a": 2**70}
    assert decode_node(encode_node(read)) == read


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        *((name, 2**64 - 1) for name in ("mode", "inode", "device_id", "links", "device")),
        *(("uid", 2**32 - 1), ("gid", 2**32 - 1), ("size", 2**63 - 1)),
    ],
)
def test_each_number_has_its_bounds(name: str, largest: int) -> None:
    for wrong in (-1, largest + 1, True, 1.0, "1", None):
        with pytest.raises(DamagedError, match=f"tree: {name} is not a whole number from 0 to {largest}"):
            decode_node(json.dumps({**DOCUMENT, name: wrong}))
    for right in (0, largest):
        decode_node(json.dumps({**DOCUMENT, name: right}))
