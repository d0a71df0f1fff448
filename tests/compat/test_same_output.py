"""What becalm prints, beside what restic prints: scripts read it."""

import filecmp
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.format.printable import is_printable
from tests.compat.programs import Program, becalm, restic
from tests.engine.volume import sources
from tests.engine.volume.picture import differences, picture

pytestmark = pytest.mark.restic


@pytest.fixture(scope="session")
def folder(scratch: Path) -> Path:
    """Files of every kind; but names that restic prints as they are and becalm quotes only in a folder of their own."""
    folder = scratch / "same"
    sources.write_odd(folder / "odd")
    sources.write_many(folder / "many", 300)
    (folder / "odd" / "names").rename(scratch / "same-names")
    (folder / "odd" / "links" / "binary").unlink()
    (folder / 'quo"te\\ <&> größe').write_text("a name")
    return folder


@pytest.fixture(scope="session", params=["becalm", "restic"])
def theirs(request: pytest.FixtureRequest, scratch: Path, folder: Path) -> Program:
    """A repository of two snapshots, written by becalm or by restic, in the hands of restic."""
    place = scratch / f"same-{request.param}"
    program = restic("0.19", place, scratch / f"same-{request.param}-cache")
    writer = becalm(place) if request.param == "becalm" else program
    writer.init()
    writer.run("backup", "--host=node", "--tag=a,b", folder)
    changed = folder / "odd" / "contents"
    (changed / "added").mkdir(exist_ok=True)
    (changed / "added" / "file").write_text(request.param)
    files = sorted(path for path in changed.iterdir() if path.is_file())
    files[0].write_text("changed")
    (folder / "many" / "0").rename(folder / "many" / "moved")
    writer.run("backup", "--host=node", folder)
    (folder / "many" / "moved").rename(folder / "many" / "0")
    return program


def lines(text: str) -> list[str]:
    """Return what was printed, without the line on which progress was drawn."""
    return [line for line in text.splitlines() if not line.startswith("[0:")]


def snapshot_ids(program: Program) -> list[str]:
    return [snapshot["id"] for snapshot in program.json("snapshots")]


def alike(theirs: Program, *arguments: str | Path) -> str:
    """Run both programs, see that they print the same bytes, and return them."""
    expected = theirs.run(*arguments, "--no-lock")
    assert lines(becalm(theirs.repository).run(*arguments, "--no-lock")) == lines(expected)
    return expected


@pytest.mark.parametrize(
    "flags",
    [
        [], ["--json"], ["-l"], ["-l", "--human-readable"], ["--ncdu"], ["-q"],
        ["--reverse"], ["-l", "--sort=extension"], ["-l", "--sort=size", "--reverse"], ["--json", "--sort=mtime"],
    ], ids=" ".join,
)  # fmt: skip
def test_ls(theirs: Program, flags: list[str]) -> None:
    assert len(alike(theirs, "ls", "latest", *flags)) > 10_000


def test_ls_of_folders(theirs: Program, folder: Path) -> None:
    alike(theirs, "ls", "latest", "/")
    alike(theirs, "ls", "latest", folder / "odd")
    alike(theirs, "ls", "latest", folder / "odd", folder / "many", "--recursive")
    alike(theirs, "ls", f"latest:{folder}", "/many/0", "--json")
    alike(theirs, "ls", "latest", "/nowhere", "--tag=a")


@pytest.mark.parametrize(
    "arguments",
    [
        ["file-1*"], ["file-1*", "-l"], ["--json", "file-2?", "links"], ["FILE-11", "-i", "-R"], ["many"],
        ["--json", "nothing"], ["f*", "--oldest=2001-01-01", "--newest=2100-01-01"], ["--tag=a", "-q", "f*"],
    ], ids=" ".join,
)  # fmt: skip
def test_find(theirs: Program, arguments: list[str]) -> None:
    alike(theirs, "find", *arguments)


def test_find_of_a_path(theirs: Program, folder: Path) -> None:
    assert alike(theirs, "find", folder / "many")
    assert alike(theirs, "find", "--json", f"{folder}/*/links/**")


def test_find_of_ids(theirs: Program, folder: Path) -> None:
    first, second = snapshot_ids(theirs)
    tree = theirs.json("cat", "snapshot", second)["tree"]
    many = theirs.run("cat", "tree", f"{first}:{folder}/odd/contents")
    blob = many.split('"content":["', 1)[1][:64]

    for flags in ([], ["--json"]):
        assert tree in alike(theirs, "find", "--tree", tree, *flags)
        assert blob in alike(theirs, "find", "--blob", blob, *flags)
    assert "Object belongs to pack" in alike(theirs, "find", "--blob", blob, "--show-pack-id")
    packs = [path.name for path in Path(theirs.repository, "data").glob("*/*")]
    for pack in packs[:2]:
        alike(theirs, "find", "--pack", pack)


