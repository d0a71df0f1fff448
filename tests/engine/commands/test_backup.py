import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.commands.backup import BackupOptions, capture
from becalm_engine.commands.estimate import estimated
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import (
    Exclusion,
    arrange,
    parse_marker,
    parse_size,
    present_and_missing,
    stored_paths,
)
from becalm_engine.errors import SourceMissingError, UsageError
from becalm_engine.policy.patterns import Patterns
from becalm_engine.repository import snapshots
from becalm_engine.volume import scan
from becalm_engine.volume.scan import Failed, Found, Unseen
from tests.engine.commands.world import World, wait


def names_in(world: World, tree_of: Path, *sources: Path | str, **options: Any) -> set[str]:
    """Return what a backup took, by the paths below a folder."""
    captured = world.backup(*sources, **options)
    back = tree_of.parent / f"back-{len(world.snapshots())}"
    world.restore_folder(captured, tree_of, back)
    return {str(path.relative_to(back)) for path in back.rglob("*")}


ALL = {"a", "a/one", "a/two.log", "b", "b/three", "b/CACHEDIR.TAG", "b/.nobackup", "large"}


@pytest.mark.parametrize(
    ("exclusion", "gone"),
    [
        (Exclusion(), set()),
        (Exclusion(Patterns(["*.log"])), {"a/two.log"}),
        (Exclusion(Patterns(["a", "!a"])), set()),
        (Exclusion(ignoring_case=Patterns(["*.LOG"], ignore_case=True)), {"a/two.log"}),
        (Exclusion(caches=True), {"b/three", "b/.nobackup"}),
        (Exclusion(markers=((b".nobackup", b""),)), {"b/three", "b/CACHEDIR.TAG"}),
        (
            Exclusion(markers=((b".nobackup", b""),), caches=True),
            {"b/three", "b/CACHEDIR.TAG", "b/.nobackup"},
        ),
        (Exclusion(markers=((b".nobackup", b"else"),)), set()),
        (Exclusion(larger_than_bytes=4999), {"large"}),
        (Exclusion(larger_than_bytes=5000), set()),
    ],
)
def test_what_is_excluded_is_left_out(
    world: World, source: Path, exclusion: Exclusion, gone: set[str]
) -> None:
    assert names_in(world, source, source, exclusion=exclusion) == ALL - gone


def test_another_file_system_is_left_empty(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = scan.list_unseen

    def mounted(folder: int) -> tuple[list[Unseen], list[Failed]]:
        found, failed = listed(folder)
        return [
            _on_other_device(name, about) if about and name == b"b" else (name, about)
            for name, about in found
        ], failed

    monkeypatch.setattr("becalm_engine.commands.folder.list_unseen", mounted)

    assert names_in(world, source, source, exclusion=Exclusion(one_file_system=True)) == {
        "a", "a/one", "a/two.log", "b", "large",
    }  # fmt: skip


def _on_other_device(name: bytes, found: os.stat_result) -> Unseen:
    values = list(found)
    values[2] += 1  # st_dev
    return name, os.stat_result((*values, *([0] * 3), *([0.0] * 3), *([0] * 3)))


def test_a_source_inside_another_is_taken_once(world: World, source: Path) -> None:
    for order in ((source, source / "a"), (source / "a", source)):
        assert names_in(world, source, *order) == ALL


def test_several_sources_share_one_snapshot(world: World, source: Path) -> None:
    assert names_in(world, source, source / "a", source / "b" / "three") == {
        "a", "a/one", "a/two.log", "b", "b/three",
    }  # fmt: skip
    assert world.snapshots()[-1].snapshot.paths == (str(source / "a"), str(source / "b" / "three"))


@pytest.mark.parametrize(
    ("where", "named", "taken"),
    [
        ("a", "../b", {"b", "b/three", "b/CACHEDIR.TAG", "b/.nobackup"}),
        ("a", "./one", {"one"}),
        ("a", ".", {"one", "two.log"}),
        ("a", "..", ALL),
        ("a/..", "b/three", {"b", "b/three"}),
    ],
)
def test_a_relative_source_is_stored_without_the_way_to_it(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch, where: str, named: str, taken: set[str]
) -> None:
    monkeypatch.chdir(source / where)

    captured = world.backup(named)

    world.restore(captured.tree, source.parent / "back")
    assert {str(p.relative_to(source.parent / "back")) for p in (source.parent / "back").rglob("*")} == taken
    assert captured.paths == (os.path.abspath(named),)  # noqa: PTH100  the same function, on the same words


@pytest.mark.parametrize("pattern", ["*.log", "two.log", "a/two.log", "source/a/two.log", "{source}/a/*.log"])
@pytest.mark.parametrize(("where", "named"), [("", "a"), ("a", "."), ("b", "../a"), ("a", "../b/../a")])
def test_patterns_fit_absolute_paths_also_where_a_source_is_relative(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, where: str, named: str
) -> None:
    monkeypatch.chdir(source / where)

    captured = world.backup(named, exclusion=Exclusion(Patterns([pattern.format(source=source)])))

    world.restore(captured.tree, source.parent / "back")
    assert [path.name for path in (source.parent / "back").rglob("*") if path.is_file()] == ["one"]


@pytest.mark.parametrize("pattern", ["source", "{source}", "{place}"])
def test_a_pattern_that_fits_the_source_itself_or_a_folder_above_it_leaves_it_alone(
    world: World, source: Path, pattern: str
) -> None:
    exclusion = Exclusion(Patterns([pattern.format(source=source, place=source.parent)]))

    assert names_in(world, source, source, exclusion=exclusion) == ALL


def test_two_sources_for_one_place_are_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source / "a")
    (source / "a" / "b").mkdir()

    with pytest.raises(UsageError, match="one place"):
        arrange(["b", "../b"])
    with pytest.raises(UsageError, match="alone"):
        arrange([".", "/etc"])
    with pytest.raises(UsageError, match="nothing to back up"):
        present_and_missing([])


