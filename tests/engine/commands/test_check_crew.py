"""Several processes that read packs must find what one finds."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from becalm_engine.commands.progress import Progress
from becalm_engine.errors import StoppedError
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID
from becalm_engine.repository.snapshots import Filter, save_snapshot
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.commands.planted import node, plant
from tests.engine.commands.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A repository of a dozen packs and one snapshot."""
    world, content = World(LocalStorage(tmp_path / "repository")), random.Random(1)
    (tmp_path / "source").mkdir()
    for number in range(60):
        (tmp_path / "source" / f"f{number}").write_bytes(content.randbytes(20_000))
    world.backup(tmp_path / "source", pack_bytes=100_000)
    return world


def nothing(_path: Path) -> None:
    """Leave it whole."""


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


@pytest.mark.parametrize(("damage", "count"), [(nothing, 0), (flip, 3), (Path.unlink, 3)])
def test_the_same_is_found(world: World, damage: Callable[[Path], None], count: int) -> None:
    packs = sorted(stored.name for stored in world.storage.list(FileKind.PACK))
    assert len(packs) > 8
    for name in packs[:count]:
        damage(Path(world.storage.location, "data", name[:2], name))
    progress = Progress()

    together = world.check(processes=3, progress=progress)

    alone = world.check(processes=1)
    assert sorted(together.errors) == sorted(alone.errors)
    assert sorted(together.broken_packs) == packs[:count]
    assert together.damaged_snapshots == alone.damaged_snapshots
    assert bool(together.errors) == bool(count)
    assert progress.files_done == progress.files_total


@pytest.mark.parametrize("read_data", [True, False])
def test_trees_are_looked_at_by_all_and_told_as_by_one(world: World, *, read_data: bool) -> None:
    missing = node(b"f", size=5, content=(BlobID(bytes(32)),))
    trees = [plant(world, [node(b"%d" % number), *([missing] if number == 4 else [])]) for number in range(6)]
    for number, tree in enumerate(trees):
        save_snapshot(world.opened(), Snapshot(number, tree, ("/x",)))

    together = world.check(processes=3, read_data=read_data)

    alone = world.check(read_data=read_data, wanted=Filter(paths=("/x",)))
    assert len(together.damaged_snapshots) == 1
    assert "is missing" in together.errors[0]
    assert (together.errors, together.damaged_snapshots) == (alone.errors, alone.damaged_snapshots)


def test_a_tree_that_no_snapshot_has_is_nobodys_fault(world: World) -> None:
    repository = world.opened()
    with Writer(repository) as writer:
        writer.save(BlobKind.TREE, b"no tree at all")

    assert world.check(processes=3).errors == []


def test_a_signal_ends_it(world: World) -> None:
    class Hasty(Progress):
        """Wants to stop as soon as a pack is read."""

        def check(self) -> None:
            if self.files_done:
                self.stop.set()
            Progress.check(self)

    with pytest.raises(StoppedError):
        world.check(processes=3, progress=Hasty())