@pytest.mark.parametrize("mode", ["restore-size", "files-by-contents", "blobs-per-file", "raw-data"])
def test_stats(theirs: Program, mode: str) -> None:
    # by name: over all snapshots restic goes by their ids, and blobs-per-file counts a content where it is first
    first, second = snapshot_ids(theirs)

    for arguments in ([first, second], [second, first], ["latest"], ["--json", "--tag=a"]):
        assert alike(theirs, "stats", f"--mode={mode}", *arguments)


@pytest.mark.parametrize(
    "flags", [[], ["--metadata"], ["--json"], ["--metadata", "--json"], ["-q"]], ids=" ".join
)
def test_diff(theirs: Program, folder: Path, flags: list[str]) -> None:
    first, second = snapshot_ids(theirs)

    assert len(alike(theirs, "diff", first, second, *flags)) > 100
    alike(theirs, "diff", second, first, *flags)
    alike(theirs, "diff", f"{first}:{folder}/many", f"{second}:{folder}/odd", *flags)


def test_dump_of_files(theirs: Program, folder: Path, place: Path) -> None:
    largest = max((folder / "odd" / "contents").iterdir(), key=lambda path: path.stat().st_size)
    out = place / "file"

    becalm(theirs.repository).run("dump", "latest", largest, "--target", out)

    theirs.run("dump", "latest", largest, "--target", f"{out}-theirs")
    assert filecmp.cmp(out, f"{out}-theirs", shallow=False)


def archived(program: Program, place: Path, *arguments: str | Path) -> Path:
    out = place / program.binary.name
    program.run("dump", *arguments, "--target", out)
    return out