def test_if_no_source_is_there_that_is_an_error(world: World, place: Path) -> None:
    with pytest.raises(SourceMissingError, match="nowhere"):
        world.backup(place / "nowhere", place / "nor here")


def test_a_source_that_is_missing_is_reported_and_the_others_are_stored(
    world: World, source: Path, place: Path
) -> None:
    captured = world.backup(place / "nowhere", source)

    assert captured.report.exit_code == 3
    assert captured.report.unreadable == (str(place / "nowhere"),)
    assert world.told == [(str(place / "nowhere"), "scan", "it does not exist")]
    assert captured.paths == (str(source),)
    world.tree_at(captured, source)


def test_a_file_that_vanishes_is_reported_by_its_name(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = scan.list_unseen

    def vanishing(handle: int) -> tuple[list[Unseen], list[Failed]]:
        found, failed = listed(handle)
        if any(name == b"one" for name, _ in found):
            (source / "a" / "one").unlink()
        return found, failed

    monkeypatch.setattr("becalm_engine.commands.folder.list_unseen", vanishing)

    captured = world.backup(source)

    [(path, during, reason)] = world.told
    assert (Path(path).name, during, reason) == ("one", "read", "No such file or directory")
    assert captured.report.exit_code == 3


def test_a_dry_run_says_what_would_be_added_and_writes_nothing(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict(world.storage.files)  # type: ignore[attr-defined]  # it is in memory
    monkeypatch.chdir(source)
    settings = BackupOptions((".",), hostname="node")  # folders above it, which others change, are left out

    dry = capture(world.opened().dry(), settings, progress=Progress(), report=lambda *_: None)

    assert world.storage.files == before  # type: ignore[attr-defined]  # it is in memory
    done = capture(world.opened(), settings, progress=Progress(), report=lambda *_: None)
    assert (dry.tree, dry.report.bytes_added) == (done.tree, done.report.bytes_added)
    assert dry.report.data_blobs == done.report.data_blobs > 0


def test_what_becomes_of_each_file_is_told_if_that_is_wanted(world: World, source: Path) -> None:
    told: list[tuple[str, str, int]] = []
    (source / "same").write_text("same")
    (source / "changed").write_text("before")
    world.backup(source)
    (source / "changed").write_text("afterwards")
    (source / "added").write_text("new")

    capture(
        world.opened(),
        BackupOptions((str(source),), hostname="node", listing=True),
        progress=Progress(),
        report=lambda *_: None,
        listen=lambda *what: told.append(what),
    )

    assert {(became, Path(path).name, size) for became, path, size in told} >= {
        ("unchanged", "same", 4),
        ("modified", "changed", 10),
        ("new", "added", 3),
    }


def test_a_link_named_as_source_is_stored_as_a_link(world: World, source: Path) -> None:
    (source.parent / "link").symlink_to(source)

    captured = world.backup(source.parent / "link")

    world.restore_folder(captured, source.parent, source.parent / "back")
    assert (source.parent / "back" / "link").readlink() == source


def test_paths_of_a_snapshot_are_absolute_sorted_and_named_once() -> None:
    assert stored_paths(["/b/../c", "/a", "/a/", "//a"]) == ("/a", "/c")


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("7", 7), ("3b", 3), ("2K", 2048), ("1kb", 1024), ("5M", 5 << 20), ("1g", 1 << 30)],
)
def test_sizes_have_units_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5G", "3x", "1KM", "2bb"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


