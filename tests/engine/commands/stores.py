"""Small repositories whose every blob is known, and ways to hurt them."""

from collections.abc import Callable, Iterator

from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import FILE, Node, encode_node, encode_tree
from becalm_engine.ids import PackID
from becalm_engine.repository import index_files, snapshots
from becalm_engine.repository.reader import load_blob
from becalm_engine.repository.repository import Repository, open_repository
from becalm_engine.repository.writer import Writer
from becalm_engine.storage.base import FileKind, StoredFile
from tests.engine.repository.repositories import PASSWORD, contents, made, packs, reopened
from tests.engine.storage.memory import MemoryStorage

DATA, TREE = BlobKind.DATA, BlobKind.TREE


class HidingStorage(MemoryStorage):
    """Leaves some files out of its listings."""

    def __init__(self) -> None:
        super().__init__()
        self.hides: Callable[[FileKind, str], bool] = lambda _kind, _name: False

    def list(self, kind: FileKind) -> Iterator[StoredFile]:
        return (stored for stored in super().list(kind) if not self.hides(kind, stored.name))


def three_snapshots(storage: MemoryStorage) -> Repository:
    """Three snapshots of ten files each; each shares five with the one before."""
    repository = made(storage)
    blobs = contents(20)
    for number in range(3):
        save(repository, number, blobs[5 * number : 5 * number + 10])
    return repository


def save(repository: Repository, number: int, files: list[bytes], *, pack_bytes: int = 8000) -> None:
    """Store a snapshot with one blob a file."""
    with Writer(repository, pack_bytes=pack_bytes) as writer:
        nodes = [
            encode_node(
                Node(b"%03d" % at, FILE, 0, 0, 0, 0, 0, 0, size=len(one), content=(writer.save(DATA, one),))
            )
            for at, one in enumerate(files)
        ]
        tree = writer.save(TREE, encode_tree(nodes))
    snapshots.save_snapshot(repository, Snapshot(number, tree, (f"/{number}",)))


def forget(repository: Repository, *numbers: int) -> None:
    for stored in snapshots.list_snapshots(repository):
        if stored.snapshot.time_nanos in numbers:
            snapshots.remove_snapshot(repository, stored)


def opened(repository: Repository) -> Repository:
    return open_repository(repository.storage, PASSWORD)


def indexes(repository: Repository) -> set[str]:
    return set(index_files.names(repository))


def blobs_of(repository: Repository) -> dict[bytes, int]:
    """Return how often each blob is listed; the index must be right about every pack."""
    again = reopened(repository)
    assert {pack.hex() for pack in again.index.packs()} == packs(repository)
    found: dict[bytes, int] = {}
    for placed in again.index:
        load_blob(again, placed.blob.id)
        found[placed.blob.id] = found.get(placed.blob.id, 0) + 1
    return found


def flip(storage: MemoryStorage, pack: PackID, at: int) -> None:
    data = bytearray(storage.files[FileKind.PACK, pack.hex()])
    data[at] ^= 1
    storage.files[FileKind.PACK, pack.hex()] = bytes(data)