def members(path: Path) -> Iterator[tuple[Any, ...]]:
    """Yield what matters of a tar; times to the second, all that restic keeps of them."""
    with tarfile.open(path, errors="surrogateescape") as tar:
        for member in tar:
            kept = {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.")}
            owner = member.uid, member.gid, member.uname, member.gname
            yield member.name, member.type, member.mode, member.size, owner, member.linkname, kept


def test_dump_of_a_folder_as_tar(theirs: Program, folder: Path, place: Path) -> None:
    special = (tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)  # which restic leaves out

    ours = [
        one
        for one in members(archived(becalm(theirs.repository), place, "latest", folder))
        if one[1] not in special
    ]

    assert ours == list(members(archived(theirs, place, "latest", folder)))
    assert len(ours) > 300


def test_dump_of_a_folder_as_zip(theirs: Program, folder: Path, place: Path) -> None:
    paths = [
        archived(program, place, "latest", folder, "--archive=zip")
        for program in (becalm(theirs.repository), theirs)
    ]
    with zipfile.ZipFile(paths[0]) as ours, zipfile.ZipFile(paths[1]) as others:
        assert ours.testzip() is None
        found, expected = (
            [(one.filename, one.CRC, one.file_size, one.external_attr >> 16) for one in archive.infolist()]
            for archive in (ours, others)
        )
    assert [one for one in found if "modes" not in one[0]] == [
        one for one in expected if "modes" not in one[0]
    ]


def test_names_that_could_steer_a_terminal_are_quoted_and_json_is_the_same(
    scratch: Path, place: Path, folder: Path
) -> None:
    theirs = restic("0.19", place / "repository", place / "cache")
    theirs.init()
    theirs.run("backup", scratch / "same-names")

    ours = becalm(theirs.repository).run("ls", "-q", "latest")

    assert all(map(is_printable, ours.replace("\n", "")))
    raw = list(theirs.lines("ls", "latest"))
    assert list(becalm(theirs.repository).lines("ls", "latest")) == raw
    assert len(ours.splitlines()) == len(raw) - 1
    assert os.fsdecode(b"star*?[a]") in ours


@pytest.fixture(scope="session")
def several(scratch: Path) -> Program:
    """A repository of snapshots with hosts, tags and paths of all widths."""
    place = scratch / "several"
    ours = becalm(place)
    ours.init()
    for name in ("one", "größe", "日本語"):
        (place.parent / "several-sources" / name).mkdir(parents=True)
        (place.parent / "several-sources" / name / "file").write_text(name * 1000)
    one, two, three = sorted((place.parent / "several-sources").iterdir())
    for at, (host, tags, paths) in enumerate(
        [
            ("a", [], [one]), ("a-host-with-a-long-name", ["x", "a-tag-with-a-long-name"], [two]),
            ("größe", ["日本語"], [three]), ("a", ["x"], [one]),
        ]
    ):  # fmt: skip
        flags = [f"--tag={tag}" for tag in tags]
        ours.run("backup", f"--host={host}", f"--time=2026-01-0{at + 1} 03:04:05", *flags, *paths)
    return restic("0.19", place, scratch / "several-cache")


@pytest.mark.parametrize(
    "flags",
    [
        [], ["--compact"], ["--latest=1"], ["--host=a", "--compact"], ["--tag=x"], ["--host=none"], ["-q"],
        ["--group-by=host,paths,tags", "--host=größe"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_snapshots(several: Program, flags: list[str]) -> None:
    alike(several, "snapshots", *flags)


def test_snapshots_of_several_paths_are_set_apart(several: Program) -> None:
    paths = sorted((Path(several.repository).parent / "several-sources").iterdir())
    becalm(several.repository).run("backup", "--host=b", "--time=2026-02-01 03:04:05", *paths)

    assert "\n\n" in alike(several, "snapshots")
    alike(several, "snapshots", "--compact")


def test_times_are_shown_in_the_zone_of_the_process(several: Program) -> None:
    for zone in ("Asia/Tokyo", "", "UTC"):
        environment = {**several.environment, "TZ": zone}
        ours = replace(becalm(several.repository), environment={"TZ": zone})
        shown = replace(several, environment=environment).run("snapshots", "--no-lock")
        assert ours.run("snapshots", "--no-lock") == shown


def restored(program: Program, target: Path, *flags: str | Path) -> list[str]:
    """Restore into a target, and return what was said about each file, sorted."""
    said = program.run("restore", f"--target={target}", "--no-lock", *flags).replace(str(target), "TARGET")
    if "--json" in flags:
        documents = map(json.loads, said.splitlines())
        return sorted(str(one) for one in documents if one["message_type"] != "status")
    # restic counts links that it leaves alone among those it had to restore
    return sorted(re.sub(r" / \d+( files/dirs \(\S+ \S+) / \S+ \S+(?=\))", r"\1", said).splitlines())


def spoil(folder: Path) -> None:
    """Change a restored folder: contents, lengths, times, types, what is missing and what is too much."""
    files = sorted(path for path in folder.rglob("*") if not path.is_symlink() and path.is_file())
    for at, path in enumerate(files[:60]):
        nanos = path.stat().st_mtime_ns + (at % 3 - 1) * 10**9
        if at % 2:
            path.chmod(0o600)
        if at % 5 == 0:
            path.write_text("another content")
        os.utime(path, ns=(1, nanos))
        if at % 7 == 0:
            path.unlink()
    (folder / "extra" / "deep").mkdir(parents=True)
    (folder / "extra" / "deep" / "file").touch()
    (folder / "many" / "x.conf").touch()
    settle(folder)


def settle(folder: Path) -> None:
    """Give all directories, and files that no snapshot has, one time."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink() and (path.is_dir() or path.parent.name == "deep" or path.name == "x.conf"):
            os.utime(path, ns=(1, 10**18))


@pytest.mark.parametrize(
    "flags",
    [
        ["-vv", "--delete"], ["-vv", "--overwrite=if-newer", "--delete"], ["-vv", "--overwrite=never"],
        ["--json", "-vv", "--dry-run", "--overwrite=if-changed", "--delete"],
    ], ids=" ".join,
)  # fmt: skip
def test_restore_of_what_has_changed(theirs: Program, folder: Path, place: Path, flags: list[str]) -> None:
    ours, snapshot = becalm(theirs.repository), f"latest:{folder}"
    pictures = []
    said = []
    for program, target in ((theirs, place / "theirs"), (ours, place / "ours")):
        theirs.run("restore", f"--target={target}", "--no-lock", snapshot)
        spoil(target)
        said.append(restored(program, target, snapshot, *flags))
        pictures.append(picture(target, holes=False))

    assert differences(*pictures) == []
    assert said[1] == said[0]


@pytest.mark.parametrize(
    "flags",
    [
        ["--include=/many/1*", "--include=*.conf", "--iinclude=CONTENTS", "--include=!/many/1/2"],
        ["--exclude=/odd", "--exclude=[0-4]", "--iexclude=*.CONF"],
    ], ids=" ".join,
)  # fmt: skip
def test_restore_by_patterns(theirs: Program, folder: Path, place: Path, flags: list[str]) -> None:
    ours, snapshot = becalm(theirs.repository), f"latest:{folder}"
    found = []
    for program, target in ((theirs, place / "theirs"), (ours, place / "ours")):
        (target / "extra").mkdir(parents=True)
        (target / "many").mkdir()
        (target / "many" / "x.conf").touch()
        restored(program, target, snapshot, "--delete", *flags)
        found.append({path.relative_to(target) for path in target.rglob("*")})

    assert found[0] == found[1]
