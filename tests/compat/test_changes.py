"""What becalm changes in a repository, in the hands of restic; and what restic changed, in the hands of becalm."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.compat.programs import PASSWORD, Program, becalm, restic
from tests.engine.volume import sources

pytestmark = pytest.mark.restic


@pytest.fixture(scope="session")
def folder(scratch: Path) -> Path:
    folder = scratch / "changes"
    sources.write_many(folder / "many", 300)
    sources.write_odd(folder / "odd")
    return folder


@pytest.fixture
def theirs(place: Path, folder: Path) -> Program:
    """A repository that restic wrote in another zone than becalm's: times in it are not UTC."""
    program = restic("0.19", place / "repository", place / "cache")
    abroad = Program(program.binary, program.repository, {**program.environment, "TZ": "Asia/Kolkata"})
    program.init()
    abroad.run("backup", "--host=node", "--tag=a,b", folder)
    abroad.run("backup", "--host=other", folder / "odd")
    return program


def without_ids(snapshots: list[dict[str, Any]]) -> list[str]:
    """Return what snapshots say, but for their own names; those of one time come in no order."""
    return sorted(
        json.dumps({key: value for key, value in snapshot.items() if key not in ("id", "short_id")})
        for snapshot in snapshots
    )


def copied(theirs: Program, place: Path) -> Program:
    """Return restic on a copy of the repository, for it to do the same."""

    shutil.copytree(theirs.repository, place / "twin")
    return restic("0.19", place / "twin", place / "twin-cache")


def same_change(theirs: Program, place: Path, *arguments: str) -> list[str]:
    """Let becalm and restic do the same to the same, and see that the snapshots are alike."""
    twin = copied(theirs, place)

    ours = becalm(theirs.repository).run(*arguments)

    expected = twin.run(*arguments)
    assert without_ids(theirs.json("snapshots")) == without_ids(twin.json("snapshots"))
    theirs.run("check", "--read-data")
    assert len(ours.splitlines()) == len(expected.splitlines())
    return ours.splitlines()


@pytest.mark.parametrize(
    "flags",
    [
        ["--add=c,a"],
        ["--remove=a", "--host=node"],
        ["--set=x,y", "latest"],
        ["--add=d", "--remove=b"],
    ],
    ids=" ".join,
)
def test_tags_become_what_restic_makes_of_them(theirs: Program, place: Path, flags: list[str]) -> None:
    same_change(theirs, place, "tag", *flags)


@pytest.mark.parametrize(
    "flags",
    [
        ["--exclude=file-1*"], ["--iexclude=FILE-1*", "--forget"], ["--exclude=names", "--new-host=third"],
        ["--exclude=many/*", "--exclude=!many/1", "--host=node"], ["--new-host=third", "--forget"],
        ["--exclude=file-1*", "--dry-run"], ["--exclude=no such name"],
    ], ids=" ".join,
)  # fmt: skip
def test_rewritten_snapshots_are_those_of_restic(theirs: Program, place: Path, flags: list[str]) -> None:
    same_change(theirs, place, "rewrite", *flags)


@pytest.mark.parametrize("writer", ["becalm", "restic"])
def test_a_copy_is_whole_and_both_programs_know_it_again(theirs: Program, place: Path, writer: str) -> None:
    into = place / "into"
    source = {"RESTIC_FROM_REPOSITORY": theirs.repository, "RESTIC_FROM_PASSWORD": "tests have no secrets"}
    first = restic("0.19", into, place / "into-cache")
    first.init(anew=True)
    newest = Program(first.binary, first.repository, {**first.environment, **source})
    ours = Program(becalm(into).binary, str(into), source)
    copier, other = (ours, newest) if writer == "becalm" else (newest, ours)

    copier.run("copy")
    packs = sorted(path.name for path in (into / "data").glob("*/*"))
    other.run("copy")

    assert sorted(path.name for path in (into / "data").glob("*/*")) == packs
    snapshots = first.json("snapshots")
    assert [one["original"] for one in snapshots] == [one["id"] for one in theirs.json("snapshots")]
    assert [one["tree"] for one in snapshots] == [one["tree"] for one in theirs.json("snapshots")]
    assert [one["time"] for one in snapshots] == [one["time"] for one in theirs.json("snapshots")]
    first.run("check", "--read-data")
    ours.run("check", "--read-data")


@pytest.mark.slow
@pytest.mark.parametrize("maker", ["restic", "becalm"])
def test_passwords_are_read_alike(version: str, place: Path, maker: str) -> None:
    """In files and from commands white space at the ends is none of them, in the environment it is."""
    theirs, ours = restic(version, place / "repository", place / "cache"), becalm(place / "repository")
    theirs.init()
    (place / "new").write_bytes(" \t\xa0\u3000it\ris new\x1c \t\r\n\n".encode())
    (place / "marked").write_text(f"\ufeff {PASSWORD} \n", encoding="utf-16-le")

    (ours if maker == "becalm" else theirs).run("key", "add", f"--new-password-file={place / 'new'}")

    for program in (ours, theirs):
        program.run("snapshots", f"--password-file={place / 'marked'}")
        program.run("snapshots", f"--password-file={place / 'new'}")
        program.run("snapshots", f"--password-command=cat {place / 'new'}")
        given(program, "it\ris new\x1c").run("snapshots")
        assert given(program, "it\ris new\x1c ").attempt("snapshots").returncode != 0


