import tracemalloc

import pytest

from becalm_engine.commands.walk import Walk, subtree_at
from becalm_engine.errors import DamagedError, EngineError, SnapshotMissingError
from becalm_engine.format.tree import DIR
from becalm_engine.ids import BlobID
from tests.engine.commands.planted import folder, lose, node, plant, plant_deep
from tests.engine.commands.world import World


@pytest.fixture
def tree(world: World) -> BlobID:
    inner = plant(world, [node(b"x"), node(b"y")])
    return plant(world, [node(b"a"), folder(b"b", inner), folder(b"c", inner), node(b"d")])


def paths(walk: Walk) -> list[bytes]:
    return [walk.path for _ in walk]


def test_parents_come_first_and_every_node_has_its_path(world: World, tree: BlobID) -> None:
    walk = Walk(world.opened(), tree)

    assert paths(walk) == [b"/a", b"/b", b"/b/x", b"/b/y", b"/c", b"/c/x", b"/c/y", b"/d"]


def test_a_directory_can_be_skipped(world: World, tree: BlobID) -> None:
    walk, seen = Walk(world.opened(), tree), []
    for found in walk:
        seen.append((walk.path, walk.depth))
        if found.name == b"b":
            walk.skip()

    assert seen == [(b"/a", 1), (b"/b", 1), (b"/c", 1), (b"/c/x", 2), (b"/c/y", 2), (b"/d", 1)]


def test_a_directory_that_cannot_be_read_is_told_or_ends_the_walk(world: World) -> None:
    lost = plant(world, [node(b"gone")])
    root = plant(world, [folder(b"b", lost), node(b"c")])
    lose(world, lost)
    told: list[tuple[BlobID, bytes, EngineError]] = []

    walk = Walk(world.opened(), root, broken=lambda *what: told.append(what))

    assert paths(walk) == [b"/b", b"/c"]
    [(tree, path, error)] = told
    assert (tree, path) == (lost, b"/b")
    assert isinstance(error, DamagedError)
    with pytest.raises(DamagedError):
        paths(Walk(world.opened(), root))


def test_a_root_that_cannot_be_read_is_told_too(world: World) -> None:
    lost = plant(world, [])
    lose(world, lost)
    told: list[bytes] = []

    assert paths(Walk(world.opened(), lost, broken=lambda _, path, __: told.append(path))) == []
    assert told == [b"/"]


@pytest.mark.slow
def test_memory_grows_with_the_depth_and_not_with_its_square(world: World) -> None:
    levels = 1000
    root = plant_deep(world, levels, [node(b"bottom")], name=b"d" * 200)
    repository = world.opened()

    tracemalloc.start()
    walk = Walk(repository, root)
    depths = [walk.depth for _ in walk if walk.path]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert max(depths) == levels + 1
    assert peak < 10_000_000  # all the paths together would be 100 MB


def test_a_path_is_found_by_its_name_and_by_the_name_that_is_shown(world: World) -> None:
    inner = plant(world, [node(b"file")])
    root = plant(world, [folder(b'quo"te\\', inner), folder(b"\xff", inner)])
    repository = world.opened()

    for path in ('/quo"te\\', '/quo\\"te\\\\', "/\udcff", "/\\xff", "./\\xff/"):
        found, at = subtree_at(repository, root, path)
        assert found == inner
        assert at is not None
        assert at.type == DIR
    assert subtree_at(repository, root, "/\\xff/file")[0] is None
    with pytest.raises(SnapshotMissingError, match="'none' is not there"):
        subtree_at(repository, root, "/\\xff/none")


def test_the_end_of_a_path_is_what_lies_right_above(world: World) -> None:
    root = plant_deep(world, 2, [node(b"file")])
    walk = Walk(world.opened(), root)

    tails = [(walk.tail(0), walk.tail(1), walk.tail(9)) for _ in walk]

    assert tails == [(b"/d", b"/d", b"/d"), (b"/d", b"/d/d", b"/d/d"), (b"/file", b"/d/file", b"/d/d/file")]
