"""The commands that look after a repository: prune, repair, list, recover."""

from collections.abc import Collection

from becalm_engine.cli import show_prune
from becalm_engine.cli.broken import passed_over
from becalm_engine.cli.output import Output
from becalm_engine.cli.pack_copy import save_copy
from becalm_engine.cli.session import Session
from becalm_engine.cli.version import program_version
from becalm_engine.cli.watching import watched
from becalm_engine.commands import prune as prune_command
from becalm_engine.commands import recover as recover_command
from becalm_engine.commands import repair_index as index_command
from becalm_engine.commands import repair_packs as packs_command
from becalm_engine.commands import repair_snapshots as snapshots_command
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import parse_size
from becalm_engine.contract import PruneReport, Report
from becalm_engine.errors import DamagedError, UsageError
from becalm_engine.format.compression import Compression
from becalm_engine.policy import prune as policy
from becalm_engine.policy.prune import Limits
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import DamagedSnapshot, StoredSnapshot
from becalm_engine.storage.base import FileKind

_TREE_PACK_BYTES = 8 * 1024 * 1024
"""The writer makes no longer packs of directories, whatever the pack size."""


def prune(session: Session, output: Output, progress: Progress) -> Report:
    """Remove what no snapshot needs."""
    dry_run = session.arguments.dry_run
    with session.locked_repository(exclusive=True, only_reads=dry_run) as repository:
        return prune_locked(session, output, progress, repository, limits_of(session, repository))


def prune_locked(
    session: Session,
    output: Output,
    progress: Progress,
    repository: Repository,
    limits: Limits,
    *,
    forgotten: Collection[str] = (),
) -> Report:
    """Prune a repository that is locked; in a dry run `forgotten` snapshots count as removed."""
    arguments = session.arguments
    with watched(session, output, progress):
        prepared = prune_command.prepare(
            repository,
            limits,
            progress=progress,
            say=output.say,
            forgotten=forgotten,
            allow_remove_all=arguments.unsafe_allow_remove_all,
        )
    show_prune.prune_plan(output, prepared.plan, dry_run=arguments.dry_run)
    if not arguments.dry_run:
        with watched(session, output, progress):
            prune_command.execute(
                repository, prepared, progress=progress, say=output.say, pack_bytes=session.pack_bytes()
            )
    found = prepared.plan.statistics
    return PruneReport(
        bytes_removed=0 if arguments.dry_run else found.pruned.size_bytes,
        bytes_unused=found.unused_bytes_after,
    )


