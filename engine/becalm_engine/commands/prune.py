"""`becalm prune`: removes what no snapshot needs.

new packs → new index files → old index files deleted → old packs deleted

Killed anywhere it leaves a sound repository, and the next run takes up what this one has written. Nothing is deleted
on the word of one listing: what was seen at the start must be seen again before the first deletion.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from becalm_engine.commands.progress import Progress
from becalm_engine.commands.removal import confirm_missing, delete_files, delete_packs, pack_sizes
from becalm_engine.commands.repack import copy_blobs
from becalm_engine.commands.usage import damaged_copies, used_blobs
from becalm_engine.errors import DamagedError, EngineError, InternalError, StorageError, UsageError
from becalm_engine.ids import PackID
from becalm_engine.policy import prune as policy
from becalm_engine.policy.blob_counts import BlobCounts
from becalm_engine.policy.prune import Limits, Plan
from becalm_engine.repository import index_files, snapshots
from becalm_engine.repository.index_files import IndexFiles, IndexWriter
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.repository.writer import DEFAULT_PACK_BYTES, Writer
from becalm_engine.storage.base import FileKind

Teller = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and what the repository looked like when it was made."""

    plan: Plan
    limits: Limits
    snapshots: frozenset[str]
    files: IndexFiles
    pack_sizes: dict[PackID, int]
    to_copy: BlobCounts


def prepare(
    repository: Repository,
    limits: Limits,
    *,
    progress: Progress,
    say: Teller,
    forgotten: Collection[str] = (),
    allow_remove_all: bool = False,
) -> Prepared:
    """Decide what to prune; nothing is changed. `forgotten` snapshots count as removed.

    Raises:
        DamagedError: Something that a snapshot needs is missing or cannot be read.
        UsageError: No snapshot is left, and nobody said that this is meant.
    """
    say("loading all snapshots...")
    every = _readable(repository, forgotten)
    staying = [stored for stored in every if stored.name not in forgotten]
    say("loading indexes...")
    files = index_files.load(repository)
    sizes = pack_sizes(repository)
    if not staying and sizes and not allow_remove_all:
        raise UsageError(
            "there is no snapshot, so all data would be deleted; "
            "if that is meant, add --unsafe-allow-remove-all"
        )
    say(f"finding data that is still in use for {len(staying)} snapshots")
    used = used_blobs(repository, (stored.snapshot.tree for stored in staying), progress)
    say("collecting packs for deletion and repacking")
    damaged = damaged_copies(repository, used, progress)
    plan = policy.make_plan(repository.index, used, sizes, limits, doubtful=files.doubtful, damaged=damaged)
    confirm_missing(repository, plan.missing)
    return Prepared(plan, limits, frozenset(stored.name for stored in every), files, sizes, used)


def _readable(repository: Repository, forgotten: Collection[str]) -> list[StoredSnapshot]:
    """Return all snapshots; a damaged one may only be missing if it was forgotten.

    Raises:
        DamagedError: Nobody knows what a snapshot needs.
    """

    def refuse(name: str, error: EngineError) -> None:
        if name not in forgotten:
            raise DamagedError(
                f"nobody knows which data a damaged snapshot needs, so nothing was deleted: {error}. If there is no "
                f"copy of its file to be put back, {snapshots.way_out_of(name)}; then prune again"
            ) from error

    return snapshots.list_snapshots(repository, broken=snapshots.only_damaged(refuse))


