from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format.plain_tree import PlainEntry, plain_entries
from becalm_engine.format.tree import DIR, FILE, SYMLINK, Node, decode_tree, encode_node, encode_tree
from becalm_engine.ids import BlobID
from tests.engine import strategies

BLOBS = tuple(BlobID(bytes((number,)) * 32) for number in range(3))
MOMENT = 1_700_000_000_123_456_789
A_FILE = Node(b"a", FILE, 0o644, MOMENT, MOMENT, MOMENT, 0, 0, "root", "root", 7, 8, 5, 1, content=BLOBS[:1])
A_DIR = Node(b"d", DIR, 0o755, MOMENT, MOMENT, MOMENT, 0, 0, inode=9, subtree=BLOBS[0])
A_LINK = Node(b"l", SYMLINK, 0o777, MOMENT, MOMENT, MOMENT, 0, 0, links=1, link_target=b"a")
SAMPLE = encode_tree(map(encode_node, (A_FILE, A_DIR, A_LINK)))

plain_texts = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters='"\\/<>&'), max_size=9
)


@st.composite
def plain_nodes(draw: st.DrawFn) -> Node:
    """A file, directory or link that the pattern knows, whatever its numbers."""
    node = draw(strategies.nodes().filter(lambda node: node.type in (FILE, DIR, SYMLINK)))
    return replace(
        node,
        name=draw(plain_texts.filter(bool)).encode(),
        user=draw(plain_texts),
        group=draw(plain_texts),
        uid=draw(st.integers(0, 999_999_999)),
        gid=draw(st.integers(0, 999_999_999)),
        inode=draw(st.integers(0, 10**18 - 1)),
        device_id=draw(st.integers(0, 10**18 - 1)),
        size=draw(st.integers(0, 10**18 - 1)) if node.type == FILE else 0,
        xattrs=tuple(draw(st.lists(st.tuples(plain_texts, st.binary(max_size=10)), max_size=2))),
        link_target=draw(plain_texts.filter(bool)).encode() if node.type == SYMLINK else b"",
        mtime=MOMENT,
        atime=draw(st.sampled_from((MOMENT, 0, 1_748_649_600 * 10**9))),  # 31 May 2025
        ctime=MOMENT,
    )


def entries_of(nodes: list[Node]) -> list[PlainEntry]:
    return [PlainEntry(node.name, node.size, node.content, node.subtree) for node in nodes]


@given(st.lists(plain_nodes(), max_size=5))
def test_plain_trees_are_read_as_they_are_otherwise(nodes: list[Node]) -> None:
    text = encode_tree(map(encode_node, nodes))

    assert plain_entries(text) == entries_of(nodes) == entries_of(decode_tree(text))


@given(st.lists(strategies.nodes(), max_size=5))
def test_what_is_read_of_any_tree_is_what_is_in_it(nodes: list[Node]) -> None:
    text = encode_tree(map(encode_node, nodes))

    assert plain_entries(text) in (None, entries_of(nodes))


@settings(max_examples=1000)
@given(
    st.integers(0, len(SAMPLE)),
    st.integers(0, 3),
    st.binary(max_size=3) | st.sampled_from((b"0", b"9", b",", b"},{")),
)
@example(0, 0, b" ")
def test_a_changed_tree_is_read_as_it_is_otherwise_or_left_alone(at: int, dropped: int, put: bytes) -> None:
    text = SAMPLE[:at] + put + SAMPLE[at + dropped :]

    entries = plain_entries(text)

    if entries is not None:
        assert entries == entries_of(decode_tree(text))


def test_a_time_in_any_zone_is_plain() -> None:
    text = SAMPLE.replace(b'89Z"', b'89+05:30"')

    assert plain_entries(text) == entries_of(decode_tree(text)) == entries_of([A_FILE, A_DIR, A_LINK])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"2023-11-14T", b"2023-11-31T"),
        (b"2023-11-14T", b"2023-02-30T"),
        (b"2023-11-14T", b"2023-13-14T"),
        (b"2023-11-14T", b"2023-00-14T"),
        (b"2023-11-14T22:", b"2023-11-14T24:"),
        (b'"uid":0', b'"uid":00'),
        (b'"uid":0', b'"uid":4294967296'),
        (b'"uid":0', b'"uid":-1'),
        (b'"size":5', b'"size":5.0'),
        (b'"mode":420', b'"mode":"420"'),
        (b'"content":["', b'"content":[",'),
        (b"},{", b"}{"),
        (b"},{", b"} {"),
        (b"},{", b"},,{"),
        (b"]}\n", b",]}\n"),
    ],
)
def test_what_is_wrong_with_a_tree_is_left_to_be_said(old: bytes, new: bytes) -> None:
    text = SAMPLE.replace(old, new)
    assert text != SAMPLE

    with pytest.raises(DamagedError):
        decode_tree(text)
    assert plain_entries(text) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"name":"a"', b'"name":"\xc3\xa4"'),
        (b'"name":"a"', b'"name":"\\\\x00"'),
        (b'"name":"a"', b'"name":"a/b"'),
        (b'"name":"a"', b'"name":""'),
        (b'"uid":0', b'"later":1,"uid":0'),
        (b'"type":"symlink"', b'"type":"fifo"'),
        (b'"uid":0,"gid":0', b'"gid":0,"uid":0'),
        (b"2023-11-14T", b"2024-02-29T"),
    ],
)
def test_what_is_not_plain_is_left_to_be_read(old: bytes, new: bytes) -> None:
    text = SAMPLE.replace(old, new)

    assert decode_tree(text)
    assert plain_entries(text) is None


def test_a_tree_that_ends_otherwise_is_left_to_be_read() -> None:
    for text in (SAMPLE[:-1], SAMPLE + b"\n", b" " + SAMPLE, SAMPLE.replace(b"{", b"{ ", 1)):
        assert len(decode_tree(text)) == 3
        assert plain_entries(text) is None


def test_a_tree_of_nothing_has_no_entries() -> None:
    assert plain_entries(encode_tree([])) == []


def test_a_tree_as_long_as_those_of_terabytes_is_left_to_be_read() -> None:
    assert plain_entries(encode_tree([encode_node(replace(A_FILE, content=BLOBS[:1] * 260_000))])) is None
    assert plain_entries(encode_tree([encode_node(replace(A_FILE, content=BLOBS[:1] * 200_000))])) is not None
