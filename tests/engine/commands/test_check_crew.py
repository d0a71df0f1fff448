"""Several processes that read packs must find what one finds."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from becalm_engine.commands import backup as backup_command
from becalm_engine.commands.backup import BackupOptions
from becalm_engine.commands.check import check
from becalm_engine.commands.findings import Findings
from becalm_engine.commands.progress import Progress
from becalm_engine.errors import StoppedError
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import open_repository
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.repository.repositories import PASSWORD, made


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    """A repository of a dozen packs and one snapshot."""
    storage = LocalStorage(tmp_path / "repository")
    storage.create()
    made(storage)
    content = random.Random(1)
    (tmp_path / "source").mkdir()
    for number in range(60):
        (tmp_path / "source" / f"f{number}").write_bytes(content.randbytes(20_000))
    options = BackupOptions((str(tmp_path / "source"),), hostname="node", pack_bytes=100_000)
    repository = open_repository(storage, PASSWORD)
    captured = backup_command.capture(repository, options, progress=Progress(), report=lambda *_: None)
    snapshots.save_snapshot(repository, backup_command.snapshot_of(captured, options, "becalm test"))
    return storage


def checked(storage: LocalStorage, processes: int, progress: Progress | None = None) -> Findings:
    return check(
        open_repository(storage, PASSWORD),
        read_data=True,
        progress=progress or Progress(),
        say=lambda _: None,
        processes=processes,
    )


def nothing(_path: Path) -> None:
    """Leave it whole."""


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


@pytest.mark.parametrize(("damage", "count"), [(nothing, 0), (flip, 3), (Path.unlink, 3)])
def test_the_same_is_found(storage: LocalStorage, damage: Callable[[Path], None], count: int) -> None:
    packs = sorted(stored.name for stored in storage.list(FileKind.PACK))
    assert len(packs) > 8
    for name in packs[:count]:
        damage(Path(storage.location, "data", name[:2], name))
    progress = Progress()

    together = checked(storage, 3, progress)

    alone = checked(storage, 1)
    assert sorted(together.errors) == sorted(alone.errors)
    assert sorted(together.broken_packs) == packs[:count]
    assert together.damaged_snapshots == alone.damaged_snapshots
    assert bool(together.errors) == bool(count)
    assert progress.files_done == progress.files_total


def test_a_signal_ends_it(storage: LocalStorage) -> None:
    class Hasty(Progress):
        """Wants to stop as soon as a pack is read."""

        def check(self) -> None:
            if self.files_done:
                self.stop.set()
            Progress.check(self)

    with pytest.raises(StoppedError):
        checked(storage, 3, Hasty())
