import pytest

from becalm_engine.commands import unfolding
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.unfolding import Extent, UnfoldingGuard, extent_of
from becalm_engine.commands.walk import Walk
from becalm_engine.errors import DamagedError
from becalm_engine.ids import BlobID
from tests.engine.commands.planted import folder, lose, node, plant
from tests.engine.commands.world import World


def doubled(world: World, levels: int) -> BlobID:
    tree = plant(world, [node(b"file"), node(b"other")])
    for _ in range(levels):
        tree = plant(world, [folder(b"a", tree), folder(b"b", tree), node(b"file")])
    return tree


def test_entries_are_counted_as_they_are_stored_and_as_they_unfold(world: World) -> None:
    tree = doubled(world, 5)

    extent = extent_of(world.opened(), tree, Progress())

    assert extent == Extent(stored=2 + 5 * 3, unfolded=sum(1 for _ in Walk(world.opened(), tree)))


def test_forty_trees_are_counted_at_once(world: World) -> None:
    tree = doubled(world, 40)

    assert extent_of(world.opened(), tree, Progress()).unfolded == 5 * 2**40 - 3


def test_a_directory_that_cannot_be_read_counts_as_empty(world: World) -> None:
    lost = plant(world, [node(b"x")])
    tree = plant(world, [folder(b"a", lost), folder(b"b", lost), node(b"c")])
    lose(world, lost)

    assert extent_of(world.opened(), tree, Progress()) == Extent(3, 3)


def test_generations_of_one_folder_are_honest() -> None:
    assert not Extent(stored=1_000_000, unfolded=365_000_000).is_absurd
    assert not Extent(stored=10, unfolded=10_000_000).is_absurd
    assert Extent(stored=10, unfolded=10_000_001).is_absurd


def test_a_walk_over_an_absurd_tree_is_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfolding, "_MOST_REPEATED", 20)
    tree = doubled(world, 40)
    guard = UnfoldingGuard(world.opened(), tree, Progress())
    for _ in range(11):
        guard.enter(BlobID(bytes(32)), 2)

    with pytest.raises(DamagedError, match="unfold"):
        guard.enter(BlobID(bytes(32)), 2)


def test_a_walk_over_an_honest_tree_is_judged_once_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfolding, "_MOST_REPEATED", 20)
    tree = doubled(world, 3)
    guard = UnfoldingGuard(world.opened(), tree, Progress())

    for _ in range(100):
        guard.enter(BlobID(bytes(32)), 2)
