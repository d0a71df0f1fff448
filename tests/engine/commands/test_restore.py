import os
import stat
import tracemalloc
from pathlib import Path

import pytest

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.restored import Action, Ledger, RestoredFile
from becalm_engine.errors import LockedError, StoppedError, StorageUnavailableError
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.storage.base import FileKind
from becalm_engine.volume import target
from tests.engine.commands import planted
from tests.engine.commands.world import World, restore, selected
from tests.engine.repository.faulty import FaultyStorage
from tests.engine.volume.picture import below, differences, picture


@pytest.fixture
def source(place: Path) -> Path:
    folder = place / "source"
    for name in ("a/one", "a/deep/er/two", "b/three", "four"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "a").chmod(0o751)
    os.utime(folder / "a", ns=(1, 1_500_000_000_000_000_001))
    os.utime(folder, ns=(1, 1_400_000_000_000_000_001))
    return folder


def test_the_target_itself_gets_the_metadata_of_the_folder(world: World, source: Path, place: Path) -> None:
    source.chmod(0o2750)
    captured = world.backup(source)
    (place / "back").mkdir(mode=0o700)
    before = (place / "back").stat().st_ino

    world.restore_folder(captured, source, place / "back")

    after = (place / "back").stat()
    assert (after.st_ino, stat.S_IMODE(after.st_mode)) == (before, 0o2750)
    assert after.st_mtime_ns == source.stat().st_mtime_ns


def test_a_whole_snapshot_leaves_the_metadata_of_its_target_alone(
    world: World, source: Path, place: Path
) -> None:
    captured = world.backup(source)
    (place / "back").mkdir(mode=0o710)

    world.restore(captured.tree, place / "back")

    assert stat.S_IMODE((place / "back").stat().st_mode) == 0o710
    assert (place / "back" / str(source).lstrip("/") / "four").read_text() == "four"


def test_nothing_is_written_beside_somebody_who_removes_what_is_to_be_read(
    world: World, source: Path, place: Path
) -> None:
    captured = world.backup(source)
    repository = world.opened()
    (place / "back").mkdir()

    def lost() -> None:
        raise LockedError("a prune")

    repository.guard = lost
    with pytest.raises(LockedError, match="a prune"):
        restore(repository, captured.tree, place / "back")

    assert [path for path in (place / "back").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["/a/deep"], [], {"a", "a/deep", "a/deep/er", "a/deep/er/two"}),
        (["two"], [], {"a", "a/deep", "a/deep/er", "a/deep/er/two"}),
        (["/four"], [], {"four"}),
        ([], ["/a"], {"b", "b/three", "four"}),
        (["/a"], ["deep"], {"a", "a/one"}),
        (["/nothing"], [], set()),
    ],
)
def test_only_what_is_wanted_is_restored(
    world: World, source: Path, place: Path, include: list[str], exclude: list[str], expected: set[str]
) -> None:
    captured = world.backup(source)

    world.restore_folder(captured, source, place / "back", selection=selected(include, exclude))

    assert below(place / "back") == expected


def test_folders_on_the_way_to_a_file_look_as_in_the_snapshot(
    world: World, source: Path, place: Path
) -> None:
    captured = world.backup(source)

    world.restore_folder(captured, source, place / "back", selection=selected(["/a/one"]))

    made = (place / "back" / "a").stat()
    assert stat.S_IMODE(made.st_mode) == 0o751
    assert made.st_mtime_ns == 1_500_000_000_000_000_001


