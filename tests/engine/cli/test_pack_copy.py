"""The copy of a damaged pack: it costs nobody a file, and is there before the pack goes."""

import os
import stat
from pathlib import Path

import pytest

from becalm_engine.cli import pack_copy
from becalm_engine.errors import MachineError, UsageError
from tests.engine.cli.conftest import Becalm

NAME = "ab" * 32
DATA = b"what is left of a pack"


@pytest.fixture(autouse=True)
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the copy goes."""
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    return tmp_path / "current" / f"pack-{NAME}"


def test_it_is_for_its_owner_alone_and_may_be_there_already(copy: Path) -> None:
    for _ in range(2):
        pack_copy.save_copy(NAME, DATA)

        assert copy.read_bytes() == DATA
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"precious", DATA[:-1], b"?" * len(DATA)])
def test_nothing_is_written_over(copy: Path, content: bytes) -> None:
    copy.write_bytes(content)

    with pytest.raises(UsageError, match="something else than a copy"):
        pack_copy.save_copy(NAME, DATA)
    assert copy.read_bytes() == content


def test_no_link_is_followed(copy: Path, tmp_path: Path) -> None:
    there, nowhere = tmp_path / "victim", tmp_path / "nowhere"
    there.write_bytes(DATA)
    for target in (there, nowhere):
        copy.symlink_to(target)

        with pytest.raises(UsageError):
            pack_copy.save_copy(NAME, DATA)
        copy.unlink()
    assert not nowhere.exists()


def test_a_pipe_of_its_name_holds_nobody_up(copy: Path) -> None:
    os.mkfifo(copy)

    with pytest.raises(UsageError):
        pack_copy.save_copy(NAME, DATA)


def test_what_cannot_be_stored_as_a_whole_is_no_copy(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(MachineError, match="No space left on device"):
        pack_copy.save_copy(NAME, DATA)
    assert not copy.exists()


def test_a_repair_that_cannot_keep_its_copy_removes_nothing(
    becalm: Becalm, repository: Path, source: Path, tmp_path: Path
) -> None:
    becalm("backup", source)
    pack = next((repository / "data").glob("*/*"))
    victim = tmp_path / "victim"
    victim.write_text("precious")
    Path(f"pack-{pack.name}").symlink_to(victim)

    result = becalm("repair", "packs", pack.name)

    assert (result.status, victim.read_text(), pack.exists()) == (1, "precious", True)
    assert "nothing was changed" in result.err
