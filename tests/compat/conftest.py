import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compat.programs import VERSIONS, Program, becalm, restic
from tests.engine.storage.s3_server import S3Server, serving
from tests.engine.volume import sources
from tests.engine.volume.picture import Entry, picture

_FRESH_SECONDS = 61


@dataclass(frozen=True, slots=True)
class Source:
    """A folder that is backed up, and what it looks like."""

    folder: Path
    picture: dict[bytes, Entry]

    def settle(self) -> None:
        """Let it grow older than what a backup reads again although the one before it has it."""
        changed = max(path.lstat().st_ctime for path in self.folder.rglob("*"))
        time.sleep(max(0.0, changed + _FRESH_SECONDS - time.time()))


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder in memory, where there is one: the tests write gigabytes of files."""
    memory = Path("/dev/shm")
    room = shutil.disk_usage(memory).free if memory.is_dir() else 0
    place = memory if room > 3 * sources.GIB and os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="becalm-compat-", dir=place) as folder:
        yield Path(folder)


@pytest.fixture(scope="session", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="session")
def source(scratch: Path) -> Source:
    """Odd files, a deep tree, 20 000 small files, and a sparse file of 5 GiB."""
    folder = scratch / "source"
    sources.write_odd(folder / "odd")
    sources.write_deep(folder / "deep")
    sources.write_many(folder / "many")
    sources.write_sparse(folder / "sparse")
    return Source(folder, picture(folder))


@pytest.fixture(scope="session")
def small(scratch: Path) -> Source:
    """Odd files and a few hundred small ones."""
    folder = scratch / "small"
    sources.write_odd(folder / "odd")
    sources.write_many(folder / "many", 300)
    return Source(folder, picture(folder))


@pytest.fixture(scope="session")
def written(scratch: Path, source: Source) -> Path:
    """A repository that becalm made, with the source in it."""
    ours = becalm(scratch / "written")
    ours.run("init")
    ours.run("backup", "--host=node", "--tag=first,second", source.folder)
    return scratch / "written"


@pytest.fixture
def place(scratch: Path) -> Iterator[Path]:
    """A folder of the test's own."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def theirs(version: str, written: Path, place: Path) -> Program:
    """A restic on a copy of becalm's repository, with an empty cache."""
    copy = place / "repository"
    shutil.copytree(written, copy, copy_function=os.link)
    return restic(version, copy, place / "cache")


@pytest.fixture
def s3(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A real S3 server of the test's own, with its credentials in the environment."""
    (place / "s3").mkdir()
    with serving(place / "s3") as server:
        server.log_in(monkeypatch)
        yield server
