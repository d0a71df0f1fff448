"""`becalm backup`: capture sources, then commit a snapshot. The halves can be run apart."""

import contextlib
import os
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import timezone

from becalm_engine.chunking import Chunker, Read, seed_of
from becalm_engine.commands import sources as source_tree
from becalm_engine.commands.archive import Alone, Archiver, Listener, Reporter, Stores
from becalm_engine.commands.archive_crew import ArchiveMembers, archive_crew
from becalm_engine.commands.estimate import estimated, is_large, slots_for
from becalm_engine.commands.files import FileStore
from becalm_engine.commands.folder import FolderRules, FolderStore
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import Exclusion, Folder
from becalm_engine.commands.stored import Tally
from becalm_engine.contract import CaptureReport, summary_of
from becalm_engine.errors import EngineError, UsageError
from becalm_engine.format import gotime
from becalm_engine.format.snapshot import Snapshot
from becalm_engine.format.tree import DIR, FILE, Node, encode_node
from becalm_engine.ids import BlobID, FileID, parse_id
from becalm_engine.policy.grouping import Grouping
from becalm_engine.policy.parent import ChangeRules, choose_parent, read_since_nanos
from becalm_engine.repository import snapshots
from becalm_engine.repository.claims import Claims
from becalm_engine.repository.keys import username
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import DamagedSnapshot, StoredSnapshot
from becalm_engine.repository.writer import DEFAULT_PACK_BYTES, Added, Writer

_LARGEST_BYTES = 1 << 63


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """What to back up, and how.

    `time_nanos` None means now, and `zone` None the one of this process; `estimate` counts ahead, for those who
    watch; `processes` above 1 lets so many share the work if there is much of it, each with `workers` threads. The
    parent is of the group that `grouping` says. `listing`: what becomes of each file is told. `still`: the sources
    are not written any more, and a file that changes while it is read is told as unreadable.
    """

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
    zone: timezone | None = None
    pack_bytes: int = DEFAULT_PACK_BYTES
    workers: int = 2
    processes: int = 1
    stdin_filename: str = ""
    estimate: bool = False
    grouping: Grouping = field(default_factory=Grouping)
    listing: bool = False
    still: bool = False

    @property
    def folder_rules(self) -> FolderRules:
        """How directories are stored."""
        return FolderRules(self.exclusion, self.rules, self.with_atime, self.listing, self.still)

    def compared_with(self, basis: "Basis") -> "BackupOptions":
        """Return the same, and that what is compared with was read while it could be written."""
        return replace(self, rules=replace(self.rules, hot_since_nanos=basis.read_since_nanos))


@dataclass(frozen=True, slots=True)
class Basis:
    """What a capture starts from: the snapshot that it is the next of, and the tree that contents are taken from.

    That tree is the snapshot's own, unless a pass ahead has made another one and has `added` what is in it. Its
    contents were read from `read_since_nanos` on, while somebody may have written them.
    `broken` snapshots, and why they cannot be read: any of them might have been the parent.
    """

    parent: StoredSnapshot | None
    tree: BlobID | None
    added: Added = field(default_factory=Added)
    broken: tuple[tuple[str, str], ...] = ()
    read_since_nanos: int | None = None

    @classmethod
    def of(cls, parent: StoredSnapshot | None, broken: Iterable[tuple[str, str]] = ()) -> "Basis":
        """Start from a snapshot alone."""
        if parent is None:
            return cls(None, None, broken=tuple(broken))
        since = read_since_nanos(parent.snapshot)
        return cls(parent, parent.snapshot.tree, broken=tuple(broken), read_since_nanos=since)


