import pytest

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.stats import BLOBS_PER_FILE, FILES, MODES, RAW_DATA, RESTORE_SIZE, Sizes, count
from becalm_engine.errors import DamagedError
from becalm_engine.ids import BlobID
from tests.engine.commands.planted import folder, node, plant, plant_content, plant_deep
from tests.engine.commands.world import World


def counted(world: World, mode: str, *roots: BlobID) -> Sizes:
    return count(world.opened(), roots, mode, Progress())


@pytest.fixture
def root(world: World) -> BlobID:
    one, two = plant_content(world, b"x" * 100), plant_content(world, b"y" * 50)
    inner = plant(
        world,
        [
            node(b"both", size=150, content=(one, two), links=1),
            node(b"first", size=100, content=(one,), links=2, inode=7, device_id=1),
            node(b"second", size=100, content=(one,), links=2, inode=7, device_id=1),
        ],
    )
    return plant(world, [folder(b"d", inner), node(b"first", size=100, content=(one,), links=1)])


def test_restore_size_counts_hard_links_once(world: World, root: BlobID) -> None:
    sizes = counted(world, RESTORE_SIZE, root)

    assert (sizes.snapshots, sizes.files, sizes.total, sizes.blobs) == (1, 5, 350, 0)
    assert counted(world, RESTORE_SIZE, root, root).total == 700


def test_files_by_contents_counts_each_content_once(world: World, root: BlobID) -> None:
    sizes = counted(world, FILES, root, root)

    # the directory's empty content is one of them, as in restic
    assert (sizes.snapshots, sizes.files, sizes.total) == (2, 3, 250)


def test_blobs_per_file_counts_each_blob_for_each_path(world: World, root: BlobID) -> None:
    sizes = counted(world, BLOBS_PER_FILE, root, root)

    assert (sizes.files, sizes.blobs, sizes.total) == (2, 3, 250)


def test_raw_data_counts_what_lies_in_the_repository(world: World, root: BlobID) -> None:
    sizes = counted(world, RAW_DATA, root, root)

    stored = {location.blob.id: location.blob for location in world.opened().index}
    assert sizes.blobs == len(stored) == 4
    assert sizes.total == sum(blob.stored_bytes for blob in stored.values())
    assert sizes.uncompressed == sum(blob.content_bytes + 32 for blob in stored.values())
    assert sizes.ratio == pytest.approx(sizes.compressed_blobs_plain / sizes.compressed_blobs)
    assert sizes.progress_percent == 100
    assert 0 < sizes.saving_percent < 100


def test_nothing_counts_as_nothing(world: World) -> None:
    for mode in MODES:
        sizes = counted(world, mode)
        assert (sizes.snapshots, sizes.total, sizes.ratio, sizes.saving_percent) == (0, 0, 0, 0)


def test_a_blob_that_is_missing_is_an_error(world: World) -> None:
    root = plant(world, [node(b"file", size=1, content=(BlobID(bytes(32)),))])

    for mode in (BLOBS_PER_FILE, RAW_DATA):
        with pytest.raises(DamagedError, match="in no index"):
            counted(world, mode, root)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_trees_may_be_deep(world: World, mode: str) -> None:
    root = plant_deep(world, 3000, [node(b"file", size=3, content=(plant_content(world, b"abc"),))])

    assert counted(world, mode, root).total >= 3
