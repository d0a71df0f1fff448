from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.commands.diff import Comparison, Difference
from becalm_engine.commands.progress import Progress
from becalm_engine.format.tree import SYMLINK, Node
from becalm_engine.ids import BlobID
from tests.engine.commands.planted import folder, lose, node, plant, plant_content, plant_deep
from tests.engine.commands.world import World


def compare(
    world: World, before: BlobID, after: BlobID, *, metadata: bool = False
) -> tuple[list[tuple[bytes, str]], Difference]:
    comparison = Comparison(world.opened(), metadata=metadata, progress=Progress(), tell=lambda *_: None)
    changes = [(change.path, change.modifier) for change in comparison.changes(before, after)]
    return changes, comparison.result


@pytest.fixture
def blobs(world: World) -> list[BlobID]:
    return [plant_content(world, bytes([65 + number]) * (10 + number)) for number in range(3)]


def file(name: bytes, blob: BlobID, **fields: Any) -> Node:
    return node(name, size=10, content=(blob,), **fields)


def test_changes_are_marked_as_in_restic(world: World, blobs: list[BlobID]) -> None:
    first, second, third = blobs
    before = plant(
        world,
        [
            file(b"content", first, mtime=1),
            file(b"gone", first),
            file(b"rot", first, mtime=7),
            file(b"same", third),
            file(b"times", third, mtime=1),
            file(b"type", third),
        ],
    )
    after = plant(
        world,
        [
            file(b"content", second, mtime=2),
            file(b"new", second),
            file(b"rot", second, mtime=7),
            file(b"same", third),
            file(b"times", third, mtime=2),
            node(b"type", SYMLINK, link_target=b"x"),
        ],
    )

    changes, result = compare(world, before, after)
    told = [(b"/content", "M"), (b"/gone", "-"), (b"/new", "+"), (b"/rot", "M?"), (b"/type", "T")]
    assert changes == told
    assert result.changed_files == 2
    assert (result.added.files, result.added.data_blobs, result.added.tree_blobs) == (1, 1, 1)
    assert (result.removed.files, result.removed.data_blobs, result.removed.tree_blobs) == (1, 1, 1)
    more, _ = compare(world, before, after, metadata=True)
    assert sorted(more) == sorted([*told[:4], (b"/times", "U"), (b"/type", "TU")])


def test_directories_are_told_with_all_that_is_in_them(world: World, blobs: list[BlobID]) -> None:
    inner = plant(world, [file(b"x", blobs[0]), folder(b"y", plant(world, [node(b"fifo", "fifo")]))])
    empty, full = plant(world, []), plant(world, [folder(b"d", inner)])

    changes, result = compare(world, empty, full)

    assert changes == [(b"/d/", "+"), (b"/d/x", "+"), (b"/d/y/", "+"), (b"/d/y/fifo", "+")]
    assert (result.added.files, result.added.dirs, result.added.others) == (1, 2, 1)
    assert (result.added.data_blobs, result.added.tree_blobs) == (1, 3)
    back, removed = compare(world, full, empty)
    assert back == [(path, "-") for path, _ in changes]
    assert removed.removed == result.added


def test_what_both_have_somewhere_is_neither_new_nor_removed(world: World, blobs: list[BlobID]) -> None:
    shared = plant(world, [file(b"x", blobs[0])])
    before = plant(world, [folder(b"a", shared), file(b"b", blobs[1])])
    after = plant(world, [folder(b"a", shared), file(b"c", blobs[1]), file(b"d", blobs[0])])

    _, result = compare(world, before, after)

    assert (result.added.data_blobs, result.removed.data_blobs) == (0, 0)


def test_a_directory_that_cannot_be_read_is_counted_and_the_rest_compared(world: World) -> None:
    lost, other = plant(world, [node(b"x")]), plant(world, [node(b"y")])
    before = plant(world, [folder(b"d", lost), node(b"z")])
    after = plant(world, [folder(b"d", other)])
    lose(world, lost)
    told: list[bytes] = []

    comparison = Comparison(
        world.opened(), metadata=False, progress=Progress(), tell=lambda path, _: told.append(path)
    )

    assert [change.path for change in comparison.changes(before, after)] == [b"/z"]
    assert (comparison.failed, told) == (1, [b"/d/"])


@pytest.mark.slow
def test_trees_may_be_deep(world: World) -> None:
    before, after = (plant_deep(world, 3000, [node(name)]) for name in (b"x", b"y"))

    changes, result = compare(world, before, after)

    assert [modifier for _, modifier in changes] == ["-", "+"]
    assert changes[0][0] == b"/d" * 3000 + b"/x"
    assert (result.added.tree_blobs, result.removed.tree_blobs) == (3001, 3001)


_NAMES = st.sets(st.sampled_from([b"a", b"b", b"c", b"d"]))


@given(_NAMES, _NAMES)
def test_what_is_added_one_way_is_removed_the_other(before: set[bytes], after: set[bytes]) -> None:
    world = World()
    trees = [plant(world, [node(name) for name in sorted(names)]) for names in (before, after)]

    there, back = compare(world, *trees)[0], compare(world, *reversed(trees))[0]

    assert {path for path, modifier in there if modifier == "+"} == {b"/" + name for name in after - before}
    swapped = {"+": "-", "-": "+"}
    assert [(path, swapped[modifier]) for path, modifier in there] == back
