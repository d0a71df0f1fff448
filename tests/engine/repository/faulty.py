"""A storage in memory that fails where a test says so."""

from collections.abc import Callable

from becalm_engine.errors import StorageError
from becalm_engine.ids import Buffer
from becalm_engine.storage.base import FileKind
from tests.engine.storage.memory import MemoryStorage

Fault = Callable[[FileKind, str], StorageError | None]


class FaultyStorage(MemoryStorage):
    """Asks `on_save` and `on_load` before each such call, and raises what they return."""

    def __init__(self) -> None:
        super().__init__()
        self.on_save: Fault = lambda _kind, _name: None
        self.on_load: Fault = lambda _kind, _name: None

    def save(self, kind: FileKind, name: str, data: Buffer, *, only_if_absent: bool = False) -> None:
        error = self.on_save(kind, name)
        if error is not None:
            raise error
        super().save(kind, name, data, only_if_absent=only_if_absent)

    def load(self, kind: FileKind, name: str) -> bytes:
        error = self.on_load(kind, name)
        if error is not None:
            raise error
        return super().load(kind, name)
