"""`becalm commit`: publishes the trees of a group as snapshots, all of them or none."""

import contextlib
from collections.abc import Iterable

from becalm_engine.commands.progress import Progress
from becalm_engine.contract import CommitPlan, PlannedSnapshot
from becalm_engine.errors import DamagedError, EngineError, UsageError
from becalm_engine.format import gotime
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import DIR
from becalm_engine.ids import BlobID, FileID, parse_id
from becalm_engine.repository import snapshots
from becalm_engine.repository.keys import username
from becalm_engine.repository.reader import load_tree
from becalm_engine.repository.repository import Broken, Repository
from becalm_engine.repository.snapshots import StoredSnapshot


def commit(
    repository: Repository,
    plan: CommitPlan,
    *,
    progress: Progress,
    program_version: str,
    broken: Broken = lambda *_: None,
) -> list[str]:
    """Write the planned snapshots, after finding every blob of every tree; return their ids in the plan's order.

    The index must have been loaded after the captures ended. Committing again writes nothing twice: a
    snapshot with the same tree, time, host and paths counts as written. One that is damaged is told to
    `broken`, and keeps nothing from being written.

    Raises:
        DamagedError: A blob is missing, for instance after somebody pruned in between. Nothing was written.
    """
    if not plan.snapshots:
        raise UsageError("the commit plan names no snapshot")
    planned = [_snapshot(entry, program_version) for entry in plan.snapshots]
    refuse_incomplete(repository, (snapshot.tree for snapshot in planned), progress)
    every = snapshots.list_snapshots(repository, broken=snapshots.only_damaged(broken))
    written = {_key(stored.snapshot): stored for stored in every}
    result = []
    added: list[StoredSnapshot] = []
    try:
        for snapshot in planned:
            stored = written.get(_key(snapshot))
            if stored is None:
                stored = snapshots.save_snapshot(repository, snapshot)
                added.append(stored)
            result.append(stored.name)
    except EngineError:
        _take_back(repository, added)
        raise
    return result


def _take_back(repository: Repository, added: Iterable[StoredSnapshot]) -> None:
    """Remove the first snapshots of a group whose others could not be written, as far as it is possible."""
    for stored in added:
        with contextlib.suppress(EngineError):
            snapshots.remove_snapshot(repository, stored)


def refuse_incomplete(repository: Repository, trees: Iterable[BlobID], progress: Progress) -> None:
    """See that every blob below the trees is in the index; each subtree is looked at once.

    Raises:
        DamagedError: One is missing or a tree cannot be read.
    """
    waiting = list(trees)
    seen = set(waiting)
    while waiting:
        progress.check()
        tree = waiting.pop()
        if not repository.index.holds(BlobKind.TREE, tree):
            raise DamagedError(f"tree {tree.hex()} is not in the repository; was it pruned?")
        for node in load_tree(repository, tree):
            missing = next((b for b in node.content if not repository.index.holds(BlobKind.DATA, b)), None)
            if missing is not None:
                raise DamagedError(f"blob {missing.hex()} of a file is not in the repository; was it pruned?")
            if node.type == DIR and node.subtree is not None and node.subtree not in seen:
                seen.add(node.subtree)
                waiting.append(node.subtree)


def _snapshot(entry: PlannedSnapshot, program_version: str) -> Snapshot:
    nanos, zone = gotime.decode_with_zone(entry.time)
    return Snapshot(
        time_nanos=nanos,
        tree=BlobID(parse_id(entry.tree)),
        paths=entry.paths,
        hostname=entry.hostname,
        username=username(),
        tags=entry.tags,
        parent=FileID(parse_id(entry.parent)) if entry.parent else None,
        program_version=program_version,
        summary=entry.summary,
        zone=zone,
    )


def _key(snapshot: Snapshot) -> tuple[object, ...]:
    return snapshot.tree, snapshot.time_nanos, snapshot.hostname, snapshot.paths
