import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError
from becalm_engine.format.tree import DIR, Node, decode_node, decode_tree, encode_node, encode_tree, json_name
from becalm_engine.format.tree_text import texts_by_name, without
from becalm_engine.ids import BlobID
from tests.engine import strategies

OLD, NEW = BlobID(b"\1" * 32), BlobID(b"\2" * 32)
FOREIGN = (
    b'{"nodes":[{"name":"a","type":"file","mtime":"2026-01-02T03:04:05+01:00","uid":0,"gid":0,"later":1.50},'
    b'{"name":"b","type":"dir","mtime":"2026-01-02T03:04:05+01:00","subtree":"'
    + OLD.hex().encode()
    + b'"}]}\n'
)


def test_what_is_kept_keeps_its_bytes() -> None:
    assert without(FOREIGN, (), {}) == FOREIGN
    first, _, second = FOREIGN.partition(b"},")
    assert without(FOREIGN, {1}, {}) == first + b"}]}\n"
    assert without(FOREIGN, {0}, {}) == b'{"nodes":[' + second
    assert without(FOREIGN, {0, 1}, {}) == b'{"nodes":[]}\n'


def test_a_subtree_becomes_another() -> None:
    changed = without(FOREIGN, {}, {1: (OLD, NEW)})

    assert changed == FOREIGN.replace(OLD.hex().encode(), NEW.hex().encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b'{"nodes":[]}',
        b'{ "nodes":[{}]}\n',
        b'{"nodes":[{}{}]}\n',
        b'{"nodes":[{},]}\n',
        b'{"nodes":[{}],"x":[]}\n',
        b'{"nodes":[\xff]}\n',
        b'{"nodes":[' + b"[" * 100_000 + b"]}\n",
    ],
)
def test_another_layout_is_refused(text: bytes) -> None:
    with pytest.raises(DamagedError):
        without(text, {0}, {})


def test_a_subtree_that_is_not_where_it_should_be_is_refused() -> None:
    twice = FOREIGN.replace(b'"type":"dir"', b'"type":"dir","x":{"subtree":"' + OLD.hex().encode() + b'"}')

    for text in (twice, FOREIGN.replace(b'"subtree":', b'"subtree": ')):
        with pytest.raises(DamagedError, match="subtree"):
            without(text, (), {1: (OLD, NEW)})


@given(st.dictionaries(st.binary(min_size=1, max_size=9), st.booleans(), max_size=6))
def test_dropping_nodes_is_the_same_as_encoding_the_others(names: dict[bytes, bool]) -> None:
    nodes = [Node(name, DIR, 0o755, 1, 2, 3, 0, 0, subtree=OLD) for name in sorted(names)]
    dropped = {position for position, node in enumerate(nodes) if names[node.name]}

    text = without(encode_tree(map(encode_node, nodes)), dropped, {})

    assert decode_tree(text) == [node for position, node in enumerate(nodes) if position not in dropped]


def test_nodes_are_found_by_name_as_they_stand_there() -> None:
    first, _, second = FOREIGN[len(b'{"nodes":[') : -len(b"]}\n")].decode().partition("},")

    assert texts_by_name(FOREIGN) == {'"a"': first + "}", '"b"': second}
    assert texts_by_name(b'{"nodes":[]}\n') == {}


@given(st.lists(strategies.nodes(), max_size=6, unique_by=lambda node: node.name))
def test_every_node_of_a_tree_is_found_whatever_it_holds(nodes: list[Node]) -> None:
    texts = {json_name(node.name): encode_node(node) for node in nodes}

    found = texts_by_name(encode_tree(texts.values()))

    assert found == texts
    assert [decode_node(text) for text in found.values()] == decode_tree(encode_tree(texts.values()))


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b'{ "nodes":[]}\n', FOREIGN[:-1], b'{"nodes":[{"type":"dir","name":"a"}]}\n', b"\xff" * 40],
)
def test_a_tree_that_is_laid_out_otherwise_has_nothing_to_be_found(text: bytes) -> None:
    assert texts_by_name(text) == {}


@pytest.mark.parametrize(
    "rest", [b',{"name":"b"},]}\n', b',{"name":"b"}{"name":"c"}]}\n', b'],"later":[{"name":"b"}]}\n']
)
def test_a_tree_with_attributes_that_is_laid_out_otherwise_has_nothing_either(rest: bytes) -> None:
    start = b'{"nodes":[{"name":"a","extended_attributes":[{"name":"x","value":""},{"name":"y","value":""}]}'

    assert texts_by_name(start + rest) == {}
    assert list(texts_by_name(start + b',{"name":"b","type":"fifo"}]}\n')) == ['"a"', '"b"']
