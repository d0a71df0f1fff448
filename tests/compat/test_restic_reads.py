"""What becalm wrote, in the hands of restic."""

import os
from pathlib import Path

import pytest

from becalm_engine.repository.blob_index import BlobIndex
from becalm_engine.repository.lock import locked
from tests.compat.conftest import Source
from tests.compat.programs import LOST, Program, becalm, restic
from tests.compat.trees import opened, trees_at
from tests.engine.volume.picture import differences, picture, without
from tests.engine.volume.sources import MIB

pytestmark = pytest.mark.restic


@pytest.mark.slow
def test_restic_finds_no_fault_in_any_byte(theirs: Program) -> None:
    assert "no errors were found" in theirs.run("check", "--read-data")


@pytest.mark.slow
def test_restic_restores_content_and_metadata(
    theirs: Program, version: str, source: Source, place: Path
) -> None:
    # 0.14 knows no --sparse, and would fill the memory with five gigabytes of zeros
    old = version == "0.14"
    how = ["--exclude=/sparse", f"--exclude={source.folder}/sparse"] if old else ["--sparse"]
    below = Path(str(source.folder).lstrip("/")) if old else Path()
    snapshot = "latest" if old else f"latest:{source.folder}"

    theirs.run("restore", snapshot, f"--target={place / 'out'}", *how)

    left_out = [*LOST[version], b"sparse"] if old else LOST[version]
    restored = picture(place / "out" / below, holes=not old)
    expected = picture(source.folder, holes=False) if old else source.picture
    assert differences(without(expected, *left_out), without(restored, *left_out)) == []


def test_restic_reads_what_is_not_compressed_and_compresses_it_if_asked(version: str, place: Path) -> None:
    (place / "source").mkdir()
    (place / "source" / "random").write_bytes(content := os.urandom(3 * MIB))
    ours = becalm(place / "repository")
    ours.init()
    ours.run("backup", place / "source")
    long = [found.blob for found in _index(place) if found.blob.content_bytes > MIB // 2]
    assert long
    assert not any(blob.plain_bytes for blob in long)

    theirs = restic(version, ours.repository, place / "cache")
    theirs.run("check", "--read-data")
    theirs.run("restore", "latest", f"--target={place / 'out'}")
    theirs.run("prune", "--repack-uncompressed")

    [restored] = (place / "out").rglob("random")
    assert restored.read_bytes() == content
    assert all(found.blob.plain_bytes for found in _index(place))
    ours.run("check", "--read-data")


def _index(place: Path) -> BlobIndex:
    repository = opened(place / "repository")
    repository.load_index()
    return repository.index


def test_restic_shows_the_snapshot_as_its_own(theirs: Program, source: Source) -> None:
    [snapshot] = theirs.json("snapshots")

    assert snapshot["hostname"] == "node"
    assert snapshot["tags"] == ["first", "second"]
    assert snapshot["paths"] == [str(source.folder)]
    assert snapshot["username"]


@pytest.mark.slow
def test_restic_continues_from_the_snapshot_and_becalm_restores_what_it_added(
    theirs: Program, source: Source, place: Path
) -> None:
    summary = list(theirs.lines("backup", "--host=node", source.folder))[-1]

    files = sum(1 for entry in source.picture.values() if entry.mode >> 12 == 0o10)
    assert summary["files_unmodified"] == files
    assert (summary["files_new"], summary["files_changed"], summary["data_blobs"]) == (0, 0, 0)
    first, second = trees_at(Path(theirs.repository), source.folder)
    assert first == second or theirs.version == "0.14"
    ours = becalm(theirs.repository)
    ours.run("restore", f"latest:{source.folder}", f"--target={place / 'out'}", "--sparse")
    left_out = LOST[theirs.version]
    restored = picture(place / "out")
    assert differences(without(source.picture, *left_out), without(restored, *left_out)) == []
    ours.run("check")


@pytest.mark.slow
def test_restic_makes_the_very_same_trees(theirs: Program, source: Source, written: Path) -> None:
    left_out = {path.split(b"/")[1].decode() for path in LOST[theirs.version]}
    # contents of more than 512 KiB are cut elsewhere
    odd = [folder.name for folder in (source.folder / "odd").iterdir() if folder.name != "contents"]

    theirs.run("backup", "--host=node", "--force", "--exclude=sparse", source.folder)

    for folder in ("deep", "many", *(f"odd/{name}" for name in odd if name not in left_out)):
        ours, made = trees_at(Path(theirs.repository), source.folder / folder)
        assert ours == made, folder


def test_restic_dumps_a_stream_by_the_path_it_was_given(theirs: Program) -> None:
    ours = becalm(theirs.repository)
    ours.run("backup", "--stdin-from-command", "--stdin-filename=/dumps/shop/all.sql", "--", "echo", "rows")

    assert theirs.run("dump", "latest", "/dumps/shop/all.sql") == "rows\n"
    theirs.run("check", "--read-data")


def test_restic_can_prune_and_forget(theirs: Program, source: Source) -> None:
    ours = becalm(theirs.repository)
    extra = ["--host=other", str(source.folder / "odd" / "contents")]
    ours.run("backup", "--force", *extra)

    theirs.run("forget", "--host=other", "--keep-last=1", "--prune")
    theirs.run("prune", "--max-unused=0")

    theirs.run("check", "--read-data")
    ours.run("check")


def test_restic_respects_the_lock_of_becalm(theirs: Program, source: Source) -> None:
    repository = opened(Path(theirs.repository))

    with locked(repository, exclusive=True):
        theirs.run("backup", source.folder / "odd" / "modes", status=1 if theirs.version == "0.14" else 11)

    theirs.run("backup", source.folder / "odd" / "modes")
