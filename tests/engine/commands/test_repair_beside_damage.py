"""Snapshots are repaired beside one whose file is damaged itself."""

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.repair_snapshots import repair_snapshots
from becalm_engine.repository import snapshots
from becalm_engine.storage.base import FileKind
from tests.engine.commands.repairing import hurt_in
from tests.engine.commands.stores import HidingStorage
from tests.engine.repository.repositories import reopened


def test_what_can_be_read_is_repaired_and_the_damaged_file_stays() -> None:
    storage = HidingStorage()
    repository = reopened(hurt_in(storage))
    chosen = snapshots.list_snapshots(repository)
    damaged = FileKind.SNAPSHOT, "ab" * 32
    storage.files[damaged] = b"nonsense"

    repair = repair_snapshots(
        repository, chosen, dry_run=False, forget=True, progress=Progress(), say=lambda _: None
    )

    assert (list(repair.damaged), len(repair.written)) == ([chosen[0].name], 1)
    assert damaged in storage.files
