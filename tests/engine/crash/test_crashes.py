"""Every command that changes a repository, killed at each of its calls to the store, before and after it.

However a run ends: nothing is damaged, every snapshot can be restored, and the same command comes to its end.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from becalm_engine.commands.check import check
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.walk import Walk
from becalm_engine.errors import EngineError, RepositoryExistsError
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID
from becalm_engine.repository import snapshots
from becalm_engine.repository.reader import load_blob
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from becalm_engine.storage.memory import MemoryStorage
from tests.compat.programs import Program, restic
from tests.engine.commands.world import restore
from tests.engine.crash import plays
from tests.engine.crash.crashing import CrashingStorage, Killed
from tests.engine.crash.plays import PLAYS, Files, Play, opened
from tests.engine.repository.repositories import PASSWORD
from tests.engine.volume.picture import Entry, differences, picture

Shape = tuple[frozenset[object], frozenset[tuple[FileKind, int]]]
Content = dict[bytes, tuple[str, bytes]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def newest(tmp_path: Path) -> Callable[[Path], Program]:
    def make(repository: Path) -> Program:
        found = restic("0.19", repository, tmp_path / "cache")
        return Program(found.binary, found.repository, {**found.environment, "RESTIC_PASSWORD": PASSWORD})

    return make


def stored_in(files: Files) -> MemoryStorage:
    storage = MemoryStorage()
    storage.files.update(files)
    return storage


def crashes(play: Play) -> Iterator[tuple[str, Files]]:
    """Yield what every crash leaves, without the locks, which people remove."""
    for after in (False, True):
        at, survived = 0, False
        while not survived:
            at += 1
            storage = stored_in(play.files)
            dying = CrashingStorage(storage, at=at, after=after)
            try:
                play.run(dying)
            except (Killed, EngineError):
                assert dying.dead
            survived = not dying.dead
            files = {key: data for key, data in storage.files.items() if key[0] is not FileKind.LOCK}
            yield f"killed {'after' if after else 'before'} call {at}", files


def content_of(files: Files) -> dict[str, Content]:
    """Return all that each snapshot holds, by its name."""
    repository = opened(stored_in(files))
    every = snapshots.list_snapshots(repository)
    repository.load_index()

    def content(node: Node) -> bytes:
        return b"".join(load_blob(repository, blob) for blob in node.content)

    def held(tree: BlobID) -> dict[bytes, tuple[str, bytes]]:
        found, walk = {}, Walk(repository, tree)
        for node in walk:
            found[walk.path] = (node.type, content(node))
        return found

    return {stored.name: held(stored.snapshot.tree) for stored in every}


def faults_of(files: Files) -> list[str]:
    repository = opened(stored_in(files))
    return check(repository, read_data=True, progress=Progress(), say=lambda _: None).errors


def shape_of(files: Files, play: Play) -> Shape:
    """Return what tells states apart: which old files are gone, and how many new ones of each kind there are."""
    added = Counter(kind for kind, _ in files.keys() - play.files.keys())
    return frozenset(play.files.keys() - files.keys()), frozenset(added.items())


def finished(play: Play, files: Files) -> Files:
    """Run the command again, to its end."""
    storage = stored_in(files)
    play.run(storage)
    return storage.files


def holds(expected: dict[str, Content], actual: dict[str, Content], play: Play) -> bool:
    """Say whether all snapshots are there as they were, but for those that were to go."""
    kept = expected.keys() - play.may_go
    return kept <= actual.keys() and all(
        actual[name] == content for name, content in expected.items() if name in actual
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [make for make in PLAYS if make is not plays.init], ids=lambda make: make.__name__
)
def test_a_crash_anywhere_costs_nothing(make: Callable[[Path], Play], source: Path) -> None:
    play = make(source)
    before = {} if play.damaged_before else content_of(play.files)
    clean = content_of(finished(play, play.files))

    for label, files in crashes(play):
        if not play.damaged_before:
            assert faults_of(files) == [], label
            assert holds(before, content_of(files), play), label
        done = finished(play, files)
        assert faults_of(done) == [], label
        after = content_of(done)
        assert holds(before, after, play), label
        # a backup that was killed once its snapshot was there makes another one
        assert set(map(str, after.values())) == set(map(str, clean.values())), label


@pytest.mark.slow
def test_a_prune_that_was_killed_is_completed_by_the_next(source: Path) -> None:
    play = plays.pruning(source)
    needed = Counter(kind for kind, _ in finished(play, finished(play, play.files)))

    for label, files in crashes(play):
        done = Counter(kind for kind, _ in finished(play, finished(play, files)))
        assert done[FileKind.PACK] <= needed[FileKind.PACK] + 2, label
        assert done[FileKind.INDEX] <= needed[FileKind.INDEX] + 1, label


def test_an_init_that_was_killed_is_completed_by_the_next(source: Path) -> None:
    play = plays.init(source)

    for label, files in crashes(play):
        storage = stored_in(files)
        if any(kind is FileKind.CONFIG for kind, _ in files):
            with pytest.raises(RepositoryExistsError):
                play.run(storage)
            assert storage.files == files, label
        else:
            play.run(storage)
        assert faults_of(storage.files) == [], label


# --- what restic says of it


@pytest.mark.slow
@pytest.mark.restic
@pytest.mark.parametrize(
    "make", [plays.first_backup, plays.incremental_backup, plays.forgetting, plays.pruning, plays.mending_index],
    ids=lambda make: make.__name__,
)  # fmt: skip
def test_restic_finds_every_state_sound_and_every_snapshot_is_restored(
    make: Callable[[Path], Play],
    source: Path,
    tmp_path: Path,
    newest: Callable[[Path], Program],
) -> None:
    play = make(source)
    expected = restored(play.files, tmp_path / "expected")
    states: dict[Shape, tuple[str, Files]] = {}
    for label, files in crashes(play):
        states.setdefault(shape_of(files, play), (label, files))

    def judge(state: tuple[int, tuple[str, Files]]) -> None:
        number, (label, files) = state
        folder = tmp_path / f"state{number}"
        write(files, folder / "repository")
        newest(folder / "repository").run("check", "--read-data", "--no-lock", "--no-cache")
        found = restored(files, folder / "restored")
        assert expected.keys() - play.may_go <= found.keys(), label
        for name in expected.keys() & found.keys():
            assert differences(expected[name], found[name]) == [], label
        shutil.rmtree(folder)

    assert len(states) > 2
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(judge, enumerate(states.values())))


def restored(files: Files, into: Path) -> dict[str, dict[bytes, Entry]]:
    """Restore every snapshot, and return what each looks like."""
    repository = opened(stored_in(files))
    every = snapshots.list_snapshots(repository)
    repository.load_index()
    for stored in every:
        (into / stored.name).mkdir(parents=True)
        assert restore(repository, stored.snapshot.tree, into / stored.name).failed == []
    return {stored.name: picture(into / stored.name) for stored in every}


def write(files: Files, folder: Path) -> None:
    """Lay a repository out as a folder."""
    LocalStorage(folder).create()
    for (kind, name), data in files.items():
        path = Path(folder, kind.value)
        if kind is FileKind.PACK:
            path /= name[:2]
        (path / name if name else path).write_bytes(data)
