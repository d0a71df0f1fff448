"""Files that were changed shortly before the last backup: they are read again, and told as what they turn out to be."""

import os
from pathlib import Path

import pytest

from becalm_engine.commands import backup
from becalm_engine.commands.progress import Progress
from becalm_engine.policy.parent import ChangeRules
from tests.engine.commands.world import World

SECOND = 10**9


@pytest.fixture
def source(place: Path) -> Path:
    """Two files; one of them has just been written."""
    folder = place / "source"
    folder.mkdir()
    (folder / "fresh").write_bytes(b"as it was")
    (folder / "other").write_bytes(b"the other")
    return folder


def written_unseen(path: Path, content: bytes) -> None:
    """Write into a file, and let its times be what they were but for its ctime."""
    found = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_what_is_read_again_and_found_as_it_was_counts_as_unmodified(world: World, source: Path) -> None:
    first = world.backup(source)

    again = world.backup(source, parent_read_nanos=None)

    told = again.report
    assert (told.files_new, told.files_changed, told.files_unmodified) == (0, 0, 2)
    assert (told.data_blobs, told.tree_blobs, told.bytes_added) == (0, 0, 0)
    assert backup.is_unchanged(again)
    assert again.tree == first.tree


def test_it_is_listed_as_unchanged_too(world: World, source: Path) -> None:
    world.backup(source)
    listed: list[tuple[str, str, int]] = []
    repository = world.opened()
    options = backup.BackupOptions((str(source),), hostname="node", listing=True)

    backup.capture(
        repository,
        options,
        progress=Progress(),
        report=lambda *_: None,
        listen=lambda *what: listed.append(what),
    )

    assert [(became, Path(path).name) for became, path, _ in listed] == [
        ("unchanged", "fresh"),
        ("unchanged", "other"),
    ]


def test_what_changed_and_shows_in_no_time_is_found(world: World, source: Path) -> None:
    world.backup(source)
    written_unseen(source / "fresh", b"as it is!")
    rules = ChangeRules(ignore_ctime=True)

    missed = world.capture(source, rules=rules).report
    found = world.capture(source, rules=rules, parent_read_nanos=None).report

    assert (missed.files_changed, missed.files_unmodified) == (0, 2)
    assert (found.files_changed, found.files_unmodified) == (1, 1)


def test_what_changed_more_than_a_minute_before_is_not_read_again(
    world: World, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.backup(source)
    changed = max(path.stat().st_ctime_ns for path in source.iterdir())
    monkeypatch.setattr("becalm_engine.commands.folder.open_file", None)

    with pytest.raises(TypeError, match="not callable"):
        world.capture(source, parent_read_nanos=changed + 59 * SECOND)
    assert world.capture(source, parent_read_nanos=changed + 61 * SECOND).report.files_unmodified == 2
