"""Every command that changes a repository, killed at each of its calls to the store, before and after it.

However a run ends: nothing is damaged, every snapshot can be restored, and the same command comes to its end.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from becalm_engine.errors import RepositoryExistsError
from becalm_engine.storage.base import FileKind
from tests.compat.programs import Program, restic
from tests.engine.crash import edits, plays
from tests.engine.crash.edits import EDITS
from tests.engine.crash.plays import PLAYS, Files, Play
from tests.engine.crash.states import (
    Shape,
    content_of,
    crashes,
    faults_of,
    finished,
    lost,
    restored,
    shape_of,
    stored_in,
    write,
)
from tests.engine.repository.repositories import PASSWORD
from tests.engine.volume.picture import differences


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def newest(tmp_path: Path) -> Callable[[Path], Program]:
    def make(repository: Path) -> Program:
        found = restic("0.19", repository, tmp_path / "cache")
        return Program(found.binary, found.repository, {**found.environment, "RESTIC_PASSWORD": PASSWORD})

    return make


@pytest.mark.slow
@pytest.mark.parametrize("make", [*PLAYS, *EDITS], ids=lambda make: make.__name__)
def test_a_crash_anywhere_costs_nothing(make: Callable[[Path], Play], source: Path) -> None:
    play = make(source)
    before = content_of(play.files) if play.is_readable else {}
    clean = content_of(finished(play, play.files))

    for label, files in crashes(play):
        if not play.damaged_before:
            assert faults_of(files) == [], label
        if play.is_readable:
            assert lost(before, content_of(files), clean, play) == [], label
        done = finished(play, files)
        assert faults_of(done) == [], label
        after = content_of(done)
        assert lost(before, after, clean, play) == [], label
        assert {str(held.content) for held in after.values()} == {
            str(held.content) for held in clean.values()
        }, label
        # a backup that was killed once its snapshot was there makes another one
        assert play.repeats or len(after) == len(clean), label


@pytest.mark.slow
def test_a_prune_that_was_killed_is_completed_by_the_next(source: Path) -> None:
    play = plays.pruning(source)
    needed = Counter(kind for kind, _ in finished(play, finished(play, play.files)))

    for label, files in crashes(play):
        done = Counter(kind for kind, _ in finished(play, finished(play, files)))
        assert done[FileKind.PACK] <= needed[FileKind.PACK] + 2, label
        assert done[FileKind.INDEX] <= needed[FileKind.INDEX] + 1, label


def test_a_recover_that_was_killed_costs_nothing_and_the_next_finds_all(source: Path) -> None:
    play = edits.recovering(source)
    before = content_of(play.files)
    clean = content_of(finished(play, play.files))
    files_found = {str(value) for held in clean.values() for value in held.content.values()}

    for label, files in crashes(play):
        assert faults_of(files) == [], label
        assert lost(before, content_of(files), clean, play) == [], label
        after = content_of(finished(play, files))
        assert files_found <= {str(value) for held in after.values() for value in held.content.values()}, (
            label
        )


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
    "make", [
        plays.first_backup, plays.incremental_backup, plays.forgetting, plays.pruning, plays.mending_index,
        edits.sparse_backup, edits.tagging, edits.rewriting_and_forgetting, edits.copying, edits.committing,
    ],
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
        for name in expected.keys() & found.keys():
            assert differences(expected[name], found[name]) == [], label
        shutil.rmtree(folder)

    assert len(states) > 2
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(judge, enumerate(states.values())))
