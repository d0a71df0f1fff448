import os
import random
import stat
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands import contents
from becalm_engine.commands.backup import Captured
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.restored import Action
from becalm_engine.errors import StoppedError, StorageUnavailableError
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.tree import DIR, FILE, SYMLINK, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.selection import Selection
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from becalm_engine.volume import target
from tests.engine.commands.world import World, restore
from tests.engine.repository.faulty import FaultyStorage
from tests.engine.repository.repositories import made, reopened
from tests.engine.volume.picture import differences, picture


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


def selected(include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Selection:
    return Selection((Patterns(include),), (Patterns(exclude),))


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
def test_a_file_system_without_room_fails_what_does_not_fit(world: World, place: Path) -> None:
    (place / "source").mkdir()
    (place / "source" / "large").write_bytes(os.urandom(20_000_000))  # more than a blob can be
    (place / "source" / "small").write_text("small")
    captured = world.backup(place / "source")
    (place / "back").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", place / "back"], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        outcome = world.restore_folder(captured, place / "source", place / "back")
        kept = (place / "back" / "small").read_text(), (place / "back" / "large").stat().st_size
    finally:
        subprocess.run(["umount", place / "back"], check=True)

    assert [failed.split(":")[0] for failed in outcome.failed] == ["/large"]
    assert "no room for its 20000000 bytes: No space left on device" in outcome.failed[0]
    assert kept == ("small", 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
@pytest.mark.parametrize(("room", "kept"), [("8M", 2), ("3M", 1)])
def test_large_files_get_their_room_side_by_side_only_if_there_is_enough_for_all(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch, room: str, kept: int
) -> None:
    threads = set()
    real = target.allocate

    def allocate(handle: int, size: int) -> bool:
        threads.add(threading.current_thread() is threading.main_thread())
        return real(handle, size)

    monkeypatch.setattr(contents, "_LARGE_BYTES", 2_000_000)
    monkeypatch.setattr(target, "allocate", allocate)
    (place / "source").mkdir()
    for name in ("one", "two"):
        (place / "source" / name).write_bytes(bytes(2 * len(ZERO_BLOCK)) + os.urandom(1_200_000))
    captured = world.backup(place / "source")
    (place / "back").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", place / "back"],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        outcome = world.restore_folder(captured, place / "source", place / "back")
    finally:
        subprocess.run(["umount", place / "back"], check=True)

    assert threads == {kept == 1}
    assert len(outcome.failed) == 2 - kept
    assert outcome.files_restored == kept


# --- files that are there already: only what differs is written


class Spy:
    """Counts what is written into files of the target."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[tuple[int, int]] = []
        write = target.write_all

        def noting(handle: int, content: bytes, offset: int) -> None:
            self.written.append((offset, len(content)))
            write(handle, content, offset)

        monkeypatch.setattr(target, "write_all", noting)


@pytest.fixture
def large(world: World, place: Path) -> tuple[Captured, list[int]]:
    """A file of several blobs that was backed up, and the lengths of its blobs."""
    (place / "source").mkdir()
    (place / "source" / "file").write_bytes(random.Random(1).randbytes(6_000_000) + bytes(2 << 20))
    captured = world.backup(place / "source")
    _, node = world.tree_at(captured, place / "source")
    assert node is not None
    assert node.subtree is not None
    [file] = load_tree(world.opened(), node.subtree)
    found = [world.opened().index.find(blob) for blob in file.content]
    lengths = [one.blob.content_bytes for one in found if one is not None]
    assert len(lengths) > 5
    return captured, lengths


@pytest.mark.parametrize("rule", [Overwrite.ALWAYS, Overwrite.IF_CHANGED])
def test_of_a_changed_file_only_blobs_that_differ_are_fetched_and_written(
    world: World,
    place: Path,
    large: tuple[Captured, list[int]],
    rule: Overwrite,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    captured, lengths = large
    world.restore_folder(captured, place / "source", place / "back")
    before = (place / "back" / "file").stat().st_ino
    with (place / "back" / "file").open("r+b") as file:
        file.seek(lengths[0] + 5)
        file.write(b"changed")
        file.seek(-5, os.SEEK_END)
        file.write(b"zeros")
    spy = Spy(monkeypatch)
    actions: list[tuple[Action, str, int | None]] = []

    outcome = world.restore_folder(
        captured, place / "source", place / "back", overwrite=rule, listen=lambda *what: actions.append(what)
    )

    assert sorted(spy.written) == [(lengths[0], lengths[1]), (sum(lengths[:-1]), lengths[-1])]
    assert actions == [(Action.UPDATED, "/file", sum(lengths))]
    assert (outcome.failed, (place / "back" / "file").stat().st_ino) == ([], before)
    assert differences(picture(place / "source"), picture(place / "back")) == []


@pytest.mark.parametrize("change", [b"longer", b"", None])
def test_a_file_that_is_longer_or_shorter_gets_its_length_back(
    world: World, place: Path, large: tuple[Captured, list[int]], change: bytes | None
) -> None:
    captured, lengths = large
    world.restore_folder(captured, place / "source", place / "back")
    with (place / "back" / "file").open("r+b") as file:
        file.truncate(lengths[0] + 1 if change is None else sum(lengths))
        file.seek(0, os.SEEK_END)
        file.write(change or b"")

    outcome = world.restore_folder(captured, place / "source", place / "back", verify=True)

    assert outcome.failed == []
    assert (place / "back" / "file").read_bytes() == (place / "source" / "file").read_bytes()


def test_what_is_there_already_is_neither_written_nor_fetched(
    world: World, place: Path, large: tuple[Captured, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    captured, lengths = large
    world.restore_folder(captured, place / "source", place / "back")
    os.utime(place / "back" / "file", ns=(1, 1))
    spy = Spy(monkeypatch)

    outcome = world.restore_folder(captured, place / "source", place / "back")

    assert spy.written == []
    assert (outcome.files_unchanged, outcome.bytes_unchanged) == (1, sum(lengths))
    assert differences(picture(place / "source"), picture(place / "back")) == []


def test_of_a_file_with_several_names_nothing_is_written_unless_it_has_changed(
    world: World, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "source").mkdir()
    (place / "source" / "one").write_text("content")
    (place / "source" / "two").hardlink_to(place / "source" / "one")
    captured = world.backup(place / "source")
    world.restore_folder(captured, place / "source", place / "back")
    (place / "back" / "one").chmod(0o600)
    spy = Spy(monkeypatch)

    assert world.restore_folder(captured, place / "source", place / "back").failed == []
    assert (spy.written, differences(picture(place / "source"), picture(place / "back"))) == ([], [])
    (place / "kept").hardlink_to(place / "back" / "one")
    (place / "back" / "two").unlink()
    (place / "back" / "one").write_text("changed")
    assert world.restore_folder(captured, place / "source", place / "back").failed == []
    assert (place / "kept").read_text() == "changed"
    assert differences(picture(place / "source"), picture(place / "back")) == []


def test_if_changed_trusts_size_and_time_and_always_does_not(
    world: World, place: Path, large: tuple[Captured, list[int]]
) -> None:
    captured, _ = large
    world.restore_folder(captured, place / "source", place / "back")
    file = place / "back" / "file"
    nanos = file.stat().st_mtime_ns
    with file.open("r+b") as opened:
        opened.write(b"silent change")
    os.utime(file, ns=(nanos, nanos))

    world.restore_folder(captured, place / "source", place / "back", overwrite=Overwrite.IF_CHANGED)
    assert file.read_bytes().startswith(b"silent change")
    world.restore_folder(captured, place / "source", place / "back", overwrite=Overwrite.ALWAYS)
    assert file.read_bytes() == (place / "source" / "file").read_bytes()


def test_zeros_are_holes_only_if_that_is_asked_for(
    world: World, place: Path, large: tuple[Captured, list[int]]
) -> None:
    captured, lengths = large
    world.restore_folder(captured, place / "source", place / "full")
    world.restore_folder(captured, place / "source", place / "sparse", sparse=True)

    assert (place / "full" / "file").read_bytes() == (place / "sparse" / "file").read_bytes()
    assert (place / "full" / "file").stat().st_blocks * 512 >= sum(lengths)
    assert (place / "sparse" / "file").stat().st_blocks * 512 <= sum(lengths) - (1 << 20)


def test_zeros_are_written_where_room_cannot_be_had_beforehand(
    world: World, place: Path, large: tuple[Captured, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    captured, lengths = large

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)

    assert world.restore_folder(captured, place / "source", place / "back", verify=True).failed == []
    assert (place / "back" / "file").stat().st_blocks * 512 >= sum(lengths)


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


# --- repositories that lie


def plain(name: bytes, kind: str = FILE, **fields: object) -> Node:
    node = Node(name, kind, 0o644, 1, 1, 1, os.getuid(), os.getgid())
    for field, value in fields.items():
        setattr(node, field, value)
    return node


class Forger:
    """Writes trees that no honest program writes."""

    def __init__(self) -> None:
        self.repository = made()

    def tree(self, *nodes: Node) -> BlobID:
        with Writer(self.repository) as writer:
            return writer.save(BlobKind.TREE, encode_tree([encode_node(node) for node in nodes]))

    def data(self, content: bytes) -> BlobID:
        with Writer(self.repository) as writer:
            return writer.save(BlobKind.DATA, content)

    def file(self, name: bytes, content: bytes = b"evil") -> Node:
        return plain(name, size=len(content), content=(self.data(content),))

    def folder(self, name: bytes, *nodes: Node) -> Node:
        return plain(name, DIR, subtree=self.tree(*nodes), mode=0o755)


@pytest.fixture
def forger() -> Forger:
    return Forger()


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"/etc/x", b"../x", b"nul\0x"])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_name_that_leads_out_is_refused_and_the_rest_is_restored(
    forger: Forger, place: Path, name: bytes, kind: str
) -> None:
    hostile = {
        "file": lambda: forger.file(name),
        "folder": lambda: forger.folder(name, forger.file(b"x")),
        "link": lambda: plain(name, SYMLINK, link_target=b"/etc"),
    }[kind]()
    tree = forger.tree(hostile, forger.file(b"good"))

    outcome = restore(reopened(forger.repository), tree, place / "in" / "back")

    assert len(outcome.failed) == 1
    assert "refused" in outcome.failed[0]
    assert below(place) == {"in", "in/back", "in/back/good"}


@pytest.mark.parametrize("first", ["link", "folder"])
def test_a_link_and_a_folder_of_one_name_lead_nowhere(forger: Forger, place: Path, first: str) -> None:
    (place / "outside").mkdir()
    link = plain(b"x", SYMLINK, link_target=os.fsencode(place / "outside"))
    folder = forger.folder(b"x", forger.file(b"evil"))
    tree = forger.tree(*((link, folder) if first == "link" else (folder, link)))

    outcome = restore(reopened(forger.repository), tree, place / "back")

    assert outcome.failed == ["/x: the snapshot has it twice"]
    assert below(place / "outside") == set()


def test_a_link_that_was_there_before_is_not_followed(forger: Forger, place: Path) -> None:
    (place / "outside").mkdir()
    (place / "outside" / "file").write_text("not yours")
    (place / "back").mkdir()
    (place / "back" / "x").symlink_to(place / "outside")
    (place / "back" / "file").symlink_to(place / "outside" / "file")
    tree = forger.tree(forger.file(b"file"), forger.folder(b"x", forger.file(b"evil")))

    outcome = restore(reopened(forger.repository), tree, place / "back", delete=True, verify=True)

    assert outcome.failed == []
    assert (place / "outside" / "file").read_text() == "not yours"
    assert below(place / "outside") == {"file"}
    assert not (place / "back" / "x").is_symlink()
    assert not (place / "back" / "file").is_symlink()


def test_a_size_that_is_not_that_of_the_content_is_damage(forger: Forger, place: Path) -> None:
    for size, name in ((3, b"short"), (5000, b"long")):
        node = forger.file(name)
        node.size = size
        tree = forger.tree(node)
        outcome = restore(reopened(forger.repository), tree, place / "back")
        assert len(outcome.failed) == 1
        assert "states" in outcome.failed[0]


def test_a_size_beyond_any_disk_fails_that_file_only(forger: Forger, place: Path) -> None:
    tree = forger.tree(plain(b"bomb", size=2**63 - 1, content=(forger.data(b"x"),)), forger.file(b"good"))

    outcome = restore(reopened(forger.repository), tree, place / "back")

    assert [failed.partition(":")[0] for failed in outcome.failed] == ["/bomb"]
    assert (place / "back" / "good").read_bytes() == b"evil"


def test_a_missing_blob_and_a_missing_tree_fail_what_needs_them(forger: Forger, place: Path) -> None:
    tree = forger.tree(
        plain(b"a", size=4, content=(BlobID(bytes(32)),)),
        plain(b"b", DIR, subtree=BlobID(bytes(31) + b"\1")),
        forger.file(b"good"),
    )

    outcome = restore(reopened(forger.repository), tree, place / "back", verify=True)

    assert sorted(failed.partition(":")[0] for failed in outcome.failed) == ["/a", "/b"]
    assert (place / "back" / "good").read_bytes() == b"evil"


def test_a_type_that_cannot_be_made_is_said(forger: Forger, place: Path) -> None:
    tree = forger.tree(plain(b"x", "irregular"))

    outcome = restore(reopened(forger.repository), tree, place / "back")

    assert outcome.failed == ["/x: a file of type 'irregular' cannot be made"]


def test_includes_keep_the_walk_out_of_folders_that_cannot_hold_what_is_asked_for(
    forger: Forger, place: Path
) -> None:
    lost = plain(b"lost", DIR, subtree=BlobID(bytes(31) + b"\1"))
    tree = forger.tree(forger.folder(b"a", forger.file(b"x")), lost)

    outcome = restore(reopened(forger.repository), tree, place / "back", selection=selected(["/a/x"]))

    assert (outcome.failed, below(place / "back")) == ([], {"a", "a/x"})
