import pytest

from becalm_engine.errors import DamagedError, StorageError
from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.ids import BlobID, PackID
from becalm_engine.repository import index_files
from becalm_engine.repository.index_files import IndexFiles, IndexWriter
from becalm_engine.storage.base import FileKind
from tests.engine.repository.repositories import made, reopened
from tests.engine.storage.memory import MemoryStorage


def blobs(count: int, first: int = 0) -> list[PackedBlob]:
    return [
        PackedBlob(BlobID(bytes([number]) * 32), BlobKind.DATA, 100 * number, 100, 50)
        for number in range(first, first + count)
    ]


def pack(number: int) -> PackID:
    return PackID(bytes([number]) * 32)


def test_an_index_file_ends_where_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_files, "FULL_BLOBS", 4)
    repository = made()
    writer = IndexWriter(repository)

    for number in range(5):
        writer.add(pack(number), blobs(2))
    writer.flush()

    assert len(writer.written) == 3
    assert index_files.names(repository) == sorted(writer.written)
    assert len(reopened(repository).index.packs()) == 5


def test_a_pack_is_written_once_however_often_it_is_listed_and_twice_if_differently() -> None:
    repository = made()
    writer = IndexWriter(repository)

    writer.add(pack(0), blobs(2))
    writer.add(pack(0), blobs(2)[::-1])
    writer.add(pack(0), blobs(1))
    writer.flush()

    [name] = writer.written
    assert index_files.entries_of(repository, name) == [(pack(0), blobs(2)), (pack(0), blobs(1))]


def test_packs_that_are_listed_differently_or_empty_are_doubtful() -> None:
    files = IndexFiles()

    files.add("a", [(pack(0), blobs(2)), (pack(1), blobs(1)), (pack(2), [])])
    files.add("b", [(pack(0), blobs(1)), (pack(1), blobs(1))])

    assert files.doubtful == {pack(0), pack(2)}
    assert files.listed == {pack(0), pack(1), pack(2)}


def test_files_are_replaced_that_list_what_goes_and_small_ones_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_files, "FULL_BLOBS", 8)
    files = IndexFiles()
    files.add("full", [(pack(0), blobs(6))])
    files.add("other full", [(pack(1), blobs(6))])
    files.add("small", [(pack(2), blobs(1))])

    assert files.to_replace([]) == []
    assert files.to_replace([pack(0)]) == ["full", "small"]
    files.add("small too", [(pack(3), blobs(1))])
    assert files.to_replace([]) == ["small", "small too"]


def test_a_broken_file_is_an_error_unless_it_is_asked_for() -> None:
    storage = MemoryStorage()
    repository = made(storage)
    storage.save(FileKind.INDEX, "ab" * 32, b"nonsense")

    with pytest.raises(DamagedError):
        index_files.load(repository)
    assert list(index_files.load(repository, tolerant=True).broken) == ["ab" * 32]


def test_what_the_store_does_not_list_was_not_written() -> None:
    repository = made()
    name = repository.save_document(FileKind.INDEX, b'{"packs":[]}')

    index_files.require_listed(repository, [name])
    with pytest.raises(StorageError, match="does not list index"):
        index_files.require_listed(repository, [name, "ab" * 32])


def test_entries_are_written_again_but_for_what_goes_and_read_once_each() -> None:
    repository = made()
    writer = IndexWriter(repository)
    for name in ("first", "second"):
        writer.add(pack(0), blobs(2))
        writer.add(pack(1), blobs(1, first=5 if name == "first" else 6))
        writer.flush()
    old = list(writer.written)

    again = IndexWriter(repository)
    index_files.copy_entries(repository, old, again, gone={pack(1)})

    assert len(old) == 2
    [name] = again.written
    assert index_files.entries_of(repository, name) == [(pack(0), blobs(2))]
    assert list(index_files.entries_in(repository, old, {pack(1)})) == [(pack(1), blobs(1, first=5))]
