from dataclasses import replace

import pytest

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.rewrite import RewriteOptions, Rewritten, TreeRewriter, rewrite
from becalm_engine.commands.walk import Walk
from becalm_engine.errors import DamagedError, UsageError
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.ids import BlobID
from becalm_engine.policy.patterns import Patterns
from becalm_engine.repository import snapshots
from becalm_engine.repository.reader import load_blob
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.repository.writer import Writer
from tests.engine.commands.planted import folder, node, plant, plant_deep
from tests.engine.commands.world import World


@pytest.fixture
def tree(world: World) -> BlobID:
    inner = plant(world, [node(b"a.tmp", size=5), node(b"b", size=7)])
    other = plant(world, [node(b"c", size=11)])
    return plant(world, [folder(b"d", inner), folder(b"e", other), node(b"f.tmp", size=13)])


def without(world: World, tree: BlobID, *patterns: str) -> Rewritten:
    repository = world.opened()
    with Writer(repository) as writer:
        return TreeRewriter(repository, (Patterns(patterns),), writer, Progress()).rewrite(tree)


def paths(world: World, tree: BlobID) -> list[bytes]:
    walk = Walk(world.opened(), tree)
    return [walk.path for _ in walk]


def test_what_fits_is_left_out_wherever_it_is(world: World, tree: BlobID) -> None:
    result = without(world, tree, "*.tmp")

    assert paths(world, result.tree) == [b"/d", b"/d/b", b"/e", b"/e/c"]
    assert (result.files, result.bytes) == (2, 18)


def test_a_directory_goes_with_all_that_is_in_it_and_an_empty_one_stays(world: World, tree: BlobID) -> None:
    assert paths(world, without(world, tree, "/d").tree) == [b"/e", b"/e/c", b"/f.tmp"]
    assert paths(world, without(world, tree, "/d/*", "/e", "/f*").tree) == [b"/d"]


def test_patterns_take_back(world: World, tree: BlobID) -> None:
    assert b"/f.tmp" in paths(world, without(world, tree, "*.tmp", "!/f.tmp").tree)


def test_a_tree_in_which_nothing_fits_stays_the_same_blob(world: World, tree: BlobID) -> None:
    before = len(world.opened().index)

    assert without(world, tree, "nothing") == Rewritten(tree, 4, 36)

    assert len(world.opened().index) == before


def test_names_of_any_bytes_are_matched_raw(world: World) -> None:
    root = plant(world, [node(b"back\\slash"), node(b"\xff"), node(b'quo"te')])

    assert paths(world, without(world, root, r"back\\slash", 'quo"te').tree) == [b"/\xff"]
    assert paths(world, without(world, root, "\udcff").tree) == [b"/back\\slash", b'/quo"te']


def test_what_is_kept_keeps_its_bytes(world: World) -> None:
    kept = b'{"name":"a","type":"file","mtime":"2026-01-02T03:04:05+01:00","later":1.50,"content":[]}'
    with Writer(world.opened()) as writer:
        root = writer.save(
            BlobKind.TREE, b'{"nodes":[' + kept + b',{"name":"b","type":"file","content":[]}]}\n'
        )
        alone = writer.save(BlobKind.TREE, b'{"nodes":[' + kept + b"]}\n")

    assert without(world, root, "b").tree == alone


def test_a_tree_of_another_layout_is_refused_only_if_it_has_to_change(world: World) -> None:
    with Writer(world.opened()) as writer:
        root = writer.save(BlobKind.TREE, b'{"nodes": [{"name":"a","type":"file","content":[]}]}')

    assert without(world, root, "nothing").tree == root
    with pytest.raises(DamagedError, match="not laid out"):
        without(world, root, "a")


@pytest.mark.slow
def test_trees_may_be_deep(world: World) -> None:
    root = plant_deep(world, 2000, [node(b"a"), node(b"b", size=3)])

    result = without(world, root, "a")

    assert paths(world, result.tree)[-1] == b"/d" * 2000 + b"/b"
    assert result.bytes == 3


# --- snapshots


def save(world: World, tree: BlobID, **fields: object) -> StoredSnapshot:
    summary = {"files_new": 3, "total_files_processed": 4, "total_bytes_processed": 36}
    made = Snapshot(10**18, tree, ("/x",), "host", tags=("t",), summary=summary)
    return snapshots.save_snapshot(world.opened(), replace(made, **fields))  # type: ignore[arg-type]


def run(world: World, **options: object) -> list[tuple[StoredSnapshot, StoredSnapshot | None]]:
    settings = RewriteOptions(**options)  # type: ignore[arg-type]
    return list(rewrite(world.opened(), world.snapshots(), settings, Progress()))


EXCLUDES = (Patterns(["*.tmp"]),)


def test_a_rewritten_snapshot_stands_beside_its_original(world: World, tree: BlobID) -> None:
    save(world, tree)

    [(old, new)] = run(world, excludes=EXCLUDES)

    assert new is not None
    assert {stored.name for stored in world.snapshots()} == {old.name, new.name}
    assert new.snapshot.tags == ("t", "rewrite")
    assert new.snapshot.original == bytes.fromhex(old.name)
    assert dict(new.snapshot.summary) == {
        "files_new": 3, "total_files_processed": 2, "total_bytes_processed": 18,
    }  # fmt: skip


def test_forget_replaces_it(world: World, tree: BlobID) -> None:
    save(world, tree)

    [(_, new)] = run(world, hostname="other", time_nanos=2 * 10**18, forget=True)

    assert [stored.name for stored in world.snapshots()] == [new.name if new else ""]
    assert new is not None
    assert (new.snapshot.hostname, new.snapshot.time_nanos) == ("other", 2 * 10**18)
    assert (new.snapshot.tags, new.snapshot.tree) == (("t",), tree)


def test_a_dry_run_writes_nothing_and_says_what_would_change(world: World, tree: BlobID) -> None:
    save(world, tree)
    save(world, plant(world, [node(b"kept")]), time_nanos=1)
    files = dict(world.storage.files)  # type: ignore[attr-defined]

    results = run(world, excludes=EXCLUDES, forget=True, dry_run=True)

    assert [new is not None for _, new in results] == [False, True]
    assert world.storage.files == files  # type: ignore[attr-defined]


def test_a_snapshot_in_which_nothing_fits_is_left_alone(world: World) -> None:
    stored = save(world, plant(world, [node(b"kept")]), summary={})

    assert run(world, excludes=EXCLUDES) == [(stored, None)]

    assert [one.name for one in world.snapshots()] == [stored.name]


def test_rewriting_again_changes_nothing_more(world: World, tree: BlobID) -> None:
    save(world, tree)
    run(world, excludes=EXCLUDES, forget=True)

    assert [new for _, new in run(world, excludes=EXCLUDES, forget=True)] == [None]


def test_a_directory_that_snapshots_share_is_rewritten_once(
    world: World, tree: BlobID, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = plant(world, [folder(b"same", tree)])
    for number, root in enumerate((later, plant(world, [folder(b"same", tree), node(b"z")]))):
        save(world, root, time_nanos=number)
    read: list[BlobID] = []

    def noted(repository: Repository, blob: BlobID) -> bytes:
        read.append(blob)
        return load_blob(repository, blob)

    monkeypatch.setattr("becalm_engine.commands.rewrite.load_blob", noted)

    results = run(world, excludes=EXCLUDES, dry_run=True)

    assert all(new for _, new in results)
    assert read.count(tree) == 1


def test_nothing_to_do_is_refused() -> None:
    with pytest.raises(UsageError):
        RewriteOptions(excludes=(Patterns(()),)).refuse_senseless()
