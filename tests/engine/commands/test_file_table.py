import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.commands.file_table import EMPTY, FileTable
from becalm_engine.commands.restored import RestoredFile
from becalm_engine.format.tree import FILE, Node
from becalm_engine.repository.blob_index import Spot
from tests.engine import strategies


def as_whole(node: Node) -> Node:
    return dataclasses.replace(
        node, type=FILE, content=node.content[:1], link_target=b"", subtree=None, device=0
    )


whole_nodes = strategies.nodes().map(as_whole)
folders = st.lists(st.sampled_from([b"a", b"b c", b"\xff"]), max_size=3).map(tuple)


def files_of(nodes: list[Node], places: list[tuple[bytes, ...]]) -> list[RestoredFile]:
    """Return files as a walk finds them: those of a folder have the very same place."""
    shown = ["/" + "".join(f"{name.decode(errors='surrogateescape')}/" for name in place) for place in places]
    at = sorted(range(len(nodes)), key=lambda number: number % len(places))
    return [
        RestoredFile(
            places[n % len(places)], nodes[n], f"{shown[n % len(places)]}file {n}\n", replaces=n % 3 == 0
        )
        for n in at
    ]


def spot_of(file: RestoredFile) -> Spot:
    return (7, 11, file.node.size % 1000, 0) if file.node.content else EMPTY


@given(st.lists(whole_nodes, max_size=8), st.lists(folders, min_size=1, max_size=3))
def test_files_come_back_as_they_were(nodes: list[Node], places: list[tuple[bytes, ...]]) -> None:
    files, table = files_of(nodes, places), FileTable()

    for file in files:
        table.append(file, spot_of(file))

    kept = [(back.folder, back.path, back.replaces, back.node.content) for back in table]
    assert kept == [(file.folder, file.path, file.replaces, file.node.content) for file in files]
    for back, file in zip(table, files, strict=True):
        file.node.inode = file.node.device_id = 0  # of no use where it is restored
        file.node.generic_attributes = back.node.generic_attributes
        assert back.node == file.node
    assert len(table) == len(files)
    assert table.total_bytes == sum(node.size for node in nodes)


@given(
    st.lists(whole_nodes, max_size=8), st.lists(folders, min_size=1, max_size=3), st.integers(0, 8), st.data()
)
def test_tables_that_are_put_together_are_as_one(
    nodes: list[Node], places: list[tuple[bytes, ...]], cut: int, data: st.DataObject
) -> None:
    files = files_of(nodes, places)
    whole, first, second = FileTable(), FileTable(), FileTable()
    for number, file in enumerate(files):
        whole.append(file, spot_of(file))
        (first if number < cut else second).append(file, spot_of(file))

    first.extend(pickle.loads(pickle.dumps(second)))
    for more in data.draw(st.lists(st.sampled_from(files), max_size=1)) if files else []:
        for table in (whole, first):
            table.append(more, spot_of(more))

    for number, back in enumerate(whole):
        other = first[number]
        assert (other.folder, other.path, other.node) == (back.folder, back.path, back.node)
        assert first.folder(number)[1] == whole.folder(number)[1]
    for name in ("sizes", "packs", "offsets", "stored_bytes", "plain_bytes", "total_bytes"):
        assert getattr(first, name) == getattr(whole, name)


def test_it_is_a_sequence() -> None:
    table = FileTable()
    for number in range(3):
        table.append(RestoredFile((), Node(b"%d" % number, FILE, 0, 0, 0, 0, 0, 0), f"/{number}"), EMPTY)

    assert [file.path for file in table[1:]] == ["/1", "/2"]
    assert table[-1].path == "/2"
    with pytest.raises(IndexError):
        table[3]
