"""What one program has pruned, in the hands of the other; and that each keeps out of the other's way."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from becalm_engine.repository.lock import locked
from tests.compat.conftest import Source
from tests.compat.programs import LOST, Program, becalm, restic
from tests.compat.trees import opened
from tests.engine.volume.picture import differences, picture, without
from tests.engine.volume.sources import MIB

pytestmark = [pytest.mark.restic, pytest.mark.slow]

DEADLINE_SECONDS = 30.0
ALL_WASTE = ("--max-unused=0", "--repack-small")


@pytest.fixture(scope="session")
def waste(scratch: Path) -> Path:
    """What nobody will need: it shares packs with what is."""
    folder = scratch / "waste"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}").write_bytes(os.urandom(MIB // 4))
    return folder


def fill(program: Program, small: Source, waste: Path) -> None:
    """Back up the source together with the waste, and again without it."""
    program.run("backup", "--host=node", small.folder, waste)
    program.run("backup", "--host=node", small.folder)


@pytest.fixture(scope="session")
def unpruned(scratch: Path, small: Source, waste: Path) -> Path:
    """A repository of becalm with one snapshot that is to go and one that stays."""
    ours = becalm(scratch / "unpruned")
    ours.init()
    fill(ours, small, waste)
    return scratch / "unpruned"


@pytest.fixture(scope="session")
def pruned(scratch: Path, unpruned: Path) -> Path:
    """The same repository after becalm has forgotten and pruned."""
    copy = scratch / "pruned"
    shutil.copytree(unpruned, copy)
    becalm(copy).run("forget", "--group-by=", "--keep-last=1", "--prune", *ALL_WASTE)
    return copy


def copied(repository: Path, place: Path) -> Path:
    shutil.copytree(repository, place / "repository", copy_function=os.link)
    return place / "repository"


def size_of(repository: Path) -> int:
    return sum(path.stat().st_size for path in (repository / "data").rglob("*") if path.is_file())


def restored_equal(program: Program, small: Source, into: Path, *left_out: bytes) -> None:
    """Restore the newest snapshot, and compare it with the source."""
    below = Path(str(small.folder).lstrip("/"))
    program.run("restore", "latest", f"--target={into}", *([] if program.version == "0.14" else ["--sparse"]))
    found = picture(into / below, holes=program.version != "0.14")
    expected = picture(small.folder, holes=False) if program.version == "0.14" else small.picture
    assert differences(without(expected, *left_out), without(found, *left_out)) == []


def test_restic_finds_all_that_is_needed_after_becalm_has_pruned(
    version: str, unpruned: Path, pruned: Path, small: Source, place: Path
) -> None:
    theirs = restic(version, copied(pruned, place), place / "cache")

    assert "no errors were found" in theirs.run("check", "--read-data")
    assert size_of(pruned) < size_of(unpruned) - 9 * MIB
    restored_equal(theirs, small, place / "out", *LOST[version])
    theirs.run("prune", "--max-unused=0")
    theirs.run("check", "--read-data")


def test_becalm_finds_all_that_is_needed_after_restic_has_pruned(
    version: str, unpruned: Path, small: Source, place: Path
) -> None:
    repository = copied(unpruned, place)
    theirs, ours = restic(version, repository, place / "cache"), becalm(repository)

    theirs.run("forget", "--group-by=", "--keep-last=1", "--prune", "--max-unused=0")

    ours.run("check", "--read-data")
    restored_equal(ours, small, place / "out")


@pytest.mark.parametrize(
    ("version", "how"),
    [("0.14", "auto"), ("0.14", "format 1"), ("0.18", "off"), ("0.19", "auto"), ("0.19", "off")],
)
def test_becalm_prunes_what_restic_wrote(
    version: str, how: str, small: Source, waste: Path, place: Path
) -> None:
    theirs, ours = restic(version, place / "repository", place / "cache"), becalm(place / "repository")
    theirs.run("init", f"--repository-version={1 if how == 'format 1' else 2}")
    flags = [] if how == "format 1" else [f"--compression={how}"]
    theirs.run("backup", *flags, small.folder, waste)
    theirs.run("backup", *flags, small.folder)
    before = size_of(place / "repository")

    ours.run("forget", "--group-by=", "--keep-last=1", "--prune", *ALL_WASTE)

    assert size_of(place / "repository") < before - 9 * MIB
    theirs.run("check", "--read-data")
    restored_equal(ours, small, place / "out", *LOST[version])
    summary = ours.json("prune", "--dry-run", *ALL_WASTE)
    assert summary["bytes"]["remove_total"] == 0


def test_becalm_repairs_an_index_as_restic_does(
    version: str, pruned: Path, small: Source, place: Path
) -> None:
    repository = place / "repository"
    shutil.copytree(pruned, repository)
    for index in (repository / "index").iterdir():
        index.unlink()

    becalm(repository).run("repair", "index")

    theirs = restic(version, repository, place / "cache")
    theirs.run("check", "--read-data")
    restored_equal(theirs, small, place / "out", *LOST[version])


def test_restic_reads_what_becalm_has_repaired(version: str, unpruned: Path, place: Path) -> None:
    repository = place / "repository"
    shutil.copytree(unpruned, repository)
    theirs, ours = restic(version, repository, place / "cache"), becalm(repository)
    max((repository / "data").glob("*/*"), key=lambda path: path.stat().st_size).unlink()

    ours.run("repair", "index")
    ours.run("repair", "snapshots", "--forget")

    theirs.run("check", "--read-data")
    assert [one["tags"] for one in theirs.json("snapshots")] == [["repaired"], ["repaired"]]


def test_restic_reads_what_becalm_has_recovered(version: str, unpruned: Path, place: Path) -> None:
    theirs, ours = restic(version, copied(unpruned, place), place / "cache"), becalm(place / "repository")
    ours.run("forget", "--group-by=", "--keep-last=1")

    ours.run("recover")

    theirs.run("check", "--read-data")
    assert theirs.json("snapshots")[-1]["tags"] == ["recovered"]
    theirs.run("restore", "latest", f"--target={place / 'out'}")


# --- locks


def test_restic_does_not_prune_while_becalm_works(version: str, pruned: Path, place: Path) -> None:
    repository = copied(pruned, place)
    theirs = restic(version, repository, place / "cache")

    with locked(opened(repository), exclusive=False):
        theirs.run("prune", status=1 if version == "0.14" else 11)

    theirs.run("prune")


@pytest.fixture
def busy(version: str, pruned: Path, place: Path) -> Iterator[Program]:
    """A restic in the middle of a backup."""
    theirs = restic(version, copied(pruned, place), place / "cache")
    process = subprocess.Popen(
        [theirs.binary, "backup", "--stdin"],
        env=theirs.all_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not any((Path(theirs.repository) / "locks").iterdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield theirs
    process.communicate(b"the end", timeout=DEADLINE_SECONDS)
    assert process.returncode == 0


def test_becalm_does_not_prune_or_repair_while_restic_works(busy: Program) -> None:
    ours = becalm(busy.repository)

    for arguments in (["prune"], ["forget", "--keep-last=1", "--prune"], ["repair", "index"], ["recover"]):
        ours.run(*arguments, status=11)
