"""A repository, in memory unless told otherwise, and the commands on it as separate processes would run them."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from becalm_engine.commands import backup as backup_command
from becalm_engine.commands.backup import BackupOptions, Captured
from becalm_engine.commands.check import check
from becalm_engine.commands.findings import Findings
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.restore import Restorer
from becalm_engine.commands.restored import Outcome, RestoreOptions
from becalm_engine.commands.walk import subtree_at
from becalm_engine.format.tree import Node
from becalm_engine.ids import BlobID
from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.selection import Selection
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Repository, open_repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.storage.base import Storage
from becalm_engine.volume import target
from tests.engine.repository.repositories import PASSWORD, made
from tests.engine.storage.memory import MemoryStorage

_LONG_AFTER = 1 << 62


class World:
    """Each call opens the repository anew. `told` collects what was reported of files."""

    def __init__(self, storage: Storage | None = None) -> None:
        self.storage = made(storage or MemoryStorage()).storage
        self.told: list[tuple[str, ...]] = []

    def opened(self) -> Repository:
        """Open the repository and load its index."""
        repository = open_repository(self.storage, PASSWORD)
        repository.load_index()
        return repository

    def capture(
        self,
        *sources: Path | str,
        progress: Progress | None = None,
        parent_read_nanos: int | None = _LONG_AFTER,
        **options: Any,
    ) -> Captured:
        """Upload sources without a snapshot.

        What they are compared with counts as read at `parent_read_nanos`, by default long after files had last
        changed; None means when it was.
        """
        repository = self.opened()
        settings = BackupOptions(tuple(map(str, sources)), hostname="node", **options)
        basis = backup_command.find_basis(repository, settings)
        if parent_read_nanos is not None:
            basis = replace(basis, read_since_nanos=parent_read_nanos)
        return backup_command.capture(
            repository,
            settings,
            progress=progress or Progress(),
            report=lambda *what: self.told.append(what),
            basis=basis,
        )

    def backup(
        self, *sources: Path | str, parent_read_nanos: int | None = _LONG_AFTER, **options: Any
    ) -> Captured:
        """Back up sources."""
        captured = self.capture(*sources, parent_read_nanos=parent_read_nanos, **options)
        settings = BackupOptions(tuple(map(str, sources)), hostname="node", **options)
        snapshots.save_snapshot(self.opened(), backup_command.snapshot_of(captured, settings, "becalm test"))
        return captured

    def snapshots(self) -> list[StoredSnapshot]:
        """List the snapshots."""
        return snapshots.list_snapshots(self.opened())

    def tree_at(self, captured: Captured, path: Path | str) -> tuple[BlobID, Node | None]:
        """Return the tree of a folder that was backed up, and its node."""
        tree, node = subtree_at(self.opened(), captured.tree, str(path))
        assert tree is not None
        return tree, node

    def restore(self, tree: BlobID, into: Path, node: Node | None = None, **options: Any) -> Outcome:
        """Restore a tree into a folder."""
        return restore(self.opened(), tree, into, node, **options)

    def restore_folder(self, captured: Captured, path: Path, into: Path, **options: Any) -> Outcome:
        """Restore a folder that was backed up, as `ID:PATH` does."""
        tree, node = self.tree_at(captured, path)
        return self.restore(tree, into, node, **options)

    def check(self, *, read_data: bool = True, progress: Progress | None = None, **how: Any) -> Findings:
        """Check the repository."""
        repository = open_repository(self.storage, PASSWORD)
        return check(
            repository, read_data=read_data, progress=progress or Progress(), say=lambda _: None, **how
        )


def restore(
    repository: Repository, tree: BlobID, into: Path, node: Node | None = None, **options: Any
) -> Outcome:
    """Restore a tree of an open repository. `progress` and `listen` are not options, but may be given."""
    progress, listen = options.pop("progress", Progress()), options.pop("listen", lambda *_: None)
    restorer = Restorer(
        repository,
        RestoreOptions(**options),
        progress=progress,
        report=lambda _path, _reason: None,
        listen=listen,
    )
    root = target.open_target(str(into))
    try:
        restorer.restore(tree, root, node)
    finally:
        os.close(root)
    return restorer.outcome


def wait(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for ten seconds at most."""
    deadline = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def selected(include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Selection:
    return Selection((Patterns(include),), (Patterns(exclude),))
