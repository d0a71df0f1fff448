import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from becalm_engine.errors import DamagedError, StorageError
from becalm_engine.format.pack import BlobKind
from becalm_engine.ids import PackID
from becalm_engine.repository.reader import load_blob
from becalm_engine.repository.windows import Windows
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind
from tests.engine.repository.repositories import contents, made, reopened
from tests.engine.storage.memory import MemoryStorage

MIB = 1024 * 1024
PACK = PackID(bytes(32))
CONTENT = random.Random(1).randbytes(5 * MIB)


class Counting(MemoryStorage):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int]] = []

    def load_range(self, kind: FileKind, name: str, *, offset: int, length: int) -> bytes:
        self.ranges.append((offset, length))
        return super().load_range(kind, name, offset=offset, length=length)


@pytest.fixture
def storage() -> Counting:
    storage = Counting()
    storage.save(FileKind.PACK, PACK.hex(), CONTENT)
    return storage


@given(st.lists(st.tuples(st.integers(0, 5 * MIB - 1), st.integers(1, 2 * MIB)), max_size=10))
def test_every_part_is_what_lies_there(parts: list[tuple[int, int]]) -> None:
    storage = MemoryStorage()
    storage.save(FileKind.PACK, PACK.hex(), CONTENT)
    windows = Windows(storage)

    for offset, wanted in parts:
        length = min(wanted, len(CONTENT) - offset)
        part = windows.load(PACK, offset=offset, length=length, end=len(CONTENT))
        assert part == CONTENT[offset : offset + length]


def test_neighbours_come_in_one_request(storage: Counting) -> None:
    windows = Windows(storage)

    for offset in range(0, MIB, 2000):
        windows.load(PACK, offset=offset, length=2000, end=len(CONTENT))

    assert len(storage.ranges) == 1


def test_nothing_is_asked_for_beyond_the_last_blob(storage: Counting) -> None:
    windows = Windows(storage)

    windows.load(PACK, offset=4 * MIB, length=10, end=4 * MIB + 500)

    assert storage.ranges == [(4 * MIB, 500)]


def test_what_is_kept_has_a_bound(storage: Counting) -> None:
    windows = Windows(storage)

    for number in range(200):
        pack = PackID(number.to_bytes(32, "big"))
        storage.save(FileKind.PACK, pack.hex(), CONTENT[:1000])
        windows.load(pack, offset=0, length=10, end=1000)

    assert len(windows._known) == 64


def test_a_damaged_part_is_read_again_by_the_next_try() -> None:
    storage = Counting()
    writing = made(storage)
    with Writer(writing) as writer:
        trees = [writer.save(BlobKind.TREE, content) for content in contents(3)]
    repository = reopened(writing)
    [pack] = [key for key in storage.files if key[0] is FileKind.PACK]
    whole = storage.files[pack]
    storage.files[pack] = bytes(len(whole))
    with pytest.raises(DamagedError):
        load_blob(repository, trees[0])

    storage.files[pack] = whole

    assert [load_blob(repository, tree) for tree in trees] == contents(3)
    assert len(storage.ranges) == 2


def test_a_pack_that_is_shorter_than_its_index_says_is_an_error(storage: Counting) -> None:
    with pytest.raises(StorageError):
        Windows(storage).load(PACK, offset=5 * MIB - 10, length=10, end=6 * MIB)
