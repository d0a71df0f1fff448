"""A source that lies below another one: it is in the snapshot, or the backup does not begin."""

import os
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.commands.backup import BackupOptions
from becalm_engine.commands.gate import Gate, capture_behind
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import Exclusion
from becalm_engine.errors import UsageError
from becalm_engine.policy.patterns import Patterns
from becalm_engine.repository.repository import open_repository
from tests.engine.commands.world import World
from tests.engine.repository.repositories import PASSWORD


@pytest.fixture
def data(place: Path) -> Path:
    """A folder with a folder, a log, a cache, a large file, and a link that leads out of it."""
    folder = place / "data"
    for name in ("sub", "cache"):
        (folder / name).mkdir(parents=True)
    (folder / "sub" / "important.log").write_text("kept by name")
    (folder / "cache" / "CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55")
    (folder / "cache" / "inner").touch()
    (folder / "large").write_bytes(bytes(5000))
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "inner").write_text("beyond the link")
    (folder / "link").symlink_to("../elsewhere")
    return folder


@pytest.mark.parametrize(
    ("inner", "exclusion", "why"),
    [
        ("sub/important.log", Exclusion(Patterns(["*.log"])), "is excluded"),
        ("sub/important.log", Exclusion(Patterns(["sub"])), "data/sub is excluded"),
        ("cache/inner", Exclusion(caches=True), "is excluded"),
        ("large", Exclusion(larger_than_bytes=4999), "is excluded"),
        ("link/inner", Exclusion(), "data/link is a link"),
    ],
    ids=["a pattern", "a pattern above it", "a cache", "too large", "behind a link"],
)
@pytest.mark.parametrize("inner_first", [False, True])
def test_one_that_would_be_left_out_is_refused(
    world: World, data: Path, inner: str, exclusion: Exclusion, why: str, inner_first: bool
) -> None:
    sources = [data / inner, data] if inner_first else [data, data / inner]

    with pytest.raises(UsageError, match=f"would be left out of .*{why}.*by another command"):
        world.backup(*sources, exclusion=exclusion)
    assert world.snapshots() == []


def test_one_on_another_file_system_is_refused_where_that_is_left_empty(world: World, data: Path) -> None:
    with pytest.raises(UsageError, match="/proc is another file system"):
        world.backup("/", "/proc", exclusion=Exclusion(one_file_system=True))


@pytest.mark.parametrize("outer_slash", [True, False])
def test_a_second_slash_at_the_beginning_hides_none(world: World, data: Path, outer_slash: bool) -> None:
    outer, inner = str(data), str(data / "link" / "inner")
    sources = (f"/{outer}", inner) if outer_slash else (outer, f"/{inner}")

    with pytest.raises(UsageError, match="data/link is a link"):
        world.backup(*sources)


def test_a_file_is_taken_whatever_its_device(
    world: World, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.lstat

    def overlaid(path: Any, **options: Any) -> os.stat_result:
        found = real(path, **options)
        if os.fsencode(path) != bytes(data / "large"):
            return found
        mode, inode, device, *rest = found
        return os.stat_result((mode, inode, device + 1, *rest))

    monkeypatch.setattr(os, "lstat", overlaid)
    one = Exclusion(one_file_system=True)

    captured = world.backup(data, data / "large", exclusion=one)

    assert captured.tree == world.backup(data, exclusion=one).tree


@pytest.mark.parametrize("pre_copy", [False, True])
def test_nobody_is_stopped_for_one_that_is_refused(world: World, data: Path, pre_copy: bool) -> None:
    class Shut(Gate):
        def wait(self, progress: Progress) -> None:
            pytest.fail("it came as far as the gate")

    with pytest.raises(UsageError, match="would be left out"):
        capture_behind(
            Shut(data / "no gate"),
            open_repository(world.storage, PASSWORD),
            BackupOptions((str(data), str(data / "link" / "inner"))),
            pre_copy=pre_copy,
            progress=Progress(),
            report=lambda *_: None,
            listen=lambda *_: None,
        )


@pytest.mark.parametrize("inner", ["sub", "sub/important.log", "link", "large"])
def test_one_that_is_taken_with_the_other_needs_no_word(world: World, data: Path, inner: str) -> None:
    excluding = Exclusion(Patterns(["*.tmp"]), caches=True, one_file_system=True)

    captured = world.backup(data, data / inner, exclusion=excluding)

    assert captured.tree == world.backup(data, exclusion=excluding).tree
