import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.cli.entry import run_command
from becalm_engine.format import lock_file
from becalm_engine.format.lock_file import Lock
from becalm_engine.repository import lock
from becalm_engine.repository.repository import initialise, open_repository
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.repository.repositories import CHEAP, PASSWORD


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of the command line gave."""

    status: int
    out: str
    err: str
    report: dict[str, Any]

    @property
    def messages(self) -> list[Any]:
        """The JSON lines on standard output."""
        return [json.loads(line) for line in self.out.splitlines()]


Becalm = Callable[..., Result]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a cheap key."""
    initialise(LocalStorage(tmp_path / "repository"), PASSWORD, cost=CHEAP)
    return tmp_path / "repository"


@pytest.fixture
def becalm(
    repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Becalm:
    """Run the command line on the repository, in this process."""
    monkeypatch.setattr(lock, "_SETTLE_SECONDS", 0.0)
    report = tmp_path / "report"

    def run(*arguments: str | Path, **environment: str) -> Result:
        report.unlink(missing_ok=True)
        own = {
            "RESTIC_REPOSITORY": str(repository),
            "RESTIC_PASSWORD": PASSWORD,
            "BECALM_REPORT": str(report),
        }
        status = run_command([str(argument) for argument in arguments], {**own, **environment})
        out, err = capfd.readouterr()
        return Result(status, out, err, json.loads(report.read_text()) if report.exists() else {})

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small folder to back up."""
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "file").write_text("content")
    (folder / "sub" / "other").write_text("other content")
    return folder


def locks(repository: Path) -> list[str]:
    """Return the names of the locks that are held."""
    return [path.name for path in (repository / "locks").iterdir()]


def hold_lock(repository: Path, *, exclusive: bool) -> None:
    opened = open_repository(LocalStorage(repository), PASSWORD)
    lock = Lock(time.time_ns(), exclusive, "elsewhere", "ann", 7)
    opened.save_document(FileKind.LOCK, lock_file.encode(lock))
