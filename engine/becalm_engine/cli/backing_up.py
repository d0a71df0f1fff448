"""`becalm backup`: its flags to options, what is read, and what is printed about it."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from becalm_engine.chunking import Read
from becalm_engine.cli import show
from becalm_engine.cli.options import exclusions
from becalm_engine.cli.output import Output, duration_text, size_text
from becalm_engine.cli.session import Session
from becalm_engine.cli.times import parse_zoned
from becalm_engine.cli.version import program_version
from becalm_engine.cli.watcher import Watcher
from becalm_engine.cli.watching import watched
from becalm_engine.commands import backup as backup_command
from becalm_engine.commands import capacity, source_lists, sources
from becalm_engine.commands.backup import BackupOptions, Captured
from becalm_engine.commands.gate import Gate, capture_behind
from becalm_engine.commands.piped import Command, Pipe, opened_fifo
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import Report
from becalm_engine.digits import whole_number
from becalm_engine.errors import UsageError
from becalm_engine.format.shown import shown_text
from becalm_engine.policy.grouping import Grouping
from becalm_engine.policy.parent import ChangeRules
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot


def backup(session: Session, output: Output, progress: Progress) -> Report:
    """Capture, and unless only that is asked for, commit."""
    dry_run = session.arguments.dry_run
    teller = _Teller(output)
    options = _options(session, output, teller)
    gate = _gate(session)
    with (
        session.locked_repository(only_reads=dry_run) as repository,
        _reading(session, progress) as read,
    ):
        repository.load_index()
        with watched(session, output, progress):
            captured = _way(session, gate, read)(
                repository.dry() if dry_run else repository,
                options,
                progress=progress,
                report=teller.error,
                listen=teller.became,
            )
        progress.check()
        saved = _saved(session, repository, captured, options)
    _say(output, captured, saved, dry_run=dry_run)
    return captured.report


def _way(session: Session, gate: Gate | None, read: Read | None) -> Callable[..., Captured]:
    """Return how to capture: behind a gate, or at once."""
    if gate is None:
        return partial(backup_command.capture, read=read)
    return partial(capture_behind, gate, pre_copy=session.arguments.pre_copy)


def _saved(
    session: Session, repository: Repository, captured: Captured, options: BackupOptions
) -> StoredSnapshot | None:
    """Write a snapshot of what was captured, if one is asked for."""
    arguments = session.arguments
    skipped = options.skip_if_unchanged and backup_command.is_unchanged(captured)
    if arguments.capture or arguments.dry_run or skipped:
        return None
    return snapshots.save_snapshot(
        repository, backup_command.snapshot_of(captured, options, program_version())
    )


# --- what to read


@contextlib.contextmanager
def _reading(session: Session, progress: Progress) -> Iterator[Read | None]:
    """Yield what reads the one stream that is backed up, if it is one."""
    arguments = session.arguments
    if arguments.stdin_from_command:
        with Command(arguments.source, progress) as command:
            yield command.readinto
    elif arguments.stdin_from_fifo:
        with opened_fifo(arguments.stdin_from_fifo, progress) as pipe:
            yield pipe.readinto
    elif arguments.stdin:
        yield Pipe(sys.stdin.fileno(), progress).readinto
    else:
        yield None


def _gate(session: Session) -> Gate | None:
    arguments = session.arguments
    if not arguments.gate:
        if arguments.pre_copy or arguments.ready_file:
            raise UsageError("--pre-copy and --ready-file need a --gate")
        return None
    streamed = arguments.stdin or arguments.stdin_from_command or arguments.stdin_from_fifo
    if streamed or arguments.dry_run:
        raise UsageError("--gate is for files and folders, and not for --stdin… or --dry-run")
    return Gate(Path(arguments.gate), Path(arguments.ready_file) if arguments.ready_file else None)


def _sources(session: Session, teller: "_Teller") -> tuple[str, ...]:
    arguments = session.arguments
    lists = arguments.files_from, arguments.files_from_verbatim, arguments.files_from_raw
    patterns, verbatim, raw = ([_content(path) for path in files] for files in lists)
    streams = arguments.stdin + arguments.stdin_from_command + bool(arguments.stdin_from_fifo)
    pathless = streams and not arguments.stdin_from_command
    if streams and (any(lists) or (pathless and arguments.source) or streams > 1):
        raise UsageError(
            "--stdin and --stdin-from-fifo take no paths, and --stdin-from-command only the words of a command"
        )
    if arguments.stdin_from_command and not arguments.source:
        raise UsageError("--stdin-from-command: no command is named")
    if streams:
        return ()
    return tuple(source_lists.sources_of(arguments.source, patterns, verbatim, raw, teller.unmatched))


def _content(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the list {path}: {error.strerror}") from error


def _options(session: Session, output: Output, teller: "_Teller") -> BackupOptions:
    arguments = session.arguments
    patterns, ignoring_case = exclusions(session)
    larger = arguments.exclude_larger_than
    processes, workers = _concurrency(session)
    nanos, zone = parse_zoned(arguments.time, "--time") if arguments.time else (None, None)
    return BackupOptions(
        sources=_sources(session, teller),
        hostname=arguments.host or session.environment.get("RESTIC_HOST", ""),
        tags=backup_command.sorted_tags(arguments.tag),
        exclusion=sources.Exclusion(
            patterns=patterns,
            ignoring_case=ignoring_case,
            caches=arguments.exclude_caches,
            markers=tuple(sources.parse_marker(text) for text in arguments.exclude_if_present),
            larger_than_bytes=sources.parse_size(larger) if larger else None,
            one_file_system=arguments.one_file_system,
        ),
        excludes=tuple(arguments.exclude),
        parent=arguments.parent,
        force=arguments.force,
        grouping=Grouping.parse(arguments.group_by),
        rules=ChangeRules(ignore_inode=arguments.ignore_inode, ignore_ctime=arguments.ignore_ctime),
        with_atime=arguments.with_atime,
        skip_if_unchanged=arguments.skip_if_unchanged,
        time_nanos=nanos,
        zone=zone,
        pack_bytes=session.pack_bytes(),
        workers=workers,
        processes=processes,
        stdin_filename=arguments.stdin_filename,
        estimate=Watcher.wanted(output) and not arguments.no_scan,
        listing=output.verbose >= (1 if arguments.dry_run else 2),
    )


def _concurrency(session: Session) -> tuple[int, int]:
    """Return how many processes may work, and how many threads in each."""
    text = session.arguments.read_concurrency
    if text in ("", "0"):
        return capacity.processes(), capacity.THREADS
    files = whole_number(text)
    if files is None:
        raise UsageError(f"--read-concurrency {text!r} is not a number of files")
    processes = min(capacity.processes(), files)
    return processes, max(1, files // processes)


# --- what is printed


@dataclass(frozen=True, slots=True)
class _Teller:
    """Prints what becomes of each file, and what could not be read."""

    output: Output

    def became(self, action: str, path: str, size: int) -> None:
        self.output.say(f"{action:<9} {shown_text(path)} with size {size_text(size)}")
        self.output.message(
            {"message_type": "verbose_status", "action": action, "item": path, "data_size": size}
        )

    def error(self, path: str, during: str, reason: str) -> None:
        self.output.error(during, path, reason, shown=f"error: {shown_text(path)}: {reason}")

    def unmatched(self, pattern: bytes) -> None:
        self.output.warn(f"pattern {shown_text(os.fsdecode(pattern))} fits no files, and is passed over")


def _say(output: Output, captured: Captured, saved: StoredSnapshot | None, *, dry_run: bool) -> None:
    report = captured.report
    verb = "Would add" if dry_run else "Added"
    output.say(
        f"Files:       {report.files_new:5d} new, {report.files_changed:5d} changed, "
        f"{report.files_unmodified:5d} unmodified\n"
        f"Dirs:        {report.dirs_new:5d} new, {report.dirs_changed:5d} changed, "
        f"{report.dirs_unmodified:5d} unmodified\n"
        f"{verb} to the repository: {size_text(report.bytes_added):5} "
        f"({size_text(report.bytes_added_packed):5} stored)\n\n"
        f"processed {report.files_total} files, {size_text(report.bytes_processed)} "
        f"in {duration_text(captured.seconds)}"
    )
    if saved:
        output.say(f"snapshot {saved.short} saved")
    elif not dry_run:
        output.result(f"tree {report.tree} captured; no snapshot was written")
    if report.not_pre_copied:
        output.say(f"there was no first pass: {report.not_pre_copied}")
    if report.unreadable_count:
        output.warn(f"Warning: {report.unreadable_count} files could not be read; the backup is incomplete")
    output.message(show.backup_summary(captured, saved.name if saved else "", dry_run=dry_run))