def limits_of(session: Session, repository: Repository) -> Limits:
    """Return how far a prune may go.

    Raises:
        UsageError: The flags make no sense.
    """
    arguments, pack_bytes = session.arguments, session.pack_bytes()
    compresses = repository.compression is not Compression.OFF
    if arguments.repack_uncompressed and not compresses:
        raise UsageError("--repack-uncompressed needs a compression, and a repository of version 2")
    small = pack_bytes // 5 * 4 if arguments.repack_small else pack_bytes // 25
    if arguments.repack_smaller_than:
        small = parse_size(arguments.repack_smaller_than)
        if not small:  # no pack would count as small, where --repack-small or the default finds some
            raise UsageError("--repack-smaller-than must be larger than zero")
    if small > pack_bytes:
        raise UsageError(f"--repack-smaller-than {arguments.repack_smaller_than} exceeds the pack size")
    return Limits(
        unused=policy.parse_unused_limit(arguments.max_unused, parse_size),
        repack_bytes=parse_size(arguments.max_repack_size) if arguments.max_repack_size else None,
        cacheable_only=arguments.repack_cacheable_only,
        compress_trees=compresses,
        compress_data=arguments.repack_uncompressed,
        small_data_bytes=small,
        small_tree_bytes=min(small, min(pack_bytes, _TREE_PACK_BYTES) // 5 * 4),
    )


def repair(session: Session, output: Output, progress: Progress) -> Report:
    """Repair the index, packs or snapshots."""
    return _REPAIRS[session.arguments.what](session, output, progress)


def _repair_index(session: Session, output: Output, progress: Progress) -> Report:
    with session.locked_repository(exclusive=True) as repository, watched(session, output, progress):
        done = index_command.repair_index(
            repository, read_all=session.arguments.read_all_packs, progress=progress, say=output.say
        )
    output.say("done" if done else "the index is complete and right")
    output.message(
        {
            "message_type": "summary",
            "removed_index": done.broken_files,
            "missing_packs": [pack.hex() for pack in done.missing],
            "read_packs": [pack.hex() for pack in done.added],
            "dropped_packs": [pack.hex() for pack in done.dropped],
            "kept_packs": [pack.hex() for pack in done.kept],
        }
    )
    return Report()


def _repair_packs(session: Session, output: Output, progress: Progress) -> Report:
    def keep_copy(name: str, data: bytes) -> None:
        output.say(f"saving a copy of pack {name} to the current folder")
        save_copy(name, data)

    with session.locked_repository(exclusive=True) as repository:
        done = packs_command.repair_packs(
            repository, session.arguments.id, keep_copy=keep_copy, progress=progress, say=output.say
        )
    output.say(f"\n{done.saved} blobs saved, {done.lost} lost")
    if done.lost:
        output.warn("Use `becalm repair snapshots --forget` to remove what was lost from all snapshots")
    output.message({"message_type": "summary", "blobs_saved": done.saved, "blobs_lost": done.lost})
    return Report()


def _repair_snapshots(session: Session, output: Output, progress: Progress) -> Report:
    arguments = session.arguments
    with session.locked_repository(exclusive=True, only_reads=arguments.dry_run) as repository:
        chosen = _chosen(session, output, repository)
        repository.load_index()
        done = snapshots_command.repair_snapshots(
            repository,
            chosen,
            dry_run=arguments.dry_run,
            forget=arguments.forget,
            progress=progress,
            say=output.say,
        )
    for stored in done.written:
        output.say(f"saved new snapshot {stored.short}")
    for name in done.removed:
        output.say(f"removed old snapshot {name[:8]}")
    would = "would be" if arguments.dry_run else "were"
    if done.empty_lost:
        output.say(f"\nempty directories {would} stored again, for snapshots that need them")
    count = f"{len(done.damaged)} snapshots" if done.damaged else "no snapshots"
    output.say(f"\n{count} {would} modified")
    output.message(
        {
            "message_type": "summary",
            "damaged_snapshots": list(done.damaged),
            "new_snapshots": [stored.name for stored in done.written],
            "removed_snapshots": done.removed,
        }
    )
    return Report()


def _chosen(session: Session, output: Output, repository: Repository) -> list[StoredSnapshot]:
    """Return the snapshots to repair; where the file of one is damaged itself, nothing is left to repair."""
    tell, wanted, found = passed_over(output, "repair"), session.filter(), []
    if not session.arguments.id:
        return snapshots.list_snapshots(repository, wanted, tell)
    for text in session.arguments.id:
        one = snapshots.find_or_damaged(repository, text, wanted, tell)
        if isinstance(one, DamagedSnapshot):
            tell(one.name, DamagedError(one.reason))
        else:
            found.append(one)
    return found


_REPAIRS = {"index": _repair_index, "packs": _repair_packs, "snapshots": _repair_snapshots}


def list_objects(session: Session, output: Output, progress: Progress) -> Report:
    """List the names of all objects of a kind; blobs with their type."""
    kind = session.arguments.kind
    if kind == "locks":  # to be seen also by those whom they keep out
        lines = _names(session.repository(), FileKind.LOCK)
    else:
        with session.locked_repository(only_reads=True) as repository:
            lines = _blobs(repository) if kind == "blobs" else _names(repository, _KINDS[kind])
    for line in lines:
        output.result(line)
    output.message(lines)
    return Report()


_KINDS = {
    "packs": FileKind.PACK,
    "index": FileKind.INDEX,
    "snapshots": FileKind.SNAPSHOT,
    "keys": FileKind.KEY,
}


def _names(repository: Repository, kind: FileKind) -> list[str]:
    return sorted(stored.name for stored in repository.storage.list(kind))


def _blobs(repository: Repository) -> list[str]:
    repository.load_index()
    return [f"{place.blob.kind.name.lower()} {place.blob.id.hex()}" for place in repository.index]


def recover(session: Session, output: Output, progress: Progress) -> Report:
    """Make a snapshot of what no snapshot holds."""
    with session.locked_repository(exclusive=True) as repository, watched(session, output, progress):
        output.say("ensuring index is complete")
        index_command.repair_index(repository, read_all=False, progress=progress, say=output.say)
        stored = recover_command.recover(
            repository.without_index(),
            progress=progress,
            say=output.say,
            warn=output.warn,
            program_version=program_version(),
        )
    output.message({"message_type": "summary", "snapshot_id": stored.name if stored else None})
    return Report()