def test_markers_are_plain_names() -> None:
    assert parse_marker("x:a:b") == (b"x", b"a:b")
    with pytest.raises(UsageError):
        parse_marker("a/b")


def test_standard_input_is_stored_as_one_file(world: World, place: Path) -> None:
    pieces = [b"first ", b"second"]

    def read(place: memoryview) -> int:
        piece = pieces.pop(0) if pieces else b""
        place[: len(piece)] = piece
        return len(piece)

    repository = world.opened()
    captured = capture(
        repository,
        BackupOptions(hostname="node", stdin_filename="dump.sql"),
        progress=Progress(),
        report=lambda *_: None,
        read=read,
    )

    world.restore(captured.tree, place)
    assert (place / "dump.sql").read_bytes() == b"first second"
    assert captured.paths == ("/dump.sql",)


def test_a_stream_may_lie_in_folders(world: World, place: Path) -> None:
    options = BackupOptions(hostname="node", stdin_filename="/dumps/shop/all.sql")

    captured = capture(world.opened(), options, progress=Progress(), report=lambda *_: None, read=lambda _: 0)

    world.restore(captured.tree, place)
    assert (place / "dumps" / "shop" / "all.sql").read_bytes() == b""
    assert captured.paths == ("/dumps/shop/all.sql",)


@pytest.mark.parametrize("name", ["", "/", "a/", "a//b", "//a", "../a", "a/./b"])
def test_a_stream_needs_a_name_that_a_file_can_have(world: World, name: str) -> None:
    options = BackupOptions(hostname="node", stdin_filename=name)

    with pytest.raises(UsageError, match="does not name a file"):
        capture(world.opened(), options, progress=Progress(), report=lambda *_: None, read=lambda _: 0)


def test_totals_are_counted_ahead_for_those_who_watch(world: World, source: Path) -> None:
    root = arrange([str(source / "a"), str(source / "large")])
    progress = Progress()
    exclusion = Exclusion(Patterns(["*.log"]))

    with estimated(root, exclusion, progress):
        wait(lambda: progress.files_total > 0)

    assert (progress.files_total, progress.bytes_total) == (2, len("a/one") + 5000)
    assert world.capture(source, estimate=True).report.files_new == 6


def test_counting_ends_with_the_backup(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    going_on = threading.Event()

    def endless(_folder: int) -> tuple[list[Found], list[tuple[bytes, OSError]]]:
        going_on.set()
        return [(b"x", (source / "large").stat()), (b".", (source / "a").stat())], []

    monkeypatch.setattr("becalm_engine.commands.estimate.list_directory", endless)
    progress = Progress()

    with estimated(arrange([str(source)]), Exclusion(), progress):
        assert going_on.wait(10)

    assert progress.files_total == 0


def test_progress_moves_within_a_file_and_ends_at_its_whole(world: World, source: Path) -> None:
    (source / "large").write_bytes(os.urandom(12_000_000))
    seen: list[int] = []

    class Watched(Progress):
        """Looks at the counters whenever the command does."""

        def check(self) -> None:
            seen.append(self.bytes_done)

    progress = Watched()
    captured = world.capture(source, progress=progress)

    assert progress.bytes_done == captured.report.bytes_processed
    assert progress.files_done == 6
    assert len({done for done in seen if 0 < done < 12_000_000}) > 2
    again = Progress()
    world.backup(source)
    world.capture(source, progress=again)
    assert again.bytes_done == progress.bytes_done


def test_the_report_says_how_much_the_parent_held(world: World, source: Path) -> None:
    first = world.backup(source)
    (source / "large").write_bytes(b"")

    second = world.backup(source)

    assert first.report.parent_bytes == 0
    assert second.report.parent_bytes == first.report.bytes_processed > second.report.bytes_processed


@pytest.mark.parametrize("size", [None, "many", -1, 1.5, 1 << 70])
def test_a_parent_that_talks_nonsense_about_its_size_says_nothing(
    world: World, source: Path, size: object
) -> None:
    world.backup(source)
    (stored,) = world.snapshots()
    snapshots.save_snapshot(
        world.opened(),
        replace(
            stored.snapshot,
            time_nanos=stored.snapshot.time_nanos + 1,
            summary={"total_bytes_processed": size},
        ),
    )

    assert world.backup(source).report.parent_bytes == 0
