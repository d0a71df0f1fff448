import pytest

from becalm_engine.commands.find import Finder, Ids, Occurrence, Wanted, find_ids, ids_of_packs, packs_of
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import EngineError, SnapshotMissingError
from becalm_engine.ids import BlobID
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Repository
from tests.engine.commands.planted import folder, lose, node, plant, plant_content
from tests.engine.commands.world import World


@pytest.fixture
def tree(world: World) -> BlobID:
    deeper = plant(world, [node(b"Notes.TXT", mtime=30), node(b"other")])
    inner = plant(world, [folder(b"deeper", deeper), node(b"notes.txt", mtime=20), node(b"z")])
    return plant(world, [folder(b"a", inner), folder(b"b", inner), node(b"notes.txt", mtime=10)])


class Told:
    def __init__(self) -> None:
        self.paths: list[bytes] = []

    def __call__(self, _tree: BlobID, path: bytes, _error: EngineError) -> None:
        self.paths.append(path)


def find(world: World, tree: BlobID, *patterns: str, **fields: object) -> list[bytes]:
    finder = Finder(world.opened(), Wanted(patterns, **fields), Progress())  # type: ignore[arg-type]
    return [path for path, _ in finder.find(tree, Told())]


def test_a_name_is_found_wherever_it_is(world: World, tree: BlobID) -> None:
    assert find(world, tree, "notes.txt") == [b"/a/notes.txt", b"/b/notes.txt", b"/notes.txt"]
    assert find(world, tree, "*.TXT", "z") == [
        b"/a/deeper/Notes.TXT",
        b"/a/z",
        b"/b/deeper/Notes.TXT",
        b"/b/z",
    ]


def test_case_can_be_ignored(world: World, tree: BlobID) -> None:
    assert len(find(world, tree, "NOTES.*", ignore_case=True)) == 5


def test_what_lies_below_what_fits_fits_too(world: World, tree: BlobID) -> None:
    assert find(world, tree, "deeper")[:3] == [b"/a/deeper", b"/a/deeper/Notes.TXT", b"/a/deeper/other"]


def test_an_absolute_pattern_means_one_place(world: World, tree: BlobID) -> None:
    assert find(world, tree, "/a/notes.txt") == [b"/a/notes.txt"]
    assert find(world, tree, "/b/deeper/") == [b"/b/deeper", b"/b/deeper/Notes.TXT", b"/b/deeper/other"]
    assert find(world, tree, "/*/**/other") == [b"/a/deeper/other", b"/b/deeper/other"]


def test_an_absolute_pattern_reads_no_directory_that_is_not_on_its_way(world: World, tree: BlobID) -> None:
    lost = plant(world, [node(b"x")])
    root = plant(world, [folder(b"a", tree), folder(b"c", lost)])
    lose(world, lost)
    told = Told()

    finder = Finder(world.opened(), Wanted(("/a/a/z",)), Progress())

    assert [path for path, _ in finder.find(root, told)] == [b"/a/a/z"]
    assert told.paths == []


def test_times_are_those_of_the_content(world: World, tree: BlobID) -> None:
    assert find(world, tree, "*", oldest_nanos=20, newest_nanos=20) == [b"/a/notes.txt", b"/b/notes.txt"]
    assert find(world, tree, "notes.txt", newest_nanos=10) == [b"/notes.txt"]


def test_a_directory_without_a_hit_is_read_once_for_all_snapshots(
    world: World, tree: BlobID, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = plant(world, [folder(b"new", plant(world, [node(b"hit")])), folder(b"old", tree)])
    later = plant(world, [folder(b"old", tree)])
    read: list[BlobID] = []

    def noted(repository: Repository, wanted: BlobID) -> object:
        read.append(wanted)
        return load_tree(repository, wanted)

    monkeypatch.setattr("becalm_engine.commands.walk.load_tree", noted)
    finder = Finder(world.opened(), Wanted(("hit",)), Progress())

    assert [path for path, _ in finder.find(root, Told())] == [b"/new/hit"]
    read.clear()
    assert list(finder.find(later, Told())) == []
    assert read == [later]
    assert [path for path, _ in finder.find(root, Told())] == [b"/new/hit"]


def test_a_directory_that_cannot_be_read_is_told_for_each_snapshot(world: World) -> None:
    lost = plant(world, [node(b"x")])
    root = plant(world, [folder(b"c", lost), node(b"x")])
    lose(world, lost)
    told = Told()
    finder = Finder(world.opened(), Wanted(("x",)), Progress())

    for _ in range(2):
        assert [path for path, _ in finder.find(root, told)] == [b"/x"]

    assert told.paths == [b"/c", b"/c"]


def occurrences(world: World, tree: BlobID, ids: Ids) -> list[Occurrence]:
    return list(find_ids(world.opened(), tree, ids, Told(), Progress()))


def test_ids_are_found_in_full_and_by_their_beginning(world: World) -> None:
    blob = plant_content(world, b"content")
    inner = plant(world, [node(b"file", size=7, content=(blob,))])
    root = plant(world, [folder(b"a", inner), folder(b"b", inner)])
    places = [Occurrence("blob", blob, b"/a/file", inner), Occurrence("blob", blob, b"/b/file", inner)]

    assert occurrences(world, root, Ids(blobs={blob.hex()})) == places
    assert occurrences(world, root, Ids(blobs={blob.hex()[:8]})) == places
    assert [found.path for found in occurrences(world, root, Ids(trees={inner.hex()}))] == [b"/a", b"/b"]
    assert occurrences(world, root, Ids(trees={root.hex()[:8]})) == [Occurrence("tree", root, b"/")]
    assert occurrences(world, root, Ids(blobs={inner.hex()})) == []


def test_the_content_of_a_pack_is_found(world: World) -> None:
    blob = plant_content(world, b"content")
    root = plant(world, [node(b"file", size=7, content=(blob,))])
    repository = world.opened()
    packs = {location.blob.id: location.pack.hex() for location in repository.index}

    data, trees = ids_of_packs(repository, [packs[blob]]), ids_of_packs(repository, [packs[root][:8]])

    assert (data.blobs, data.trees) == ({blob.hex()}, set())
    assert (trees.blobs, trees.trees) == (set(), {root.hex()})
    with pytest.raises(SnapshotMissingError, match="no pack 00000000"):
        ids_of_packs(repository, ["00000000", packs[blob]])


def test_the_pack_of_an_id_is_told(world: World) -> None:
    blob = plant_content(world, b"content")
    repository, lines = world.opened(), list[str]()
    ids = Ids(blobs={blob.hex(), "0" * 64})

    packs_of(repository, ids, lines.append)

    location = repository.index.find(blob)
    assert location is not None
    assert lines[0] == "Object data with type 00000000 not found in the index"
    assert lines[1] == f"Object belongs to pack {location.pack.hex()}"
    assert f"<Blob (data) {blob.hex()[:8]}, offset 0, length" in lines[2]


def test_the_same_directory_is_searched_below_every_name_that_decides(world: World, tree: BlobID) -> None:
    root = plant(world, [folder(b"x", tree), folder(b"y", tree)])

    assert find(world, root, "b/z") == [b"/x/b/z", b"/y/b/z"]
    assert find(world, root, "y/b/z") == [b"/y/b/z"]
    assert find(world, root, "y/a/deeper/other") == [b"/y/a/deeper/other"]
    assert find(world, root, "y/**/other") == [b"/y/a/deeper/other", b"/y/b/deeper/other"]
