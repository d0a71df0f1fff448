"""What restic wrote, in the hands of becalm."""

from pathlib import Path

import pytest

from tests.compat.conftest import Source
from tests.compat.programs import LOST, Program, becalm, restic
from tests.compat.trees import trees_at
from tests.engine.volume.picture import differences, picture, without

pytestmark = [pytest.mark.restic, pytest.mark.slow]


@pytest.fixture(
    params=(
        ("0.14", "auto"), ("0.14", "off"), ("0.14", "format 1"), ("0.18", "auto"), ("0.18", "off"),
        ("0.19", "auto"), ("0.19", "off"), ("0.19", "max"),
    ), ids=" ".join,
)  # fmt: skip
def theirs(request: pytest.FixtureRequest, place: Path, small: Source) -> Program:
    """A restic whose repository it has made and filled itself."""
    version, how = request.param
    program = restic(version, place / "repository", place / "cache")
    flags = [] if how == "format 1" else [f"--compression={how}"]
    program.run("init", f"--repository-version={1 if how == 'format 1' else 2}")
    small.settle()
    program.run("backup", "--host=node", "--tag=theirs", *flags, small.folder)
    return program


def test_becalm_reads_and_continues_what_restic_wrote(theirs: Program, small: Source, place: Path) -> None:
    ours = becalm(theirs.repository)

    ours.run("check", "--read-data")
    ours.run("restore", f"latest:{small.folder}", f"--target={place / 'out'}", "--verify", "--sparse")
    left_out = LOST[theirs.version]
    restored = picture(place / "out")
    assert differences(without(small.picture, *left_out), without(restored, *left_out)) == []

    summary = list(ours.lines("backup", "--host=node", small.folder))[-1]
    assert (summary["files_new"], summary["files_changed"]) == (0, 0)
    assert summary["data_blobs"] == 0
    first, second = trees_at(place / "repository", small.folder / "odd" / "names")
    assert first == second
    theirs.run("check", "--read-data")
