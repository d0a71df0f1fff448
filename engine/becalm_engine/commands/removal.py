"""Deleting many files, several at once; the lock is looked at before each."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from becalm_engine.commands.progress import Progress
from becalm_engine.errors import ObjectMissingError, StorageError
from becalm_engine.ids import PackID
from becalm_engine.repository.repository import Repository
from becalm_engine.storage.base import FileKind

_STEP = 1000
"""Each file that waits to be deleted takes 2 KB, and a prune may delete a million."""


def delete_files(repository: Repository, kind: FileKind, names: Collection[str], progress: Progress) -> None:
    """Delete files. What is deleted before an error stays so: callers delete only what nobody needs."""
    progress.files_done, progress.files_total = 0, len(names)

    def delete(name: str) -> None:
        progress.check()
        repository.guard()
        repository.storage.delete(kind, name)
        progress.files_done += 1

    ordered = sorted(names)
    with ThreadPoolExecutor(repository.storage.connections) as pool:
        for at in range(0, len(ordered), _STEP):
            for _ in pool.map(delete, ordered[at : at + _STEP]):
                pass


def delete_packs(repository: Repository, packs: Collection[PackID], progress: Progress) -> None:
    """Delete packs."""
    delete_files(repository, FileKind.PACK, [pack.hex() for pack in packs], progress)


def pack_sizes(repository: Repository) -> dict[PackID, int]:
    """Return the packs that the store lists, and their lengths."""
    return {
        PackID(bytes.fromhex(stored.name)): stored.size_bytes
        for stored in repository.storage.list(FileKind.PACK)
    }


def require_written(repository: Repository, packs: Collection[PackID]) -> None:
    """See that new packs are there to their last byte, before what they replace goes. The index has to know them.

    Raises:
        StorageError: One is not, whatever the store said when it was written.
    """
    for pack in packs:
        size = repository.index.facts_of(pack).size_bytes
        try:
            repository.storage.load_range(FileKind.PACK, pack.hex(), offset=size - 1, length=1)
        except StorageError as error:
            if error.retryable or _is_listed(repository, pack, size):
                raise
            raise StorageError(
                f"pack {pack.hex()} was just written to {repository.storage.location}, and is not there as a "
                "whole; what it was to replace stays. Look with `becalm check`"
            ) from error


def _is_listed(repository: Repository, pack: PackID, size_bytes: int) -> bool:
    """Say whether the store lists a pack, with the length that it must have."""
    return pack_sizes(repository).get(pack) == size_bytes


def confirm_missing(repository: Repository, packs: Collection[PackID]) -> None:
    """Ask for each pack by its name: a listing that left it out may not be taken for its end.

    Raises:
        StorageError: One is there, so the listing was not whole.
    """
    for pack in packs:
        try:
            repository.storage.load_range(FileKind.PACK, pack.hex(), offset=0, length=1)
        except ObjectMissingError:
            continue
        raise StorageError(
            f"pack {pack.hex()} exists, but {repository.storage.location} did not list it; "
            "its listings cannot be trusted, and nothing was deleted"
        )
