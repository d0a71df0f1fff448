import dataclasses
from pathlib import Path

import pytest

from becalm_engine.commands.backup import Captured
from becalm_engine.commands.commit import commit
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import CommitPlan, PlannedSnapshot, summary_of
from becalm_engine.errors import DamagedError, StorageFullError, UsageError
from becalm_engine.format.snapshot import to_document
from becalm_engine.storage.base import FileKind
from tests.engine.commands.world import World
from tests.engine.repository.faulty import FaultyStorage


@pytest.fixture
def storage() -> FaultyStorage:
    return FaultyStorage()


@pytest.fixture
def world(storage: FaultyStorage) -> World:
    return World(storage)


@pytest.fixture
def group(world: World, place: Path) -> list[Captured]:
    for name in ("db", "web"):
        (place / name).mkdir()
        (place / name / "file").write_text(name)
    return [world.capture(place / name) for name in ("db", "web")]


def plan_of(captured: list[Captured]) -> CommitPlan:
    return CommitPlan(
        tuple(
            PlannedSnapshot(
                tree=one.tree.hex(),
                hostname="shop",
                paths=one.paths,
                time="2026-11-01T03:00:00Z",
                tags=("backup=nightly",),
                summary=summary_of(one.report),
            )
            for one in captured
        )
    )


def at(plan: CommitPlan, text: str) -> CommitPlan:
    return CommitPlan(tuple(dataclasses.replace(one, time=text) for one in plan.snapshots))


def commit_all(world: World, captured: list[Captured]) -> list[str]:
    return commit(world.opened(), plan_of(captured), progress=Progress(), program_version="becalm test")


def test_a_capture_alone_shows_nothing(world: World, group: list[Captured]) -> None:
    assert group[0].report.tree == group[0].tree.hex()
    assert world.snapshots() == []


def test_a_commit_publishes_the_whole_group(world: World, group: list[Captured], place: Path) -> None:
    written = commit_all(world, group)

    stored = world.snapshots()
    by_tree = {one.snapshot.tree: one.name for one in stored}
    assert [by_tree[captured.tree] for captured in group] == written
    assert {one.snapshot.hostname for one in stored} == {"shop"}
    assert {one.snapshot.tags for one in stored} == {("backup=nightly",)}
    assert world.check().errors == []
    world.restore_folder(group[0], place / "db", place / "back")
    assert (place / "back" / "file").read_text() == "db"


def test_committing_again_writes_nothing_twice(world: World, group: list[Captured]) -> None:
    first = commit_all(world, group)

    assert commit_all(world, group) == first
    assert len(world.snapshots()) == 2


def test_a_snapshot_keeps_the_offset_of_the_plan_and_is_the_same_in_any_other(
    world: World, group: list[Captured]
) -> None:
    for text in ("2026-11-01T00:30:00+01:00", "2026-10-31T23:30:00Z"):
        plan = at(plan_of(group), text)
        commit(world.opened(), plan, progress=Progress(), program_version="becalm test")

    times = [to_document(one.snapshot)["time"] for one in world.snapshots()]
    assert times == ["2026-11-01T00:30:00+01:00"] * 2


def test_a_commit_that_was_cut_off_is_completed_by_the_next(world: World, group: list[Captured]) -> None:
    half = commit_all(world, group[:1])

    whole = commit_all(world, group)

    assert half == whole[:1]
    assert len(world.snapshots()) == 2


@pytest.mark.parametrize("what", ["file", "tree"])
def test_nothing_is_published_if_a_blob_of_the_group_is_missing(
    world: World, storage: FaultyStorage, group: list[Captured], place: Path, what: str
) -> None:
    indexes = [key for key in storage.files if key[0] is FileKind.INDEX]
    lost = world.capture(place / "db", force=True) if what == "tree" else group[1]
    del storage.files[indexes[-1]]  # as after a prune that saw no snapshot

    with pytest.raises(DamagedError):
        commit_all(world, [group[0], lost, group[1]])

    assert world.snapshots() == []


def test_a_group_that_cannot_be_written_to_its_end_is_taken_back(
    world: World, storage: FaultyStorage, group: list[Captured]
) -> None:
    seen = []

    def second_fails(kind: FileKind, name: str) -> StorageFullError | None:
        seen.extend([name] if kind is FileKind.SNAPSHOT else [])
        return StorageFullError("full") if len(seen) == 2 else None

    storage.on_save = second_fails

    with pytest.raises(StorageFullError):
        commit_all(world, group)

    assert world.snapshots() == []


def test_an_empty_plan_is_refused(world: World) -> None:
    with pytest.raises(UsageError):
        commit_all(world, [])


def test_two_volumes_of_the_same_content_get_a_snapshot_each(world: World, group: list[Captured]) -> None:
    entry = plan_of(group[:1]).snapshots[0]
    plan = CommitPlan((entry, dataclasses.replace(entry, paths=("/data/other",))))

    first, second = commit(world.opened(), plan, progress=Progress(), program_version="becalm test")

    assert first != second
    assert {one.name for one in world.snapshots()} == {first, second}