def test_folders_that_are_there_already_are_left_as_they_are(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    (place / "back" / "a").mkdir(parents=True)
    (place / "back" / "a").chmod(0o700)
    (place / "back").chmod(0o711)

    world.restore_folder(captured, source, place / "back", selection=selected(["/a/one"]))

    assert stat.S_IMODE((place / "back" / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "back").stat().st_mode) == 0o711


def test_with_delete_the_target_becomes_the_snapshot(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    back = place / "back"
    (back / "lost+found" / "x" / "y").mkdir(parents=True)
    (back / "a" / "deep").mkdir(parents=True)
    (back / "a" / "deep" / "extra").write_text("extra")
    (back / "four").mkdir()
    (back / "b").write_text("a file where a folder should be")
    (back / "link").symlink_to(source)

    outcome = world.restore_folder(captured, source, back, delete=True)

    assert differences(picture(source), picture(back)) == []
    assert outcome.files_deleted == 5  # lost+found, x and y, extra, link
    assert below(source) == below(back)


def test_delete_spares_what_is_excluded_or_not_included(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    back = place / "back"
    for name in ("a/extra", "a/kept", "b/extra", "extra"):
        (back / name).parent.mkdir(parents=True, exist_ok=True)
        (back / name).touch()

    world.restore_folder(captured, source, back, delete=True, selection=selected(["/a"], ["kept"]))

    assert below(back) == {
        "a",
        "a/one",
        "a/deep",
        "a/deep/er",
        "a/deep/er/two",
        "a/kept",
        "b",
        "b/extra",
        "extra",
    }


def test_without_delete_other_files_stay(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    (place / "back").mkdir()
    (place / "back" / "mine").write_text("mine")

    assert world.restore_folder(captured, source, place / "back").files_deleted == 0
    assert (place / "back" / "mine").read_text() == "mine"


def test_a_folder_deeper_than_recursion_goes_is_deleted(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    back = place / "back"
    back.mkdir()
    here = Path.cwd()
    os.chdir(back)
    try:
        for _ in range(400):
            Path("deep-deep-deep").mkdir()
            os.chdir("deep-deep-deep")
    finally:
        os.chdir(here)

    outcome = world.restore_folder(captured, source, back, delete=True)

    assert (outcome.failed, outcome.files_deleted) == ([], 400)
    assert below(back) == below(source)


@pytest.mark.parametrize(
    ("rule", "content", "newer", "kept"),
    [
        ("always", "new!", True, False),
        ("never", "else", False, True),
        ("if-newer", "else", True, True),
        ("if-newer", "else", False, False),
        ("if-changed", "else", False, False),
    ],
)
def test_a_file_that_is_there_is_kept_as_the_rule_says(
    world: World, place: Path, rule: str, content: str, newer: bool, kept: bool
) -> None:
    (place / "source").mkdir()
    (place / "source" / "file").write_text("snap")
    captured = world.backup(place / "source")
    (place / "back").mkdir()
    (place / "back" / "file").write_text(content)
    shift = 1 if newer else -1
    nanos = (place / "source" / "file").stat().st_mtime_ns + shift * 10**9
    os.utime(place / "back" / "file", ns=(nanos, nanos))

    outcome = world.restore_folder(captured, place / "source", place / "back", overwrite=Overwrite(rule))

    assert (place / "back" / "file").read_text() == (content if kept else "snap")
    assert (outcome.files_unchanged, outcome.files_restored) == ((1, 0) if kept else (0, 1))


def test_an_unchanged_file_is_kept_if_changed_is_the_rule(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    world.restore_folder(captured, source, place / "back")

    outcome = world.restore_folder(captured, source, place / "back", overwrite=Overwrite.IF_CHANGED)

    assert (outcome.files_restored, outcome.files_unchanged) == (4, 4)  # directories always count as restored
    assert outcome.bytes_restored == 0


def test_a_dry_run_changes_nothing(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    (place / "back").mkdir()
    (place / "back" / "extra").touch()

    outcome = world.restore_folder(captured, source, place / "back", dry_run=True, delete=True)

    assert below(place / "back") == {"extra"}
    assert (outcome.files_restored, outcome.files_deleted) == (8, 1)


def test_a_file_with_several_names_is_not_written_through(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    (place / "back").mkdir()
    (place / "elsewhere").write_text("not yours")
    (place / "back" / "four").hardlink_to(place / "elsewhere")

    world.restore_folder(captured, source, place / "back")

    assert (place / "elsewhere").read_text() == "not yours"
    assert (place / "back" / "four").read_text() == "four"


def test_verify_finds_a_file_that_changed_behind_our_back(
    world: World, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = world.backup(source)
    written = target.write_all

    def corrupted(handle: int, content: bytes, offset: int) -> None:
        written(handle, content.replace(b"three", b"THREE"), offset)

    monkeypatch.setattr(target, "write_all", corrupted)

    outcome = world.restore_folder(captured, source, place / "back", verify=True)

    assert outcome.failed == ["/b/three: what was restored differs from the snapshot"]


def test_a_disk_that_refuses_is_that_files_failure(
    world: World, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = world.backup(source)

    def refuse(handle: int, content: bytes, offset: int) -> None:
        if content == b"four":
            raise OSError(5, "Input/output error")
        os.pwrite(handle, content, offset)

    monkeypatch.setattr(target, "write_all", refuse)

    outcome = world.restore_folder(captured, source, place / "back")

    assert outcome.failed == ["/four: Input/output error"]
    assert outcome.files_restored == 7


def test_a_full_disk_names_the_file_and_counts_those_that_were_not_tried(
    world: World, source: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured = world.backup(source)
    tried = []

    def full(handle: int, content: bytes, offset: int) -> None:
        tried.append(content)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(target, "write_all", full)

    outcome = world.restore_folder(captured, source, place / "back")

    assert len(tried) == 1
    assert len(outcome.failed) == 2
    assert outcome.failed[0].endswith("No space left on device")
    assert outcome.failed[1].endswith("not restored, nor are 2 others: no room is left")


def test_of_files_that_are_left_out_only_the_first_is_kept() -> None:
    ledger = Ledger(Progress(), lambda _path, _reason: None)
    tracemalloc.start()
    for number in range(5000):
        file = RestoredFile((), planted.node(b"%d" % number), f"/{number}")
        for _ in range(2):  # it may have several blobs
            ledger.leave_out(file)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (ledger.left_out, ledger.first_left_out) == (5000, "/0")
    assert kept < 50_000


# --- what is told


def test_each_file_is_told_once_and_a_dry_run_tells_the_same(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    back = place / "back"
    world.restore_folder(captured, source, back)
    (back / "four").unlink()
    (back / "a" / "one").write_text("other")
    (back / "old" / "x").mkdir(parents=True)
    told: list[list[tuple[Action, str, int | None]]] = [[], []]

    world.restore_folder(
        captured, source, back, dry_run=True, delete=True, listen=lambda *what: told[0].append(what)
    )
    world.restore_folder(captured, source, back, delete=True, listen=lambda *what: told[1].append(what))

    assert sorted(told[0]) == sorted(told[1])
    assert set(told[1]) >= {
        (Action.RESTORED, "/four", 4),
        (Action.UPDATED, "/a/one", 5),
        (Action.UNCHANGED, "/b/three", 7),
        (Action.RESTORED, "/a", None),
        (Action.DELETED, "/old/x", None),
        (Action.DELETED, "/old", None),
    }


def test_a_signal_ends_a_restore_which_says_that_it_is_not_complete(
    world: World, source: Path, place: Path
) -> None:
    captured = world.backup(source)
    progress = Progress()

    def stop(action: Action, path: str, size: int | None) -> None:
        progress.stop.set()

    with pytest.raises(StoppedError, match=r"not complete: 4 of 8 files are restored"):
        world.restore_folder(captured, source, place / "back", progress=progress, listen=stop)
    assert world.restore_folder(captured, source, place / "back").failed == []
    assert differences(picture(source), picture(place / "back")) == []


# --- which files


def test_delete_spares_folders_in_which_nothing_is_asked_for(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)
    back = place / "back"
    for name in ("a/old.conf", "a/old.txt", "b/old.conf", "a/gone.conf/file"):
        (back / name).parent.mkdir(parents=True, exist_ok=True)
        (back / name).touch()

    world.restore_folder(captured, source, back, delete=True, selection=selected(["*.conf", "one"]))

    assert below(back) == {"a", "a/one", "a/old.txt", "b", "b/old.conf"}


@pytest.mark.parametrize(("include", "exclude"), [([], ["*.key", "cache"]), (["/*", "!*.key", "!cache"], [])])
def test_delete_spares_what_is_left_out_below_a_folder_that_the_snapshot_does_not_have(
    world: World, source: Path, place: Path, include: list[str], exclude: list[str]
) -> None:
    captured, back = world.backup(source), place / "back"
    for name in ("new/x/y/a.key", "new/x/y/b", "new/x/z/c", "new/cache/d", "new/e", "gone/f", "old.key/g"):
        (back / name).parent.mkdir(parents=True, exist_ok=True)
        (back / name).touch()
    told: list[list[tuple[Action, str]]] = [[], []]

    for dry_run in (True, False):
        world.restore_folder(
            captured,
            source,
            back,
            dry_run=dry_run,
            delete=True,
            selection=selected(include, exclude),
            listen=lambda action, path, _, dry_run=dry_run: told[not dry_run].append((action, path)),
        )

    kept = {"new", "new/x", "new/x/y", "new/x/y/a.key", "new/cache", "new/cache/d", "old.key", "old.key/g"}
    assert below(back) == below(source) | kept
    deleted = [{path for action, path in some if action is Action.DELETED} for some in told]
    assert deleted == [{"/new/x/y/b", "/new/x/z/c", "/new/x/z", "/new/e", "/gone/f", "/gone"}] * 2


@pytest.mark.parametrize("pattern", ['quo"te*', "quo?te\\\\*", "*\udcff", '/quo"te\\\\ö\udcff'])
def test_patterns_are_compared_with_names_as_they_are(world: World, place: Path, pattern: str) -> None:
    (place / "source").mkdir()
    (place / "source" / 'quo"te\\ö\udcff').write_text("x")
    (place / "source" / "other").write_text("x")
    captured = world.backup(place / "source")

    world.restore_folder(captured, place / "source", place / "back", selection=selected([pattern]))

    assert below(place / "back") == {'quo"te\\ö\udcff'}


def test_a_pattern_may_take_back_what_another_includes(world: World, source: Path, place: Path) -> None:
    captured = world.backup(source)

    world.restore_folder(captured, source, place / "back", selection=selected(["/a", "!/a/deep"]))

    assert below(place / "back") == {"a", "a/one"}


def test_a_store_that_goes_away_fails_the_files_that_it_held(source: Path, place: Path) -> None:
    class Gone(FaultyStorage):
        """Gives no data any more."""

        def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
            if gone:
                raise StorageUnavailableError("away")
            return super().load_range(kind, name, offset=offset, length=length)

    gone = False
    world = World(Gone())
    captured = world.backup(source)
    tree, node = world.tree_at(captured, source)
    repository = world.opened()
    for path in ("", "/a", "/a/deep", "/a/deep/er", "/b"):
        world.tree_at(captured, f"{source}{path}")
    gone = True

    outcome = restore(repository, tree, place / "back", node)

    assert outcome.failed
    assert all("away" in failed for failed in outcome.failed)
