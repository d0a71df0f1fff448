"""The commands that look after a repository: prune, repair, list, recover."""

from collections.abc import Collection

from becalm_engine.cli import show_prune
from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.cli.watching import watched
from becalm_engine.commands import prune as prune_command
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import parse_size
from becalm_engine.contract import PruneReport, Report
from becalm_engine.errors import UsageError
from becalm_engine.format.compression import Compression
from becalm_engine.policy import prune as policy
from becalm_engine.policy.prune import Limits
from becalm_engine.repository.repository import Repository

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
