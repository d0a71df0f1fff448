import pytest

from becalm_engine.commands.listing import entries, in_order
from becalm_engine.errors import UsageError
from becalm_engine.ids import BlobID
from tests.engine.commands.planted import folder, node, plant
from tests.engine.commands.world import World


@pytest.fixture
def tree(world: World) -> BlobID:
    deepest = plant(world, [node(b"end", size=5)])
    inner = plant(world, [node(b"b.txt", size=3, mtime=9), folder(b"deeper", deepest), node(b"z", size=1)])
    return plant(world, [node(b"a.TXT", size=2), folder(b"one", inner), folder(b"one-more", inner)])


def listed(world: World, tree: BlobID, *folders: bytes, recursive: bool = False) -> list[bytes]:
    return [entry.path for entry in entries(world.opened(), tree, folders, recursive=recursive)]


def test_without_folders_all_is_listed(world: World, tree: BlobID) -> None:
    assert len(listed(world, tree)) == 11


def test_a_folder_is_listed_with_what_is_in_it(world: World, tree: BlobID) -> None:
    assert listed(world, tree, b"/one") == [b"/one", b"/one/b.txt", b"/one/deeper", b"/one/z"]
    assert listed(world, tree, b"//one/../one/deeper/") == [b"/one/deeper", b"/one/deeper/end"]


def test_recursive_lists_what_is_deeper(world: World, tree: BlobID) -> None:
    assert listed(world, tree, b"/one", recursive=True)[3] == b"/one/deeper/end"
    assert len(listed(world, tree, b"/", recursive=True)) == 11


def test_the_root_is_a_folder_like_any_other(world: World, tree: BlobID) -> None:
    assert listed(world, tree, b"/") == [b"/a.TXT", b"/one", b"/one-more"]


def test_a_relative_folder_is_refused(world: World, tree: BlobID) -> None:
    with pytest.raises(UsageError, match="begin with a slash"):
        listed(world, tree, b"one")


@pytest.mark.parametrize(
    ("order", "first"),
    [
        ("size", b"/one"),
        ("mtime", b"/a.TXT"),
        ("time", b"/a.TXT"),
        ("atime", b"/a.TXT"),
        ("ctime", b"/a.TXT"),
        ("extension", b"/one"),
    ],
)
def test_a_listing_can_be_sorted_and_paths_decide_among_equals(
    world: World, tree: BlobID, order: str, first: bytes
) -> None:
    every = list(entries(world.opened(), tree, (), recursive=False))

    ordered = [entry.path for entry in in_order(iter(every), order, reverse=False)]
    backwards = [entry.path for entry in in_order(iter(every), order, reverse=True)]

    assert ordered[0] == first
    assert backwards == ordered[::-1]
    assert len(ordered) == len(every)


def test_the_names_order_is_that_of_the_snapshot(world: World, tree: BlobID) -> None:
    every = list(entries(world.opened(), tree, (), recursive=False))

    assert list(in_order(iter(every), "name", reverse=False)) == every
    assert list(in_order(iter(every), "name", reverse=True)) == every[::-1]