@dataclass(frozen=True, slots=True)
class Captured:
    """Sources that are uploaded and indexed, but named by no snapshot yet."""

    tree: BlobID
    parent: StoredSnapshot | None
    hostname: str
    paths: tuple[str, ...]
    time_nanos: int
    report: CaptureReport
    broken: tuple[tuple[str, str], ...] = ()
    """As of the basis."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        report = self.report
        return (gotime.decode(report.ended_at) - gotime.decode(report.started_at)) / gotime.NANOS


def capture(
    repository: Repository,
    options: BackupOptions,
    *,
    progress: Progress,
    report: Reporter,
    read: Read | None = None,
    listen: Listener = lambda *_: None,
    basis: Basis | None = None,
) -> Captured:
    """Upload the sources, or what `read` gives, and index it. The repository's index must be loaded.

    Without a `basis` the parent is sought.

    Raises:
        SourceMissingError: None of the sources exists. One of several that does not is reported.
        UsageError: The sources cannot be in one snapshot, or one would be left out of another.
    """
    started = time.time_ns()
    hostname = _hostname(options)
    present, missing = ((), ()) if read else source_tree.present_and_missing(options.sources)
    paths = ("/" + options.stdin_filename.lstrip("/"),) if read else source_tree.stored_paths(present)
    basis = basis or _basis(repository, options, paths)
    root = None if read else source_tree.arrange(present)
    source_tree.refuse_left_out(present, options.exclusion)
    for source in missing:
        report(source, "scan", "it does not exist")
    for name, reason in basis.broken:
        report(
            f"snapshots/{name}", "scan", f"{reason}; it is no parent then, and more is read for want of one"
        )
    with Writer(repository, pack_bytes=options.pack_bytes) as writer:
        run = _Run(repository, writer, options.compared_with(basis), progress, report, listen)
        if root is not None:
            counting = estimated(root, options.exclusion, progress) if options.estimate else nullcontext()
            with counting:
                tree = run.store(root, basis)
        else:
            assert read is not None
            tree = run.store_stream(read)
        progress.check()
    return Captured(
        tree=tree,
        parent=basis.parent,
        hostname=hostname,
        paths=paths,
        time_nanos=started if options.time_nanos is None else options.time_nanos,
        report=_report(run, writer.added, tree, basis, started, missing),
        broken=basis.broken,
    )


class _Run:
    """The stores of one backup: in this process, or in several if there is enough for them to do."""

    def __init__(
        self,
        repository: Repository,
        writer: Writer,
        options: BackupOptions,
        progress: Progress,
        report: Reporter,
        listen: Listener,
    ) -> None:
        self.tally = Tally()
        self.unreadable: list[str] = []
        self._repository = repository
        self._writer = writer
        self._options = options
        self._progress = progress
        self._report = report
        self._listen = listen
        self._chunker = Chunker(seed_of(repository.key.to_bytes()))
        self._files = FileStore(writer, self._chunker, progress, threads=options.workers)
        self._folders = FolderStore(repository, writer, self._files, options.folder_rules, progress)

    def store(self, root: Folder, basis: Basis) -> BlobID:
        """Store the sources, and return the id of the tree that holds them."""
        with contextlib.closing(self._files):
            if self._options.processes > 1 and is_large(root):
                return self._store_by_crew(root, basis)
            return self._archive(Alone(self._folders), root, basis)

    def _store_by_crew(self, root: Folder, basis: Basis) -> BlobID:
        self._writer.claims = claims = Claims(slots_for(root))
        members = ArchiveMembers(
            self._repository,
            self._chunker,
            self._options.folder_rules,
            claims,
            self._options.pack_bytes,
            self._options.workers,
            most_waiting=max(1, self._repository.storage.connections // (2 * self._options.processes)),
        )
        with archive_crew(self._options.processes, members, self._progress) as crew:
            tree = self._archive(crew, root, basis)
            self._repository.guard()  # members write indexes, and cannot ask whether one went as the lock settled
            for left in crew.last():
                self._writer.take(left.packs)
                self._writer.added.add(left.added)
        return tree

    def _archive(self, stores: Stores, root: Folder, basis: Basis) -> BlobID:
        archiver = Archiver(self._folders, stores, self._progress, self._report, self._listen)
        self.tally, self.unreadable = archiver.tally, archiver.unreadable
        return archiver.store(root, basis.tree, basis.parent.snapshot.tree if basis.parent else None)

    def store_stream(self, read: Read) -> BlobID:
        """Store a stream as one file, and return the id of the tree that holds it."""
        *folders, name = _stream_path(self._options.stdin_filename)
        with contextlib.closing(self._files):
            blobs, size = self._files.store_stream(read)
        now, owner = time.time_ns(), (os.getuid(), os.getgid())
        node = Node(name, FILE, 0o644, now, now, now, *owner, size=size, content=tuple(blobs))
        self.tally.files_new += 1
        self.tally.bytes_processed += size
        for folder in reversed(folders):
            tree = self._folders.save_tree([encode_node(node)])
            node = Node(folder, DIR, 0o755, now, now, now, *owner, subtree=tree)
        return self._folders.save_tree([encode_node(node)])


def _stream_path(filename: str) -> list[bytes]:
    """Return the folders and the name that a stream is stored under."""
    parts = os.fsencode(filename.removeprefix("/")).split(b"/")
    if any(part in (b"", b".", b"..") for part in parts):
        raise UsageError(f"--stdin-filename {filename!r} does not name a file")
    return parts


def find_basis(repository: Repository, options: BackupOptions) -> Basis:
    """Return what a capture of the sources starts from if there is no pass ahead.

    Raises:
        SourceMissingError: None of the sources exists.
    """
    present, _ = source_tree.present_and_missing(options.sources)
    return _basis(repository, options, source_tree.stored_paths(present))


def _hostname(options: BackupOptions) -> str:
    return options.hostname or socket.gethostname()


def _basis(repository: Repository, options: BackupOptions, paths: tuple[str, ...]) -> Basis:
    """Find the parent, among the snapshots that can be read: a parent spares time, and nothing else."""
    if options.force:
        return Basis.of(None)
    broken: list[tuple[str, str]] = []

    def note(name: str, error: EngineError) -> None:
        broken.append((name, str(error)))

    tell = snapshots.only_damaged(note)
    if not options.parent:
        every = snapshots.list_snapshots(repository, broken=tell)
        return Basis.of(_chosen(every, options, paths), sorted(broken))
    named = snapshots.find_or_damaged(repository, options.parent, broken=tell)
    if isinstance(named, DamagedSnapshot):
        return Basis.of(None, [(named.name, named.reason)])
    return Basis.of(named, sorted(broken))


def _chosen(
    every: Iterable[StoredSnapshot], options: BackupOptions, paths: tuple[str, ...]
) -> StoredSnapshot | None:
    pairs = ((stored.name, stored.snapshot) for stored in every)
    now = time.time_ns() if options.time_nanos is None else options.time_nanos
    group = options.grouping.key(_hostname(options), paths, options.tags)
    chosen = choose_parent(pairs, group=group, grouping=options.grouping, now_nanos=now)
    return StoredSnapshot(*chosen) if chosen else None


def _report(
    run: _Run,
    added: Added,
    tree: BlobID,
    basis: Basis,
    started: int,
    missing: tuple[str, ...],
) -> CaptureReport:
    tally, unreadable = run.tally, (*missing, *run.unreadable)
    added.add(basis.added)
    return CaptureReport(
        exit_code=3 if unreadable else 0,
        tree=tree.hex(),
        parent=basis.parent.name if basis.parent else "",
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
        parent_bytes=_size_of(basis.parent),
        unreadable_count=len(unreadable),
        unreadable=unreadable[:50],
    )


def _size_of(parent: StoredSnapshot | None) -> int:
    """Return how much a snapshot holds by its own summary; 0 if that does not say, or says nonsense."""
    size = parent.snapshot.summary.get("total_bytes_processed") if parent else None
    return size if isinstance(size, int) and 0 < size < _LARGEST_BYTES else 0


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
        zone=options.zone or gotime.local_zone(captured.time_nanos),
    )


def is_unchanged(captured: Captured) -> bool:
    """Say whether nothing differs from the parent, for `--skip-if-unchanged`."""
    return captured.parent is not None and captured.parent.snapshot.tree == captured.tree


def sorted_tags(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the tags of all `--tag` flags; one flag may hold several with commas."""
    return tuple(dict.fromkeys(tag for text in texts for tag in snapshots.tag_list(text) if tag))
