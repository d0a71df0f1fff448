import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from becalm_engine.commands import backup, folder
from becalm_engine.commands.backup import BackupOptions, Captured
from becalm_engine.commands.files import FileStore
from becalm_engine.commands.gate import Gate, capture_behind
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import SourceMissingError, StoppedError, UsageError
from becalm_engine.format.gotime import NANOS
from becalm_engine.policy import parent
from becalm_engine.repository.repository import open_repository
from becalm_engine.storage.local import LocalStorage
from becalm_engine.volume import hot, scan
from tests.engine.commands.world import World
from tests.engine.repository.repositories import PASSWORD
from tests.engine.volume.disks import disk, kind_of
from tests.engine.volume.test_clocks import Mapped, _mapped

Act = Callable[[], object]


@dataclass(frozen=True)
class Between(Gate):
    """A gate that is open once something has been done before it."""

    act: Act = lambda: None

    def wait(self, progress: Progress) -> None:
        self.act()


@dataclass
class Place:
    """A folder on a disk, and a repository."""

    source: Path
    world: World = field(default_factory=World)

    def captured(self, act: Act = lambda: None, *, pre_copy: bool = True, **options: Any) -> Captured:
        """Capture the folder; `act` is done at the gate."""
        repository = open_repository(self.world.storage, PASSWORD)
        repository.load_index()
        return capture_behind(
            Between(self.source / "no gate", act=act),
            repository,
            BackupOptions((str(self.source),), hostname="node", **options),
            pre_copy=pre_copy,
            progress=Progress(),
            report=lambda *what: self.world.told.append(what),
            listen=lambda *_: None,
        )

    def restored(self, captured: Captured, out: Path) -> dict[str, bytes]:
        self.world.restore_folder(captured, self.source, out)
        return content(out)


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Path]:
    with disk(tmp_path) as place:
        yield place


@pytest.fixture(autouse=True)
def quickly_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the sync, which waits for all that anybody has written to the disk."""
    monkeypatch.setattr(hot, "sync_file_system", lambda _: None)


@pytest.fixture
def place(on_disk: Path) -> Place:
    source = on_disk / "source"
    (source / "sub").mkdir(parents=True)
    (source / "file").write_text("content")
    (source / "sub" / "other").write_text("other content")
    return Place(source)


@pytest.fixture
def long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what was just made count as settled: no change time can be set back."""
    monkeypatch.setattr(parent, "_SETTLED_NANOS", -3600 * NANOS)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read."""
    names: list[str] = []
    original = scan.open_file

    def counted(path: bytes, handle: int | None = None) -> tuple[int, os.stat_result]:
        names.append(os.fsdecode(path))
        return original(path, handle)

    monkeypatch.setattr(folder, "open_file", counted)
    return names


# --- the first pass


def test_what_changes_between_the_passes_is_captured(place: Place, tmp_path: Path) -> None:
    def change() -> None:
        (place.source / "file").write_text("CONTENT")
        (place.source / "sub" / "new").write_text("new")
        (place.source / "sub" / "other").unlink()

    captured = place.captured(change)

    assert place.restored(captured, tmp_path / "out") == {"file": b"CONTENT", "sub/new": b"new"}
    assert captured.report.pre_copied
    assert captured.report.not_pre_copied == ""
    assert place.world.snapshots() == []


@pytest.mark.usefixtures("long_ago")
def test_what_is_as_it_was_is_read_once(place: Place, read: list[str]) -> None:
    captured = place.captured(lambda: read.append("gate"))

    assert sorted(read[:-1]) == ["file", "other"]
    assert read[-1] == "gate"
    assert captured.report.files_new == 2


@pytest.mark.usefixtures("long_ago")
def test_what_other_processes_have_stored_is_known_behind_the_gate(
    on_disk: Path, place: Place, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.world = World(LocalStorage(on_disk / "repository"))
    monkeypatch.setattr(backup, "is_large", lambda _: True)
    captured = place.captured(lambda: monkeypatch.setattr(backup, "is_large", lambda _: False), processes=2)

    assert read == []  # not by this process
    assert (captured.report.data_blobs, captured.report.files_new) == (2, 2)


@pytest.mark.parametrize("age_seconds", [0, 10, 50])
def test_what_was_written_within_a_minute_before_the_first_pass_is_read_again(
    place: Place, read: list[str], monkeypatch: pytest.MonkeyPatch, age_seconds: int
) -> None:
    """A call of write(2) that began then may still run: it set the times of its file as it began, and no more."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + age_seconds * NANOS)

    place.captured(read.clear)

    assert sorted(read) == ["file", "other"]


