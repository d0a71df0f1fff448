import threading

import pytest

from becalm_engine.errors import ObjectMissingError
from becalm_engine.storage.base import CONFIG_NAME, FileKind, Storage, StoredFile
from becalm_engine.storage.dry import DryStorage
from becalm_engine.storage.local import LocalStorage
from tests.engine.storage.memory import MemoryStorage

NAME, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def real() -> MemoryStorage:
    storage = MemoryStorage()
    storage.save(FileKind.CONFIG, CONFIG_NAME, b"config")
    storage.save(FileKind.PACK, NAME, b"0123456789")
    return storage


def test_what_is_there_is_read(real: MemoryStorage) -> None:
    dry: Storage = DryStorage(real)

    assert (dry.location, dry.connections) == (real.location, real.connections)
    assert dry.load(FileKind.CONFIG, CONFIG_NAME) == b"config"
    assert dry.load_range(FileKind.PACK, NAME, offset=2, length=3) == b"234"
    assert list(dry.list(FileKind.PACK)) == [StoredFile(NAME, 10)]


def test_nothing_is_changed(real: MemoryStorage) -> None:
    before = dict(real.files)
    dry = DryStorage(real)

    dry.create()
    dry.save(FileKind.PACK, OTHER, b"new")
    dry.save(FileKind.CONFIG, CONFIG_NAME, b"other", only_if_absent=True)
    dry.delete(FileKind.PACK, NAME)
    dry.close()

    assert real.files == before
    with pytest.raises(ObjectMissingError):
        dry.load(FileKind.PACK, OTHER)


def test_a_copy_for_another_process_changes_nothing_either(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("repository")
    real = LocalStorage(folder)
    real.create()

    DryStorage(real).forked(threading.Event()).save(FileKind.PACK, NAME, b"new")

    assert list(real.list(FileKind.PACK)) == []
