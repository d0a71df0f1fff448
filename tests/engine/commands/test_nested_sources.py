"""A source that lies below another one: it is in the snapshot, or the backup does not begin."""

from pathlib import Path

import pytest

from becalm_engine.commands.sources import Exclusion
from becalm_engine.errors import UsageError
from becalm_engine.policy.patterns import Patterns
from tests.engine.commands.world import World


@pytest.fixture
def data(place: Path) -> Path:
    """A folder with a folder, a log, a cache, a large file, and a link that leads out of it."""
    folder = place / "data"
    for name in ("sub", "cache"):
        (folder / name).mkdir(parents=True)
    (folder / "sub" / "important.log").write_text("kept by name")
    (folder / "cache" / "CACHEDIR.TAG").write_bytes(b"Signature: 8a477f597d28d172789f06886806bc55")
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
        ("cache", Exclusion(caches=True), "is excluded"),
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


@pytest.mark.parametrize("inner", ["sub", "sub/important.log", "link", "large"])
def test_one_that_is_taken_with_the_other_needs_no_word(world: World, data: Path, inner: str) -> None:
    excluding = Exclusion(Patterns(["*.tmp"]), caches=True, one_file_system=True)

    captured = world.backup(data, data / inner, exclusion=excluding)

    assert captured.tree == world.backup(data, exclusion=excluding).tree