def execute(
    repository: Repository,
    prepared: Prepared,
    *,
    progress: Progress,
    say: Teller,
    pack_bytes: int = DEFAULT_PACK_BYTES,
) -> None:
    """Do what was planned. The repository must be locked exclusively since before the plan was made."""
    plan = prepared.plan
    _refuse_changes(repository, prepared)
    if set(index_files.names(repository)) != prepared.files.names:
        raise StorageError("the list of index files has changed meanwhile; nothing was deleted. Try again")
    if plan.unreferenced:
        say("deleting unreferenced packs")
        delete_packs(repository, plan.unreferenced, progress)
    written: dict[PackID, int] = {}
    indexes: list[str] = []
    if plan.repack:
        say("repacking packs")
        written, indexes = _repack(repository, prepared, pack_bytes, progress)
    old = [*plan.remove, *plan.repack]
    _require_packs(repository, prepared, written, leaving={*old, *plan.unreferenced})
    index_files.require_written(repository, indexes)
    _replace_index(repository, prepared, progress, say)
    if old:
        say(f"removing {len(old)} old packs")
        delete_packs(repository, old, progress)
    say("done")


def _repack(
    repository: Repository, prepared: Prepared, pack_bytes: int, progress: Progress
) -> tuple[dict[PackID, int], list[str]]:
    """Write again what stays of the packs that go, and index it; return the new packs and lengths, and index files."""
    plan, left = prepared.plan, prepared.to_copy
    progress.bytes_done = progress.files_done = 0
    progress.files_total = len(plan.repack)
    repack = frozenset(plan.repack)
    concerned = [name for name, packs in sorted(prepared.files.packs.items()) if packs & repack]
    target = repository.without_index()
    with Writer(target, pack_bytes=pack_bytes) as writer:
        for pack, blobs in index_files.entries_in(repository, concerned, repack):
            wanted = []
            for blob in blobs:
                if left.get(blob.kind, blob.id):
                    left.put(blob.kind, blob.id, 0)
                    wanted.append(blob)
            copy_blobs(
                repository, writer, pack, wanted,
                compress_data=prepared.limits.compress_data, progress=progress,
            )  # fmt: skip
            progress.files_done += 1
    lost = sum(number > 0 for _, _, number in left)
    if lost:
        raise InternalError(f"internal error: {lost} blobs were not repacked; nothing was deleted")
    lengths = {pack: target.index.facts_of(pack).size_bytes for pack in target.index.packs()}
    return lengths, writer.indexes


def _require_packs(
    repository: Repository, prepared: Prepared, written: Mapping[PackID, int], *, leaving: Collection[PackID]
) -> None:
    """See that all packs that stay are there, old ones and new ones, before what they replace goes.

    Raises:
        StorageError: One is not listed, or has another length than before, or than was written.
    """
    sizes = pack_sizes(repository)
    staying = {pack: size for pack, size in prepared.pack_sizes.items() if pack not in leaving}
    changed = [pack for pack, size in {**staying, **written}.items() if sizes.get(pack) != size]
    if changed:
        raise StorageError(
            f"{len(changed)} packs that have to stay are not listed as they were or were written, "
            f"e.g. {changed[0].hex()}; "
            "nothing that was in use is deleted. Look with `becalm check`"
        )


def _replace_index(repository: Repository, prepared: Prepared, progress: Progress, say: Teller) -> None:
    """Write index files without the packs that go, and delete the old ones once the new ones are seen."""
    plan = prepared.plan
    gone: set[PackID] = {*plan.remove, *plan.repack, *plan.missing}
    old = prepared.files.to_replace(gone)
    if not old:
        return
    say("rebuilding index")
    writer = IndexWriter(repository)
    index_files.copy_entries(repository, old, writer, gone=gone)
    _refuse_changes(repository, prepared)
    index_files.require_written(repository, writer.written, beside=prepared.files.names)
    delete_files(repository, FileKind.INDEX, old, progress)


def _refuse_changes(repository: Repository, prepared: Prepared) -> None:
    """Look again at the snapshots that the plan stands on.

    Raises:
        StorageError: They are not listed as before.
    """
    repository.guard()
    now = {stored.name for stored in repository.storage.list(FileKind.SNAPSHOT)}
    if now != prepared.snapshots:
        raise StorageError(
            f"the list of snapshots has changed while they were looked at ({len(prepared.snapshots)} before, "
            f"{len(now)} now), so nothing that was in use is deleted. Try again once nobody else works here"
        )
