import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.commands.file_table import FileTable
from becalm_engine.commands.restored import RestoredFile
from becalm_engine.format.tree import FILE, Node
from tests.engine import strategies

whole_nodes = strategies.nodes().filter(lambda node: node.type == FILE and len(node.content) <= 1)
folders = st.lists(st.sampled_from([b"a", b"b c", b"\xff"]), max_size=3).map(tuple)


def files_of(nodes: list[Node], places: list[tuple[bytes, ...]]) -> list[RestoredFile]:
    """Return files as a walk finds them: those of a folder have the very same place."""
    shown = ["/" + "".join(f"{name.decode(errors='surrogateescape')}/" for name in place) for place in places]
    at = sorted(range(len(nodes)), key=lambda number: number % len(places))
    return [
        RestoredFile(places[n % len(places)], nodes[n], f"{shown[n % len(places)]}file {n}\n") for n in at
    ]


@given(st.lists(whole_nodes, max_size=8), st.lists(folders, min_size=1, max_size=3))
def test_files_come_back_as_they_were(nodes: list[Node], places: list[tuple[bytes, ...]]) -> None:
    files, table = files_of(nodes, places), FileTable()

    for file in files:
        table.append(file)

    kept = [(back.folder, back.path, back.node.name, back.node.content) for back in table]
    assert kept == [(file.folder, file.path, file.node.name, file.node.content) for file in files]
    for back, file in zip(table, files, strict=True):
        file.node.inode = file.node.device_id = 0  # of no use where it is restored
        file.node.generic_attributes = back.node.generic_attributes
        assert back.node == file.node
    assert len(table) == len(files)
    assert table.total_bytes == sum(node.size for node in nodes)


def test_it_is_a_sequence() -> None:
    table = FileTable()
    for number in range(3):
        table.append(RestoredFile((), Node(b"%d" % number, FILE, 0, 0, 0, 0, 0, 0), f"/{number}"))

    assert [file.path for file in table[1:]] == ["/1", "/2"]
    assert table[-1].path == "/2"
    with pytest.raises(IndexError):
        table[3]
