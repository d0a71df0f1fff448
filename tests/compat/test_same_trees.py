"""The same folder gives the same trees in both programs, down to the last byte: so both share them, and see no change."""

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
    program.run("init")
    program.run("backup", *flags, folder.name, cwd=folder.parent)
    [snapshot] = program.json("snapshots")
    return str(snapshot["tree"])


def node_names(program: Program, tree: str) -> str:
    """Return a tree as it is stored."""
    return program.run("cat", "blob", tree)


def test_one_folder_has_one_tree(uncut: Path, version: str, place: Path) -> None:
    """0.14 takes targets of links for text: what is no UTF-8 is lost, so the tree that holds it is another."""
    lost = [f"--exclude={path.decode().rpartition('/')[2]}" for path in LOST[version]]
    theirs = restic(version, place / "theirs", place / "cache")

    expected = root_of(theirs, uncut, *lost)

    assert root_of(becalm(place / "ours"), uncut, *lost) == expected


def test_every_name_is_written_alike(names: Path, version: str, place: Path) -> None:
    theirs, ours = restic(version, place / "theirs", place / "cache"), becalm(place / "ours")

    expected, found = root_of(theirs, names), root_of(ours, names)

    assert found == expected


def test_every_name_that_becalm_wrote_comes_back_with_restic(names: Path, version: str, place: Path) -> None:
    root_of(becalm(place / "repository"), names)

    restic(version, place / "repository", place / "cache").run(
        "restore", "latest", f"--target={place / 'out'}"
    )

    assert listed(place / "out") == listed(names)


def test_every_name_that_restic_wrote_comes_back_with_becalm(names: Path, version: str, place: Path) -> None:
    root_of(restic(version, place / "repository", place / "cache"), names)

    becalm(place / "repository").run("restore", "latest", f"--target={place / 'out'}")

    assert listed(place / "out") == listed(names)


def listed(folder: Path) -> set[bytes]:
    [inside] = folder.rglob("names")
    return set(os.listdir(os.fsencode(inside)))
