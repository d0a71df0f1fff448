"""The same folder gives the same trees in both programs, byte for byte: so both share them, and see no change."""

import os
from pathlib import Path

import pytest

from tests.compat import odd_names
from tests.compat.programs import LOST, Program, becalm, restic
from tests.engine.volume import sources

pytestmark = [pytest.mark.restic, pytest.mark.slow]

LARGEST_BYTES = 512 * 1024
"""Neither program cuts a file that is no longer."""


@pytest.fixture(scope="session")
def names(scratch: Path) -> Path:
    """A folder of empty files with every name that there is."""
    odd_names.write_names(scratch / "named" / "names", odd_names.every_name())
    return scratch / "named"


@pytest.fixture(scope="session")
def uncut(scratch: Path) -> Path:
    """Everything that a file system can hold, without files that are cut."""
    sources.write_odd(scratch / "uncut" / "odd")
    sources.write_many(scratch / "uncut" / "many", 1000)
    for path in (scratch / "uncut" / "odd" / "contents").iterdir():
        if path.is_file() and path.stat().st_size > LARGEST_BYTES:
            path.unlink()
    (scratch / "uncut" / "odd" / "contents" / "zeros-512").write_bytes(bytes(LARGEST_BYTES))
    return scratch / "uncut"


def root_of(program: Program, folder: Path, *flags: str) -> str:
    """Make a repository, back up a folder into it, and return the id of the tree that holds only the folder.

    The path is relative: of an absolute one the tree would hold the folders above, too, which others change.
    """
    return tree_of(program, folder.parent, *flags, folder.name)


def tree_of(program: Program, place: Path, *arguments: str) -> str:
    """Make a repository, back up into it what lies in a place, and return the id of the tree."""
    program.init()
    program.run("backup", *arguments, cwd=place)
    [snapshot] = program.json("snapshots")
    return str(snapshot["tree"])


def test_one_folder_has_one_tree(uncut: Path, version: str, place: Path) -> None:
    """0.14 takes targets of links for text: what is no UTF-8 is lost, so the tree that holds it is another."""
    lost = [f"--exclude={path.decode().rpartition('/')[2]}" for path in LOST[version]]
    theirs = restic(version, place / "theirs", place / "cache")

    expected = root_of(theirs, uncut, *lost)

    assert root_of(becalm(place / "ours"), uncut, *lost) == expected


@pytest.mark.parametrize(
    "named", [("link/sub",), ("twice/sub/file",), ("link", "link/sub"), ("link/sub", "twice", "folder")]
)
def test_a_link_on_the_way_to_a_source_is_the_folder_that_it_leads_to(
    version: str, place: Path, named: tuple[str, ...]
) -> None:
    (place / "folder" / "sub").mkdir(parents=True)
    (place / "folder" / "sub" / "file").write_text("content")
    (place / "folder" / "beside").write_text("more")
    (place / "link").symlink_to("folder")
    (place / "twice").symlink_to("link")
    theirs, ours = restic(version, place / "theirs", place / "cache"), becalm(place / "ours")

    expected = tree_of(theirs, place, *named)

    assert tree_of(ours, place, *named) == expected
    assert ours.run("ls", "latest").count("file\n") == 1 + (len(named) == 3)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--exclude-caches"], ["."]),
        (["--exclude-caches"], ["cache"]),
        (["--exclude-if-present=.nobackup"], ["."]),
        (["--exclude-if-present=.nobackup:really", "--exclude-if-present=CACHEDIR.TAG:no"], ["."]),
        (["--exclude-caches", "--exclude-if-present=.nobackup"], ["."]),
        (["--exclude-caches", "--exclude-if-present=CACHEDIR.TAG"], ["both", "plain"]),
    ],
)
def test_of_a_folder_with_a_marker_that_alone_is_taken(
    version: str, place: Path, flags: list[str], named: list[str]
) -> None:
    data = place / "data"
    for name in ("cache", "marked", "both", "plain"):
        (data / name / "sub").mkdir(parents=True)
        (data / name / "sub" / "file").write_text("content")
        if name in ("cache", "both"):
            (data / name / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
        if name in ("marked", "both"):
            (data / name / ".nobackup").write_text("really")
    theirs, ours = restic(version, place / "theirs", place / "cache"), becalm(place / "ours")

    expected = tree_of(theirs, data, *flags, *named)

    assert tree_of(ours, data, *flags, *named) == expected


def test_the_names_hold_every_code_point_and_every_byte() -> None:
    text = b"".join(odd_names.code_points()).decode()
    raw = b"".join(odd_names.single_bytes())

    assert set(text) == {chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000} - {"/"}
    assert set(raw) == set(range(1, 256)) - {ord("/")}


def test_every_name_is_written_alike_and_comes_back(names: Path, version: str, place: Path) -> None:
    theirs, ours = restic(version, place / "theirs", place / "cache"), becalm(place / "ours")

    assert root_of(ours, names) == root_of(theirs, names)

    becalm(place / "theirs").run("restore", "latest", f"--target={place / 'by-becalm'}")
    restic(version, place / "ours", place / "cache").run(
        "restore", "latest", f"--target={place / 'by-restic'}"
    )
    expected = names_below(names)
    assert len(expected) > 19_000
    assert names_below(place / "by-becalm") == expected
    assert names_below(place / "by-restic") == expected


def test_a_long_file_is_cut_at_other_places(version: str, place: Path) -> None:
    (place / "long").mkdir()
    (place / "long" / "file").write_bytes(os.urandom(20 * sources.MIB))
    ours = becalm(place / "repository")
    root_of(ours, place / "long")

    theirs = restic(version, place / "repository", place / "cache")
    summary = list(theirs.lines("backup", "--force", place / "long"))[-1]

    assert summary["data_added"] > 19 * sources.MIB


def names_below(folder: Path) -> set[bytes]:
    [inside] = folder.rglob("names")
    with os.scandir(os.fsencode(inside)) as entries:
        return {entry.name for entry in entries}
