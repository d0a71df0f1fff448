"""`becalm backup`: capture sources, then commit a snapshot. The halves can be run apart."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from becalm_engine.chunking import Chunker, Read, seed_of
from becalm_engine.commands import sources as source_tree
from becalm_engine.commands.archive import Archiver
from becalm_engine.commands.estimate import estimated
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import Exclusion
from becalm_engine.contract import CaptureReport, summary_of
from becalm_engine.errors import UsageError
from becalm_engine.format import gotime
from becalm_engine.format.pack import BlobKind
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import FILE, Node, encode_node, encode_tree
from becalm_engine.ids import BlobID, FileID, parse_id
from becalm_engine.policy.parent import ChangeRules, choose_parent
from becalm_engine.repository import snapshots
from becalm_engine.repository.keys import username
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot
from becalm_engine.repository.writer import DEFAULT_PACK_BYTES, Writer


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """What to back up, and how. `time_nanos` None means now; `estimate` counts ahead, for those who watch."""

    sources: tuple[str, ...] = ()
    hostname: str = ""
    tags: tuple[str, ...] = ()
    exclusion: Exclusion = field(default_factory=Exclusion)
    excludes: tuple[str, ...] = ()
    parent: str = ""
    force: bool = False
    rules: ChangeRules = field(default_factory=ChangeRules)
    with_atime: bool = False
    skip_if_unchanged: bool = False
    time_nanos: int | None = None
    pack_bytes: int = DEFAULT_PACK_BYTES
    workers: int = 2
    stdin_filename: str = ""
    estimate: bool = False


@dataclass(frozen=True, slots=True)
class Captured:
    """Sources that are uploaded and indexed, but named by no snapshot yet."""

    tree: BlobID
    parent: StoredSnapshot | None
    hostname: str
    paths: tuple[str, ...]
    time_nanos: int
    report: CaptureReport


Reporter = Callable[[str, str, str], None]
"""Told of each file that could not be read: its path, what was being done, and the reason."""


def capture(
    repository: Repository,
    options: BackupOptions,
    *,
    progress: Progress,
    report: Reporter,
    read: Read | None = None,
) -> Captured:
    """Upload the sources, or what `read` gives, and index it. The repository's index must be loaded."""
    started = time.time_ns()
    hostname = options.hostname or socket.gethostname()
    paths = ("/" + options.stdin_filename.lstrip("/"),) if read else source_tree.stored_paths(options.sources)
    parent = _parent(repository, options, hostname, paths)
    root = None if read else source_tree.arrange(options.sources)
    chunker = Chunker(seed_of(repository.key.to_bytes()))
    with Writer(repository, pack_bytes=options.pack_bytes) as writer:
        archiver = Archiver(
            repository,
            writer,
            chunker,
            exclusion=options.exclusion,
            rules=options.rules,
            progress=progress,
            report=report,
            with_atime=options.with_atime,
            workers=options.workers,
        )
        if root is not None:
            counting = estimated(root, options.exclusion, progress) if options.estimate else nullcontext()
            with counting:
                tree = archiver.store(root, parent.snapshot.tree if parent else None)
        else:
            assert read is not None
            tree = _store_stream(archiver, writer, options.stdin_filename, read)
        progress.check()
    return Captured(
        tree=tree,
        parent=parent,
        hostname=hostname,
        paths=paths,
        time_nanos=options.time_nanos or started,
        report=_report(archiver, writer, tree, parent, started),
    )


def _parent(
    repository: Repository, options: BackupOptions, hostname: str, paths: tuple[str, ...]
) -> StoredSnapshot | None:
    if options.force:
        return None
    if options.parent:
        return snapshots.find_snapshot(repository, options.parent)
    every = ((stored.name, stored.snapshot) for stored in snapshots.list_snapshots(repository))
    now = options.time_nanos or time.time_ns()
    chosen = choose_parent(every, hostname=hostname, paths=paths, now_nanos=now)
    return StoredSnapshot(*chosen) if chosen else None


def _store_stream(archiver: Archiver, writer: Writer, filename: str, read: Read) -> BlobID:
    name = os.fsencode(filename.lstrip("/"))
    if not name or b"/" in name:
        raise UsageError(f"--stdin-filename {filename!r} is not a plain file name")
    blobs, size = archiver.store_stream(read)
    now = time.time_ns()
    node = Node(name, FILE, 0o644, now, now, now, os.getuid(), os.getgid(), size=size, content=tuple(blobs))
    archiver.tally.files_new += 1
    archiver.tally.bytes_processed += size
    return writer.save(BlobKind.TREE, encode_tree([encode_node(node)]))


def _report(
    archiver: Archiver, writer: Writer, tree: BlobID, parent: StoredSnapshot | None, started: int
) -> CaptureReport:
    tally, added = archiver.tally, writer.added
    return CaptureReport(
        exit_code=3 if tally.unreadable else 0,
        tree=tree.hex(),
        parent=parent.name if parent else "",
        files_new=tally.files_new,
        files_changed=tally.files_changed,
        files_unmodified=tally.files_unmodified,
        dirs_new=tally.dirs_new,
        dirs_changed=tally.dirs_changed,
        dirs_unmodified=tally.dirs_unmodified,
        data_blobs=added.data_blobs,
        tree_blobs=added.tree_blobs,
        bytes_processed=tally.bytes_processed,
        bytes_added=added.plain_bytes,
        bytes_added_packed=added.stored_bytes,
        started_at=gotime.encode(started),
        ended_at=gotime.encode(time.time_ns()),
        unreadable_count=len(tally.unreadable),
        unreadable=tuple(path for path, _ in tally.unreadable[:50]),
    )


def snapshot_of(captured: Captured, options: BackupOptions, program_version: str) -> Snapshot:
    """Return the snapshot that publishes what was captured."""
    return Snapshot(
        time_nanos=captured.time_nanos,
        tree=captured.tree,
        paths=captured.paths,
        hostname=captured.hostname,
        username=username(),
        uid=os.getuid(),
        gid=os.getgid(),
        excludes=options.excludes,
        tags=options.tags,
        parent=FileID(parse_id(captured.parent.name)) if captured.parent else None,
        program_version=program_version,
        summary=summary_of(captured.report),
    )


def is_unchanged(captured: Captured) -> bool:
    """Say whether nothing differs from the parent, for `--skip-if-unchanged`."""
    return captured.parent is not None and captured.parent.snapshot.tree == captured.tree


def sorted_tags(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the tags of all `--tag` flags; one flag may hold several with commas."""
    return tuple(dict.fromkeys(tag for text in texts for tag in text.split(",") if tag))
