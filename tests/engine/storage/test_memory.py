import pytest

from becalm_engine.storage.base import Storage
from becalm_engine.storage.memory import MemoryStorage
from tests.engine.storage.contract import StorageContract


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()
