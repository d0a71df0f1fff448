import pytest

from becalm_engine.storage.base import Storage
from tests.engine.storage.contract import StorageContract
from tests.engine.storage.memory import MemoryStorage


class TestMemoryStorage(StorageContract):
    tells_times = False

    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()
