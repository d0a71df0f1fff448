"""What is written of a file: room first, then only what differs, and holes if they are asked for."""

import os
import random
import subprocess
import threading
from pathlib import Path

import pytest

from becalm_engine.chunking import ZERO_BLOCK
from becalm_engine.commands import contents
from becalm_engine.commands.backup import Captured
from becalm_engine.commands.restored import Action
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.repository.reader import load_tree
from becalm_engine.volume import target
from tests.engine.commands.world import World
from tests.engine.volume.picture import differences, picture


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