def test_what_is_older_is_read_once(place: Place, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 70 * NANOS)

    place.captured(read.clear)

    assert read == []


@pytest.fixture
def mapped(place: Place) -> Iterator[Mapped]:
    yield from _mapped(place.source)


@pytest.mark.usefixtures("long_ago")
def test_a_store_into_a_page_that_was_dirty_before_is_seen(
    place: Place,
    mapped: Mapped,
    tmp_path: Path,
    real_sync: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hot, "sync_file_system", real_sync)
    mapped.store(b"first")

    captured = place.captured(lambda: mapped.store(b"second"))

    assert place.restored(captured, tmp_path / "out")["database"].startswith(b"second")


@pytest.mark.usefixtures("long_ago")
def test_without_the_sync_it_would_not_be(place: Place, mapped: Mapped, tmp_path: Path) -> None:
    mapped.store(b"first")

    captured = place.captured(lambda: mapped.store(b"second"))

    assert place.restored(captured, tmp_path / "out")["database"].startswith(b"first")


def test_memory_gets_no_first_pass_and_the_report_says_so(tmp_path: Path, read: list[str]) -> None:
    if not Path("/dev/shm").is_dir() or kind_of(Path("/dev/shm")) != "tmpfs":
        pytest.skip("there is no tmpfs at /dev/shm")
    source = Path("/dev/shm") / f"becalm-{os.getpid()}"
    source.mkdir()
    try:
        (source / "file").write_text("content")
        captured = Place(source).captured(lambda: read.append("gate"))
    finally:
        (source / "file").unlink()
        source.rmdir()

    assert read == ["gate", "file"]
    assert not captured.report.pre_copied
    assert captured.report.not_pre_copied == (
        f"{source} is tmpfs, whose files need not tell that they were changed"
    )


