import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from becalm_engine.errors import (
    ObjectMissingError,
    RepositoryExistsError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from becalm_engine.storage import local
from becalm_engine.storage.base import CONFIG_NAME, FileKind, Storage, StoredFile
from becalm_engine.storage.local import LocalStorage
from tests.engine.storage.contract import NAME, OTHER, StorageContract


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def made(folder: Path) -> LocalStorage:
    storage = LocalStorage(folder)
    storage.create()
    return storage


class TestLocalStorage(StorageContract):
    @pytest.fixture
    def storage(self, made: LocalStorage) -> Storage:
        return made

    @pytest.fixture
    def again(self, folder: Path, made: LocalStorage) -> Storage:
        return LocalStorage(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_repository_is_laid_out_as_restic_does(folder: Path, made: LocalStorage) -> None:
    made.save(FileKind.CONFIG, CONFIG_NAME, b"")
    for kind in (FileKind.KEY, FileKind.PACK, FileKind.INDEX, FileKind.SNAPSHOT, FileKind.LOCK):
        made.save(kind, NAME, b"")

    assert files_below(folder) == [
        "config", f"data/ab/{NAME}", f"index/{NAME}", f"keys/{NAME}", f"locks/{NAME}", f"snapshots/{NAME}",
    ]  # fmt: skip
    assert sorted(path.name for path in (folder / "data").iterdir()) == [
        f"{number:02x}" for number in range(256)
    ]


def test_only_the_owner_may_enter_and_nobody_may_write_a_file(folder: Path, made: LocalStorage) -> None:
    made.save(FileKind.CONFIG, CONFIG_NAME, b"")
    made.save(FileKind.PACK, NAME, b"")

    assert {mode(path) for path in folder.rglob("*") if path.is_dir()} == {0o700}
    assert {mode(path) for path in folder.rglob("*") if path.is_file()} == {0o400}


def test_a_repository_that_a_group_may_read_stays_so(folder: Path, made: LocalStorage) -> None:
    made.save(FileKind.CONFIG, CONFIG_NAME, b"")
    (folder / "config").chmod(0o440)
    (folder / "data/ab").rmdir()

    LocalStorage(folder).save(FileKind.PACK, NAME, b"")

    assert mode(folder / "data/ab" / NAME) == 0o440
    assert mode(folder / "data/ab") == 0o750


def test_a_folder_that_is_gone_is_made_again(folder: Path, made: LocalStorage) -> None:
    (folder / "data/ab").rmdir()
    (folder / "locks").rmdir()

    made.save(FileKind.PACK, NAME, b"pack")
    made.save(FileKind.LOCK, NAME, b"lock")

    assert made.load(FileKind.PACK, NAME) == b"pack"
    assert made.load(FileKind.LOCK, NAME) == b"lock"


def test_a_folder_that_a_copying_tool_dropped_is_empty(folder: Path, made: LocalStorage) -> None:
    (folder / "snapshots").rmdir()

    assert list(made.list(FileKind.SNAPSHOT)) == []


def test_a_folder_that_goes_while_packs_are_listed_hides_no_other(
    made: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.save(FileKind.PACK, NAME, b"pack")
    really = os.scandir

    def scan(path: Path) -> Any:
        if Path(path).name == "00":
            raise FileNotFoundError(errno.ENOENT, "gone")
        return really(path)

    monkeypatch.setattr(os, "scandir", scan)

    assert list(made.list(FileKind.PACK)) == [StoredFile(NAME, 4)]


@pytest.mark.parametrize("place", [".", "00"])
def test_a_pack_in_the_wrong_place_is_not_listed(made: LocalStorage, folder: Path, place: str) -> None:
    """It is not found by its name either."""
    (folder / "data" / place / NAME).write_bytes(b"pack")

    assert list(made.list(FileKind.PACK)) == []


def test_unfinished_files_of_a_crash_are_not_listed(folder: Path, made: LocalStorage) -> None:
    made.save(FileKind.PACK, NAME, b"pack")
    (folder / f"data/cd/{OTHER}-tmp-0123").write_bytes(b"half")
    (folder / "data/note").write_bytes(b"stray")

    assert [stored.name for stored in made.list(FileKind.PACK)] == [NAME]


def test_a_file_is_on_disk_before_its_name_and_the_name_before_it_counts(
    made: LocalStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    really_sync = os.fsync

    def recorded(handle: int) -> None:
        path = str(Path(f"/proc/self/fd/{handle}").readlink())
        synced.append((path, (folder / "index" / NAME).exists()))
        really_sync(handle)

    monkeypatch.setattr(os, "fsync", recorded)

    made.save(FileKind.INDEX, NAME, b"index")

    (file, named_before), (parent, named_after) = synced
    assert file.startswith(f"{folder}/index/{NAME}-tmp-")
    assert not named_before
    assert (parent, named_after) == (f"{folder}/index", True)


@pytest.mark.parametrize("only_if_absent", [False, True])
def test_a_save_that_fails_leaves_nothing(
    made: LocalStorage, folder: Path, monkeypatch: pytest.MonkeyPatch, only_if_absent: bool
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageFullError):
        made.save(FileKind.INDEX, NAME, b"index", only_if_absent=only_if_absent)

    assert files_below(folder) == []


def test_a_loser_of_the_race_for_a_name_leaves_nothing(made: LocalStorage, folder: Path) -> None:
    made.save(FileKind.CONFIG, CONFIG_NAME, b"first", only_if_absent=True)

    with pytest.raises(RepositoryExistsError):
        made.save(FileKind.CONFIG, CONFIG_NAME, b"second", only_if_absent=True)

    assert files_below(folder) == ["config"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_where_links_are_unknown_a_look_before_must_do(
    made: LocalStorage, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(path: Path, target: Path) -> None:
        raise OSError(number, "Operation not supported")

    monkeypatch.setattr(Path, "hardlink_to", refused)

    made.save(FileKind.CONFIG, CONFIG_NAME, b"first", only_if_absent=True)
    with pytest.raises(RepositoryExistsError):
        made.save(FileKind.CONFIG, CONFIG_NAME, b"second", only_if_absent=True)

    assert (folder / "config").read_bytes() == b"first"
    assert files_below(folder) == ["config"]


def test_a_file_system_that_cannot_sync_folders_is_enough(
    made: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_sync = os.fsync

    def picky(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        really_sync(handle)

    monkeypatch.setattr(os, "fsync", picky)

    made.save(FileKind.INDEX, NAME, b"index")

    assert made.load(FileKind.INDEX, NAME) == b"index"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, ObjectMissingError),
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EACCES, StorageDeniedError),
        (errno.EROFS, StorageDeniedError),
        (errno.ETIMEDOUT, StorageUnavailableError),
        (errno.ESTALE, StorageUnavailableError),
        (errno.EMFILE, StorageUnavailableError),
        (errno.EIO, StorageError),
    ],
)
def test_errors_of_the_system_become_ours_and_say_what_was_tried(
    number: int, kind: type[StorageError]
) -> None:
    with pytest.raises(StorageError, match="cannot save x: ") as raised, local._translated("save x"):
        raise OSError(number, os.strerror(number))

    assert type(raised.value) is kind


@pytest.mark.parametrize("only_if_absent", [False, True])
def test_a_folder_that_fails_to_sync_fails_the_save(
    made: LocalStorage, monkeypatch: pytest.MonkeyPatch, only_if_absent: bool
) -> None:
    """The file is there, but a crash might lose its name: it must not count as stored."""
    sync = os.fsync

    def broken(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(handle)

    monkeypatch.setattr(os, "fsync", broken)

    with pytest.raises(StorageError, match="Input/output error"):
        made.save(FileKind.INDEX, "cd" * 32, b"index", only_if_absent=only_if_absent)


def test_a_link_that_fails_for_another_reason_fails_the_save(
    made: LocalStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_path: Path, _target: Path) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(Path, "hardlink_to", failing)

    with pytest.raises(StorageFullError):
        made.save(FileKind.INDEX, "cd" * 32, b"index", only_if_absent=True)

    assert not (folder / "index" / ("cd" * 32)).exists()


def test_a_repository_below_a_file_is_an_error_that_no_retry_mends(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    storage = LocalStorage(tmp_path / "file")

    with pytest.raises(StorageError, match="Not a directory") as raised:
        storage.load(FileKind.CONFIG, CONFIG_NAME)

    assert not raised.value.retryable


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
def test_what_is_no_file_is_not_waited_for(
    made: LocalStorage, folder: Path, make: Callable[[Path], None]
) -> None:
    make(folder / "locks" / NAME)

    with pytest.raises(StorageError, match="no regular file"):
        made.load(FileKind.LOCK, NAME)
    with pytest.raises(StorageError, match="no regular file"):
        made.load_range(FileKind.LOCK, NAME, offset=0, length=1)


def test_a_terabyte_of_nothing_is_not_read(made: LocalStorage, folder: Path) -> None:
    (folder / "config").touch()
    os.truncate(folder / "config", 1 << 40)

    with pytest.raises(StorageError, match="config file"):
        made.load(FileKind.CONFIG, CONFIG_NAME)
