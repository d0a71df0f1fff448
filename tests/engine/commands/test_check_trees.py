"""Trees that are judged by themselves, as they lie in their packs."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.commands.check_trees import is_sound_tree
from becalm_engine.format.crypto import OVERHEAD_BYTES
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.format.tree import DIR, FILE, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID, PackID
from becalm_engine.repository.blob_index import BlobIndex

SHORT, LONG, FOLDER, BOTH, MISSING = (BlobID(bytes((number,)) * 32) for number in range(5))
STORED = (
    PackedBlob(SHORT, BlobKind.DATA, 0, 5 + OVERHEAD_BYTES),
    PackedBlob(LONG, BlobKind.DATA, 100, 60, 70),
    PackedBlob(FOLDER, BlobKind.TREE, 200, 60, 70),
    PackedBlob(BOTH, BlobKind.TREE, 300, 60, 70),
    PackedBlob(BOTH, BlobKind.DATA, 400, 60, 70),
)


def index() -> BlobIndex:
    index = BlobIndex()
    index.add(PackID(bytes(32)), STORED)
    return index


def file(name: bytes, *content: BlobID, size: int) -> Node:
    return Node(name, FILE, 0o644, 0, 0, 0, 0, 0, links=1, size=size, content=content)


def folder(name: bytes, subtree: BlobID) -> Node:
    return Node(name, DIR, 0o755, 0, 0, 0, 0, 0, subtree=subtree)


def tree_of(*nodes: Node) -> bytes:
    return encode_tree(map(encode_node, nodes))


SOUND = (file(b"a", SHORT, LONG, size=75), file(b"b", size=0), folder(b"c", FOLDER), folder(b"d", BOTH))


def test_a_tree_of_which_all_is_there_is_sound() -> None:
    assert is_sound_tree(index(), tree_of(*SOUND))
    assert is_sound_tree(index(), tree_of(file(b"\xff", BOTH, size=70)))
    assert is_sound_tree(index(), tree_of())


def test_a_tree_with_anything_wrong_is_not() -> None:
    sound = file(b"a", SHORT, size=5)
    for wrong in (
        replace(sound, size=6),
        replace(sound, content=(MISSING,)),
        replace(sound, content=(FOLDER,), size=70),
        replace(sound, name=b".."),
        replace(sound, name=b"."),
        replace(sound, name=b"a/b"),
        folder(b"a", MISSING),
        folder(b"a", LONG),
    ):
        assert not is_sound_tree(index(), tree_of(wrong)), wrong
    assert not is_sound_tree(index(), tree_of(sound, sound))
    assert not is_sound_tree(index(), tree_of(replace(sound, name=b"b"), sound))
    assert not is_sound_tree(index(), b"{}}")


names = st.sampled_from((b"a", b"b", b"..", b".", b"c/d", b"\xc3\xa4", b"B"))
blobs = st.sampled_from((SHORT, LONG, FOLDER, BOTH, MISSING))
files = st.builds(
    lambda name, content, size: file(name, *content, size=size),
    names,
    st.lists(blobs, max_size=2),
    st.sampled_from((0, 5, 70, 75, 140)),
)
folders = st.builds(folder, names, blobs)


@given(
    st.lists(files | folders | st.sampled_from(SOUND), max_size=4).map(
        lambda nodes: sorted(nodes, key=lambda node: node.name)
    )
)
def test_a_tree_is_judged_alike_however_it_is_laid_out(nodes: list[Node]) -> None:
    text = tree_of(*nodes)

    assert is_sound_tree(index(), text) == is_sound_tree(index(), b" " + text)
