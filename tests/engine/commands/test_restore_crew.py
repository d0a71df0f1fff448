"""Several processes that walk a tree must plan what one plans."""

import os
import random
from pathlib import Path

import pytest

from becalm_engine.commands import restore_crew, unfolding
from becalm_engine.commands.restored import Action, Outcome
from becalm_engine.crew import Crew
from becalm_engine.errors import DamagedError
from becalm_engine.format.tree import FILE
from becalm_engine.ids import BlobID
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.storage.local import LocalStorage
from becalm_engine.volume import target
from tests.engine.commands import planted
from tests.engine.commands.world import World
from tests.engine.volume.picture import differences, picture

FILES = 150


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(LocalStorage(tmp_path / "repository"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Files in folders of many depths, names that lead to one file in distant ones, and what is no file of one blob."""
    folder, content = tmp_path / "source", random.Random(3)
    for number in range(FILES):
        path = folder.joinpath(*(f"d{digit}" for digit in str(number * 37 % 512)), f"f{number}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.randbytes(number))
        if number % 10 == 5:
            (folder / f"other-{number}").hardlink_to(path)
    (folder / "d3" / "large").write_bytes(content.randbytes(3_000_000))
    (folder / "d3" / "link").symlink_to("large")
    os.mkfifo(folder / "d4" / "pipe")
    for at, (below, _, _) in enumerate(os.walk(folder, topdown=False)):
        os.utime(below, ns=(1, 1_500_000_000_000_000_000 + at))
    return folder


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Have work shared early and in small pieces; gives the numbers of directories of each task."""
    given: list[int] = []
    real = Crew.submit

    def submit(crew: Crew[list[object], object], number: int, task: list[object]) -> None:
        if isinstance(task, list):
            given.append(len(task))
        real(crew, number, task)

    monkeypatch.setattr(restore_crew, "_ALONE_ENTRIES", 5)
    monkeypatch.setattr(restore_crew, "_TASK_ENTRIES", 7)
    monkeypatch.setattr(Crew, "submit", submit)
    return given


def counts(outcome: Outcome) -> tuple[int, ...]:
    return (
        outcome.files_restored,
        outcome.files_unchanged,
        outcome.bytes_restored,
        outcome.bytes_unchanged,
        len(outcome.failed),
    )


def test_everything_comes_back_and_folders_keep_their_times(
    world: World, source: Path, tmp_path: Path, tasks: list[int]
) -> None:
    captured = world.backup(source)

    outcome = world.restore_folder(captured, source, tmp_path / "back", processes=3)

    assert differences(picture(source, holes=False), picture(tmp_path / "back", holes=False)) == []
    assert outcome.failed == []
    assert len(tasks) > 10


@pytest.mark.parametrize("overwrite", list(Overwrite))
def test_what_is_there_is_judged_as_by_one_process(
    world: World, source: Path, tmp_path: Path, overwrite: Overwrite
) -> None:
    captured = world.backup(source)
    outcomes = []
    for processes in (1, 3):
        back = tmp_path / f"back-{processes}"
        world.restore_folder(captured, source, back)
        for path in sorted(back.rglob("f*3")):
            path.write_bytes(b"changed")
        for path in sorted(back.rglob("f*4")):
            path.unlink()
        outcomes.append(
            world.restore_folder(captured, source, back, processes=processes, overwrite=overwrite)
        )

    one, three = map(counts, outcomes)
    assert one == three
    pictures = [picture(tmp_path / f"back-{processes}", holes=False) for processes in (1, 3)]
    if overwrite is Overwrite.ALWAYS:
        assert differences(*pictures) == []
    assert pictures[0].keys() == pictures[1].keys()


def _spoil_links(back: Path) -> None:
    """Change some files that have two names, separate others from their second name, and take that from others."""
    files = sorted(back.rglob("f*5"))
    for path in files[::3]:
        path.write_bytes(b"changed")
    for path in files[1::3]:
        other = back / path.name.replace("f", "other-")
        other.unlink()
        other.write_bytes(path.read_bytes()[::-1])
    for path in files[2::3]:
        path.unlink()


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("overwrite", [Overwrite.ALWAYS, Overwrite.IF_CHANGED])
def test_names_of_one_file_that_were_changed_or_separated_come_together_again(
    world: World, source: Path, tmp_path: Path, processes: int, overwrite: Overwrite
) -> None:
    captured, back = world.backup(source), tmp_path / "back"
    world.restore_folder(captured, source, back)
    _spoil_links(back)

    outcome = world.restore_folder(captured, source, back, processes=processes, overwrite=overwrite)

    assert outcome.failed == []
    assert differences(picture(source, holes=False), picture(back, holes=False)) == []


def test_each_path_is_told_once_and_in_the_same_order_each_time(
    world: World, source: Path, tmp_path: Path
) -> None:
    captured = world.backup(source)
    told: list[list[tuple[Action, str]]] = []
    for processes in (1, 2, 3):
        heard: list[tuple[Action, str]] = []
        world.restore_folder(
            captured,
            source,
            tmp_path / f"back-{processes}",
            processes=processes,
            listen=lambda action, path, _, heard=heard: heard.append((action, path)),
        )
        told.append(heard)

    assert len(told[0]) == len(set(told[0]))
    assert sorted(told[0]) == sorted(told[1]) == sorted(told[2])


def test_a_dry_run_makes_nothing(world: World, source: Path, tmp_path: Path) -> None:
    captured = world.backup(source)

    dry = world.restore_folder(captured, source, tmp_path / "dry", processes=3, dry_run=True)
    real = world.restore_folder(captured, source, tmp_path / "back", processes=3)

    assert list((tmp_path / "dry").iterdir()) == []
    assert counts(dry) == counts(real)


def test_a_directory_that_cannot_be_read_or_made_costs_what_is_in_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = planted.plant(world, [planted.node(b"f"), planted.folder(b"lost", BlobID(bytes(32)))])
    tree = planted.plant(world, [planted.folder(b"d%d" % number, inner) for number in range(20)])
    real = target._enter

    def enter(folder: int, name: bytes) -> int:
        if name == b"d4":
            raise PermissionError(13, "Permission denied")
        return real(folder, name)

    monkeypatch.setattr(target, "_enter", enter)

    alone = world.restore(tree, tmp_path / "one", processes=1)
    together = world.restore(tree, tmp_path / "three", processes=3)

    assert sorted(together.failed) == sorted(alone.failed)
    assert "/d4: Permission denied" in together.failed
    assert sum("/lost: blob" in text for text in together.failed) == 19
    assert counts(together) == counts(alone)


def test_what_a_hostile_tree_holds_is_refused_in_each_process(world: World, tmp_path: Path) -> None:
    inner = planted.plant(world, [planted.node(b".."), planted.node(b"fine"), planted.node(b"fine")])
    folders = [planted.folder(b"d%d" % number, inner) for number in range(40)]

    outcome = world.restore(planted.plant(world, folders), tmp_path / "back", processes=3)

    assert sum("refused: it could lead out" in text for text in outcome.failed) == 40
    assert sum("the snapshot has it twice" in text for text in outcome.failed) == 40
    assert len(list((tmp_path / "back").rglob("fine"))) == 40


def test_a_tree_that_unfolds_without_end_ends_the_restore(world: World, tmp_path: Path) -> None:
    tree = planted.plant(world, [planted.node(b"f%d" % number, FILE) for number in range(3000)])
    for _ in range(6):
        tree = planted.plant(world, [planted.folder(b"d%d" % number, tree) for number in range(20)])

    with pytest.raises(DamagedError, match="unfold to"):
        world.restore(tree, tmp_path / "back", processes=2)


def test_what_comes_again_in_different_processes_is_counted_together(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfolding, "_MOST_REPEATED", 180)
    monkeypatch.setattr(unfolding, "_MOST_ENTRIES", 50)
    monkeypatch.setattr(unfolding, "_MOST_TIMES", 1)
    inner = planted.plant(world, [planted.node(b"f%d" % number) for number in range(10)])
    tree = planted.plant(world, [planted.folder(b"d%d" % number, inner) for number in range(20)])

    with pytest.raises(DamagedError, match="unfold to"):
        world.restore(tree, tmp_path / "back", processes=3)
