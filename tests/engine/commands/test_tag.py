from pathlib import Path

import pytest

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.tag import TagChange, tag
from becalm_engine.errors import UsageError
from becalm_engine.format import snapshot as snapshot_format
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import FileID
from becalm_engine.repository import snapshots
from becalm_engine.storage.base import FileKind
from tests.engine.commands.planted import plant
from tests.engine.commands.world import World


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (TagChange(new=("x",)), ("a", "b"), ("x",)),
        (TagChange(new=()), ("a", "b"), ()),
        (TagChange(add=("c", "a")), ("a", "b"), ("a", "b", "c")),
        (TagChange(remove=("a",)), ("a", "b", "c"), ("c", "b")),
        (TagChange(remove=("x",)), ("a", "b"), ("a", "b")),
        (TagChange(add=("c",), remove=("c", "a")), ("a",), ()),
    ],
)
def test_tags_change_as_in_restic(change: TagChange, before: tuple[str, ...], after: tuple[str, ...]) -> None:
    assert change.applied(before) == after


@pytest.mark.parametrize(
    "change", [TagChange(), TagChange(new=(), add=("a",)), TagChange(new=(), remove=("a",))]
)
def test_a_change_that_says_nothing_or_two_things_is_refused(change: TagChange) -> None:
    with pytest.raises(UsageError):
        change.refuse_senseless()


def test_a_snapshot_is_replaced_and_its_first_id_kept(world: World, tmp_path: Path) -> None:
    world.backup(tmp_path, tags=("a",))
    [first] = world.snapshots()

    for added in ("b", "c"):
        [(old, new)] = tag(world.opened(), world.snapshots(), TagChange(add=(added,)), Progress())
        assert old.name != new.name

    [last] = world.snapshots()
    assert last == new
    assert last.snapshot.tags == ("a", "b", "c")
    assert last.snapshot.original == bytes.fromhex(first.name)
    assert last.snapshot.tree == first.snapshot.tree
    assert last.snapshot.summary == first.snapshot.summary


def test_what_has_the_tags_already_stays_the_same_file(world: World, tmp_path: Path) -> None:
    world.backup(tmp_path, tags=("a",))

    assert (
        list(tag(world.opened(), world.snapshots(), TagChange(add=("a",), remove=("x",)), Progress())) == []
    )


def test_the_zone_and_what_others_wrote_stays(world: World) -> None:
    repository = world.opened()
    text = b'{"time":"2026-01-02T03:04:05+01:00","tree":"' + b"0" * 64 + b'","paths":["/x"],"label":"l"}'
    repository.save_document(FileKind.SNAPSHOT, text)

    [(_, new)] = tag(repository, world.snapshots(), TagChange(new=("t",)), Progress())

    stored = repository.load_document(FileKind.SNAPSHOT, new.name)
    assert b'"2026-01-02T03:04:05+01:00"' in stored
    assert b'"label":"l"' in stored
    assert snapshot_format.decode(stored).tags == ("t",)


def test_of_two_snapshots_that_say_the_same_one_is_left(world: World) -> None:
    tree = plant(world, [])
    twin = Snapshot(10**18, tree, ("/x",), tags=("t",), original=FileID(bytes(32)))
    for _ in range(2):
        snapshots.save_snapshot(world.opened(), twin)

    list(tag(world.opened(), world.snapshots(), TagChange(new=("t",)), Progress()))

    [left] = world.snapshots()
    assert left.snapshot == twin
