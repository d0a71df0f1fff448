import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from becalm_engine.storage.base import FileKind
from tests.engine.commands.world import World
from tests.engine.storage.memory import MemoryStorage
from tests.engine.volume import sources
from tests.engine.volume.picture import differences, picture

NANOS = 1_000_000_000

names = st.binary(min_size=1, max_size=12).filter(
    lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name
)
modes = st.integers(0, 0o7777)
times = st.integers(-(2**31) * NANOS, 2**33 * NANOS)
contents = (
    st.binary(max_size=50)
    | st.integers(1, 3).map(lambda n: bytes(n * 300_000))
    | st.integers(1, 3).map(lambda n: b"same" * n * 70_000)
)
links = st.binary(min_size=1, max_size=30).filter(lambda to: b"\0" not in to)
files = st.tuples(st.just("file"), contents, modes, times)
symlinks = st.tuples(st.just("link"), links, times)
tree = st.recursive(
    st.dictionaries(names, files | symlinks | st.just(("fifo",)), max_size=4),
    lambda inner: st.dictionaries(
        names, files | symlinks | st.tuples(st.just("folder"), inner, modes, times), max_size=4
    ),
    max_leaves=8,
)
Tree = dict[bytes, tuple[object, ...]]


def write(folder: bytes, entries: Tree) -> None:
    for name, entry in entries.items():
        path = os.path.join(folder, name)  # noqa: PTH118  raw bytes, which pathlib does not hold
        match entry:
            case ("file", bytes(content), int(mode), int(nanos)):
                with Path(os.fsdecode(path)).open("wb") as file:
                    file.write(content)
                Path(os.fsdecode(path)).chmod(mode)
                os.utime(path, ns=(nanos, nanos))
            case ("link", bytes(to), int(nanos)):
                os.symlink(to, path)  # noqa: PTH211  raw bytes, which pathlib does not hold
                os.utime(path, ns=(nanos, nanos), follow_symlinks=False)
            case ("fifo",):
                os.mkfifo(path)
            case ("folder", dict(inside), int(mode), int(nanos)):
                Path(os.fsdecode(path)).mkdir()
                write(path, inside)
                Path(os.fsdecode(path)).chmod(mode if os.geteuid() == 0 else mode | stat.S_IRWXU)
                os.utime(path, ns=(nanos, nanos))


@given(tree)
@settings(max_examples=40)
def test_any_tree_comes_back_as_it_was(entries: Tree) -> None:
    world = World()
    with tempfile.TemporaryDirectory() as scratch:
        source, back = Path(scratch, "source"), Path(scratch, "back")
        source.mkdir()
        write(os.fsencode(source), entries)

        captured = world.backup(source)
        outcome = world.restore_folder(captured, source, back, verify=True)

        assert world.told == []
        assert outcome.failed == []
        assert differences(picture(source), picture(back)) == []
        assert world.check().errors == []


@pytest.mark.slow
def test_everything_that_a_file_system_holds_comes_back(world: World, place: Path) -> None:
    sources.write_odd(place / "source" / "odd")
    sources.write_deep(place / "source" / "deep")
    sources.write_sparse(place / "source" / "sparse", sources.GIB)

    captured = world.backup(place / "source")
    outcome = world.restore_folder(captured, place / "source", place / "back", verify=True, sparse=True)

    assert (world.told, outcome.failed, outcome.problems.counts) == ([], [], {})
    assert differences(picture(place / "source"), picture(place / "back")) == []


def test_what_has_not_changed_is_not_read_again(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources.write_odd(place / "source")
    first = world.backup(place / "source")
    monkeypatch.setattr("becalm_engine.commands.folder.open_file", None)

    second = world.backup(place / "source")

    # the folders above it are everybody's
    assert world.tree_at(second, place / "source")[0] == world.tree_at(first, place / "source")[0]
    assert second.report.files_unmodified == first.report.files_new
    assert (second.report.files_new, second.report.files_changed, second.report.data_blobs) == (0, 0, 0)
    assert second.report.parent == world.snapshots()[0].name


def test_a_changed_file_is_stored_and_the_others_are_kept(world: World, place: Path) -> None:
    (place / "source").mkdir()
    (place / "source" / "a").write_text("a")
    (place / "source" / "b").write_text("b")
    world.backup(place / "source")
    (place / "source" / "b").write_text("changed")

    second = world.backup(place / "source")

    assert (second.report.files_changed, second.report.files_unmodified) == (1, 1)
    world.restore_folder(second, place / "source", place / "back")
    assert differences(picture(place / "source"), picture(place / "back")) == []


def test_a_forced_backup_reads_all(world: World, place: Path) -> None:
    (place / "file").write_text("x")
    world.backup(place / "file")

    assert world.backup(place / "file", force=True).report.files_new == 1


def test_a_blob_that_has_gone_from_the_repository_is_stored_again(world: World, place: Path) -> None:
    (place / "file").write_text("precious")
    world.backup(place / "file")
    for key in [key for key in world.storage.files if key[0].name in ("PACK", "INDEX")]:  # type: ignore[attr-defined]  # the storage in memory
        del world.storage.files[key]  # type: ignore[attr-defined]

    second = world.backup(place / "file")

    assert second.report.data_blobs == 1
    world.restore_folder(second, place, place / "back")
    assert (place / "back" / "file").read_text() == "precious"


def test_a_second_backup_asks_the_store_for_few_things_however_many_folders_there_are(place: Path) -> None:
    class Counting(MemoryStorage):
        """Counts reads: on S3 each is a round trip, while the application stands still."""

        reads = 0

        def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
            self.reads += 1
            return super().load_range(kind, name, offset=offset, length=length)

    storage = Counting()
    world = World(storage)
    sources.write_many(place / "source", 300, each=1)
    world.backup(place / "source")
    storage.reads = 0

    second = world.backup(place / "source")

    assert second.report.files_unmodified == 300
    assert storage.reads <= 5