def test_a_disk_that_cannot_be_synced_gets_no_first_pass(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(hot, "sync_file_system", fail)

    report = place.captured().report

    assert not report.pre_copied
    assert report.not_pre_copied == f"{place.source} cannot be synced: Input/output error"
    assert report.files_new == 2


def test_what_cannot_be_read_in_the_first_pass_alone_is_no_problem(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = scan.open_file

    def fail(path: bytes, handle: int | None = None) -> tuple[int, os.stat_result]:
        raise OSError(2, "No such file or directory")

    monkeypatch.setattr(folder, "open_file", fail)

    report = place.captured(lambda: monkeypatch.setattr(folder, "open_file", original)).report

    assert (report.exit_code, report.files_new, report.unreadable) == (0, 2, ())
    assert place.world.told == []


def test_without_a_first_pass_all_is_read_behind_the_gate(place: Place, read: list[str]) -> None:
    report = place.captured(read.clear, pre_copy=False).report

    assert sorted(read) == ["file", "other"]
    assert (report.pre_copied, report.not_pre_copied) == (False, "")


@pytest.mark.parametrize("pre_copy", [True, False])
def test_a_source_that_is_not_there_fails_before_the_gate(place: Place, *, pre_copy: bool) -> None:
    came: list[str] = []
    missing = Place(place.source / "missing")

    with pytest.raises(SourceMissingError):
        missing.captured(lambda: came.append("gate"), pre_copy=pre_copy)

    assert came == []


# --- who writes nevertheless


def append(file: int) -> None:
    os.truncate(f"/proc/self/fd/{file}", os.fstat(file).st_size + 1)


def write(file: int) -> None:
    writing = os.open(f"/proc/self/fd/{file}", os.O_WRONLY)
    os.pwrite(writing, b"CHANGED", 0)
    os.close(writing)


def write_and_set_back(file: int) -> None:
    """Only the change time cannot be set."""
    found = os.fstat(file)
    write(file)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


Change = Callable[[int], None]


@pytest.fixture
def changing(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """Let one file change just when it has been read."""
    original = FileStore.store
    changed = place.source / "file"

    def start(change: Change) -> None:
        def store(self: FileStore, handle: int, *arguments: Any, **options: Any) -> int:
            length = original(self, handle, *arguments, **options)
            if os.fstat(handle).st_ino == changed.stat().st_ino:
                change(handle)
            return length

        time.sleep(0.02)  # times of changes have a grain
        monkeypatch.setattr(FileStore, "store", store)

    return start


@pytest.mark.parametrize("change", [append, write, write_and_set_back])
@pytest.mark.parametrize("size_bytes", [7, 300_000, 3_000_000])
@pytest.mark.parametrize("pre_copy", [True, False])
def test_what_changes_while_it_is_read_behind_the_gate_is_told(
    place: Place, changing: Callable[[Change], None], change: Change, size_bytes: int, *, pre_copy: bool
) -> None:
    (place.source / "file").write_bytes(bytes(size_bytes))

    captured = place.captured(lambda: changing(change), pre_copy=pre_copy)

    assert place.world.told == [(str(place.source / "file"), "read", "it changed while it was read")]
    assert (captured.report.exit_code, captured.report.files_new) == (3, 1)


def test_also_if_another_process_reads_it(
    on_disk: Path, place: Place, changing: Callable[[Change], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.world = World(LocalStorage(on_disk / "repository"))
    monkeypatch.setattr(backup, "is_large", lambda _: True)

    captured = place.captured(lambda: changing(write), processes=2)

    assert place.world.told == [(str(place.source / "file"), "read", "it changed while it was read")]
    assert captured.report.exit_code == 3


def test_before_the_gate_or_without_one_files_may_change(
    place: Place, changing: Callable[[Change], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    changing(append)

    report = place.captured(monkeypatch.undo).report
    assert (place.world.told, report.exit_code, report.files_new) == ([], 0, 2)

    changing(append)
    report = place.world.capture(place.source).report
    assert (place.world.told, report.exit_code) == ([], 0)


CHANGES = st.lists(
    st.tuples(st.sampled_from(["file", "sub/other", "sub/new", "deep/new"]), st.integers(0, 3)), max_size=6
)


@given(before=CHANGES, between=CHANGES, with_parent=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@pytest.mark.usefixtures("long_ago")
def test_with_a_first_pass_it_is_what_it_would_be_without(
    on_disk: Path, before: list[tuple[str, int]], between: list[tuple[str, int]], *, with_parent: bool
) -> None:
    with TemporaryDirectory(dir=on_disk) as made:
        root = Path(made)
        place = Place(root)
        change(root, [("file", 1), ("sub/other", 2)], step=1)
        if with_parent:
            place.world.backup(root)
        change(root, before, step=2)

        captured = place.captured(lambda: change(root, between, step=3))
        plain = place.world.capture(root)
        # the folders above are everybody's
        assert place.world.tree_at(captured, root)[0] == place.world.tree_at(plain, root)[0]

    assert counts(captured) == counts(plain)


def change(root: Path, changes: list[tuple[str, int]], *, step: int) -> None:
    """Remove files (0) or write them, each time to another length, so that no clock need tell them apart."""
    for number, (name, length) in enumerate(changes):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        if length:
            path.write_bytes(b"x" * (length + 10 * number + 100 * step))
        else:
            path.unlink(missing_ok=True)


def counts(captured: Captured) -> tuple[int, ...]:
    told = captured.report
    return (
        told.files_new,
        told.files_changed,
        told.files_unmodified,
        told.dirs_new,
        told.bytes_processed,
    )


# --- the gate itself


@pytest.mark.parametrize("text", ["open", "open\n"])
def test_the_word_opens_the_gate(tmp_path: Path, text: str) -> None:
    (tmp_path / "gate").write_text(text)

    Gate(tmp_path / "gate", tmp_path / "ready").wait(Progress())

    assert (tmp_path / "ready").exists()


@pytest.mark.parametrize("text", [None, "", "closed", "opened", "open open", "\udcff" * 3])
def test_anything_else_keeps_it_closed(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "gate").write_bytes(os.fsencode(text))
    progress = Progress()
    progress.stop.set()

    with pytest.raises(StoppedError):
        Gate(tmp_path / "gate", tmp_path / "ready").wait(progress)

    assert (tmp_path / "ready").exists()


def test_one_that_cannot_be_read_fails_before_anybody_is_told_ready(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the gate .* cannot be read"):
        Gate(tmp_path, tmp_path / "ready").wait(Progress())

    assert not (tmp_path / "ready").exists()
