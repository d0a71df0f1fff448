"""Which snapshots a command works on: those that are named, or those that fit a filter."""

from collections.abc import Sequence

from becalm_engine.errors import UsageError
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Broken, Repository
from becalm_engine.repository.snapshots import Filter, StoredSnapshot


def chosen(
    repository: Repository, names: Sequence[str], wanted: Filter, broken: Broken
) -> list[StoredSnapshot]:
    """Return the named snapshots, each once, in the order given; without names all that fit, oldest first.

    Without names, one that is damaged is told to `broken` and left out.

    Raises:
        SnapshotMissingError: A name fits none or several. Nothing is left out in silence.
        UsageError: A name holds a subfolder.
        DamagedError: One that is named is damaged, or nobody knows which is the latest.
    """
    if not names:
        return snapshots.list_snapshots(repository, wanted, snapshots.only_damaged(broken))
    found = {}
    for name in names:
        if ":" in name:
            raise UsageError(f"{name}: this command takes whole snapshots, not SNAPSHOT:FOLDER")
        stored = snapshots.find_snapshot(repository, name, wanted)
        found[stored.name] = stored
    return list(found.values())
