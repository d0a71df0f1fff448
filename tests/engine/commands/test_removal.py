import tracemalloc

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.removal import delete_files
from becalm_engine.storage.base import FileKind
from tests.engine.repository.repositories import made


def test_memory_does_not_grow_with_the_files_that_are_to_be_deleted() -> None:
    repository, progress = made(), Progress()
    names = [f"{number:064x}" for number in range(10_000)]
    repository.storage.save(FileKind.PACK, names[-1], b"x")

    tracemalloc.start()
    try:
        delete_files(repository, FileKind.PACK, names, progress)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (progress.files_done, progress.files_total) == (10_000, 10_000)
    assert list(repository.storage.list(FileKind.PACK)) == []
    assert peak < 5_000_000
