"""Trees that no backup would make, written into a repository as they are."""

from typing import Any

from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import DIR, FILE, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.commands.world import World


def node(name: bytes, kind: str = FILE, **fields: Any) -> Node:
    """Return a node with nothing said about it."""
    mode, mtime = fields.pop("mode", 0o644), fields.pop("mtime", 0)
    return Node(name, kind, mode, mtime, mtime, mtime, 0, 0, **fields)


def folder(name: bytes, subtree: BlobID, **fields: Any) -> Node:
    """Return the node of a directory."""
    return node(name, DIR, subtree=subtree, mode=0o755, **fields)


def plant(world: World, nodes: list[Node]) -> BlobID:
    """Store a tree."""
    with Writer(world.opened()) as writer:
        return writer.save(BlobKind.TREE, encode_tree(map(encode_node, nodes)))


def plant_content(world: World, content: bytes) -> BlobID:
    """Store a blob of data."""
    with Writer(world.opened()) as writer:
        return writer.save(BlobKind.DATA, content)


def plant_deep(world: World, levels: int, bottom: list[Node], *, name: bytes = b"d") -> BlobID:
    """Store a tree of so many directories, one in the other."""
    with Writer(world.opened()) as writer:
        tree = writer.save(BlobKind.TREE, encode_tree(map(encode_node, bottom)))
        for _ in range(levels):
            tree = writer.save(BlobKind.TREE, encode_tree([encode_node(folder(name, tree))]))
        return tree


def lose(world: World, tree: BlobID) -> None:
    """Make a blob unreadable: the pack that holds it is overwritten with zeros."""
    location = world.opened().index.find(tree)
    assert location is not None
    key = FileKind.PACK, location.pack.hex()
    world.storage.files[key] = bytes(len(world.storage.files[key]))  # type: ignore[attr-defined]