def given(program: Program, password: str) -> Program:
    """Return a program with a password in its environment."""
    environment = {**program.environment, "RESTIC_PASSWORD": password}
    return Program(program.binary, program.repository, environment)


PATTERNS = """\
  # comment
$DIRECTORY/*.o

${LETTER}${UNSET}.txt \u3000
price$$
$NO_COMMENT
$UNSET
brace${
line\u2028end
!keep.o
"""
NAMES = ("a.o", "keep.o", "x.txt", "price$", "#hash", "comment", "brace", "line\u2028end", "line", "é")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_patterns_are_read_alike(version: str, place: Path, encoding: str) -> None:
    (place / "source").mkdir()
    for name in NAMES:
        (place / "source" / name).write_text("content")
    (place / "patterns").write_text(f"é\n{PATTERNS}", encoding=encoding)
    theirs, ours = restic(version, place / "repository", place / "cache"), becalm(place / "repository")
    theirs.init()

    stored = []
    for program in (theirs, ours):
        more = {"DIRECTORY": str(place / "source"), "LETTER": "x", "NO_COMMENT": "#hash"}
        told = Program(program.binary, program.repository, {**program.environment, **more})
        told.run("backup", "--force", f"--exclude-file={place / 'patterns'}", place / "source")
        listed = ours.run("ls", "latest", "--json").splitlines()
        stored.append([node.get("name") for node in map(json.loads, listed) if node.get("type") == "file"])

    assert stored[0] == stored[1] == ["comment", "keep.o", "line"]


@pytest.mark.parametrize(
    "flags",
    [
        ["latest"],
        ["latest", "--host=node", "--keep-last=5"],
        ["latest", "0" * 64],
        ["--unsafe-allow-remove-all", "--host=node"],
        ["-l", "1", "-H", "1", "--group-by="],
    ],
)
def test_the_same_snapshots_are_forgotten(theirs: Program, place: Path, flags: list[str]) -> None:
    twin = copied(theirs, place)

    becalm(theirs.repository).run("forget", *flags)
    twin.run("forget", *flags)

    left = without_ids(theirs.json("snapshots"))
    assert left == without_ids(twin.json("snapshots"))
    assert len(left) == 1


@pytest.mark.parametrize(
    "flags",
    [
        ["forget", "--unsafe-allow-remove-all"],
        ["forget", "--host=node"],
        ["forget", "--keep-within=-1d"],
        ["snapshots", "--repository-file=/nowhere"],
        ["snapshots", "--password-file=/nowhere", "--password-command=false"],
        ["copy", "--from-repo=/nowhere", "--from-repository-file=/nowhere"],
        ["snapshots", "--json=perhaps"],
        ["snapshots", "--js"],
    ],
)
def test_both_refuse_the_same(theirs: Program, flags: list[str]) -> None:
    assert becalm(theirs.repository).attempt(*flags).returncode == theirs.attempt(*flags).returncode == 1


@pytest.mark.parametrize(
    "flags",
    [
        ["--no-cache", "snapshots", "--cleanup-cache", "--no-extra-verify", "--json=true", "--verbose=2"],
        ["ls", "latest", "-l", "/", "--json=false", "--host", "node"],
        ["tag", "--add", "x", "latest", "-v=1", "--host=node"],
        ["-v", "cat", "snapshot", "--no-lock", "latest"],
    ],
)
def test_both_take_flags_anywhere(theirs: Program, flags: list[str]) -> None:
    name = theirs.json("snapshots")[0]["id"]
    words = [name if word == "latest" else word for word in flags]

    assert becalm(theirs.repository).run(*words)
    assert theirs.run(*words)


def test_keys_of_each_open_in_the_other(theirs: Program, place: Path) -> None:
    (place / "new").write_text("made by becalm")
    (place / "newer").write_text("made by restic")
    ours = becalm(theirs.repository)

    ours.run("key", "add", f"--new-password-file={place / 'new'}", "--user=ann", "--host=there")
    theirs.run("snapshots", f"--password-file={place / 'new'}")
    theirs.run("key", "add", f"--new-password-file={place / 'newer'}")
    listed = theirs.json("key", "list")

    def by_id(keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(keys, key=lambda key: str(key["id"]))

    assert by_id(ours.json("key", "list")) == by_id(listed)
    ours.run("key", "passwd", f"--password-file={place / 'newer'}", f"--new-password-file={place / 'newer'}")
    assert len(theirs.json("key", "list")) == len(listed)
    [current] = [key["id"] for key in theirs.json("key", "list") if key["current"]]
    ours.run("key", "remove", current, status=1)
    ours.run("key", "remove", current, f"--password-file={place / 'new'}")
    theirs.run("snapshots", status=12)
