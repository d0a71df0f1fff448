"""Changing a tree without reading it into values: what is kept is kept byte for byte.

Trees hold times in their writer's zone and fields that only other programs know; decoded and encoded they would
be other trees.
"""

import json
from collections.abc import Container, Mapping

from becalm_engine.errors import DamagedError
from becalm_engine.ids import BlobID

_START, _END = '{"nodes":[', "]}\n"
_NODE = '{"name":"'
_FIRST = _START + _NODE
_NESTED = ":[{"  # a list of objects in a node; there the same words may follow each other


def without(text: bytes, dropped: Container[int], subtrees: Mapping[int, tuple[BlobID, BlobID]]) -> bytes:
    """Return a tree without some nodes, and with other subtrees (old, new) in some; nodes are told by position.

    Raises:
        DamagedError: The tree is not laid out as restic and becalm do it.
    """
    nodes = []
    for position, node in enumerate(_node_texts(text)):
        if position in dropped:
            continue
        nodes.append(_with_subtree(node, *subtrees[position]) if position in subtrees else node)
    return f"{_START}{','.join(nodes)}{_END}".encode()


def texts_by_name(text: bytes) -> dict[str, str]:
    """Return the JSON of each node of a tree, by its name as JSON; nothing if the tree is laid out otherwise.

    This is the quick way to find what a backup compares with. It tells nodes apart by how each begins, which an
    extended attribute does too; such trees are read properly.
    """
    body = text.decode("utf-8", "replace")
    if not (body.startswith(_FIRST) and body.endswith("}" + _END)):
        return {}
    try:
        nodes = _node_texts(text) if body.find(_NESTED, len(_FIRST)) > 0 else _split(body)
    except DamagedError:
        return {}
    return {_name_text(node): node for node in nodes}


def _split(body: str) -> list[str]:
    inner = body[len(_FIRST) : -len("}" + _END)]
    return [f"{_NODE}{node}}}" for node in inner.split("}," + _NODE)]


def _name_text(node: str) -> str:
    """Return the name with its quotes; a quote in it would be escaped, so `","` cannot stand there."""
    start = len(_NODE)
    return node[start - 1 : node.find('","', start) + 1]


def _node_texts(text: bytes) -> list[str]:
    try:
        body = text.decode()
        at, end = len(_START), len(body) - len(_END)
        if not (body.startswith(_START) and body.endswith(_END)):
            raise DamagedError("tree: not laid out as a tree is written")
        decoder, texts = json.JSONDecoder(), []
        while at < end:
            _, after = decoder.raw_decode(body, at)
            texts.append(body[at:after])
            if after < end and (body[after] != "," or after + 1 == end):
                raise DamagedError("tree: not laid out as a tree is written")
            at = after + 1
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"tree is not valid JSON: {error}") from error
    return texts


def _with_subtree(node: str, old: BlobID, new: BlobID) -> str:
    key = f'"subtree":"{old.hex()}"'  # inside a string its quotes would be escaped
    if node.count(key) != 1:
        raise DamagedError("tree: a directory does not name its subtree as a tree is written")
    return node.replace(key, f'"subtree":"{new.hex()}"')
