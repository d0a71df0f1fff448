"""A repository as the engine sees it, without a process."""

from pathlib import Path

from becalm_engine.commands.walk import subtree_at
from becalm_engine.repository.repository import Repository, open_repository
from becalm_engine.repository.snapshots import list_snapshots
from becalm_engine.storage.local import LocalStorage
from tests.compat.programs import PASSWORD


def opened(folder: Path) -> Repository:
    """Open a repository."""
    return open_repository(LocalStorage(folder), PASSWORD)


def trees_at(repository: Path, path: Path) -> list[str]:
    """Return the id of the tree at a path in every snapshot, oldest first."""
    ours = opened(repository)
    snapshots = list_snapshots(ours)
    ours.load_index()
    found = [subtree_at(ours, stored.snapshot.tree, str(path))[0] for stored in snapshots]
    return [tree.hex() if tree else "" for tree in found]
