"""One function a command: arguments to options, the use case, and what is printed about it."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BufferedReader
from typing import Any, cast

from becalm_engine.cli import change, checking, inspect, maintain, restoring, search, show
from becalm_engine.cli.generate import generate
from becalm_engine.cli.options import exclusions
from becalm_engine.cli.output import Output, Watcher, size_text
from becalm_engine.cli.session import Session, read_text
from becalm_engine.cli.watching import watched
from becalm_engine.commands import backup as backup_command
from becalm_engine.commands import capacity, sources
from becalm_engine.commands import commit as commit_command
from becalm_engine.commands import forget as forget_command
from becalm_engine.commands.backup import BackupOptions, Captured
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import (
    AccessReport,
    CaptureReport,
    CommitPlan,
    CommitReport,
    ForgetReport,
    InitReport,
    PruneReport,
    Report,
    RestoreReport,
)
from becalm_engine.errors import UsageError
from becalm_engine.format import gotime, key_file
from becalm_engine.ids import BlobID, parse_id
from becalm_engine.policy.parent import ChangeRules
from becalm_engine.policy.retention import UNLIMITED, Policy, Span
from becalm_engine.repository import lock, reader, snapshots
from becalm_engine.repository.repository import Repository, initialise
from becalm_engine.storage.base import FileKind


@dataclass(frozen=True, slots=True)
class Command:
    """A command's function, and the kind of report it leaves also when it fails."""

    call: Callable[[Session, Output, Progress], Report]
    report: type[Report] = Report

    def __call__(self, session: Session, output: Output, progress: Progress) -> Report:
        """Run the command."""
        return self.call(session, output, progress)


def program_version() -> str:
    """Return what snapshots are signed with."""
    return f"becalm {_version()}"


def _version() -> str:
    from importlib import metadata  # noqa: PLC0415  takes long, and few commands need it

    return metadata.version("becalm")


def init(session: Session, output: Output, progress: Progress) -> Report:
    """Make a repository."""
    storage = session.storage()
    settings = initialise(storage, session.password())
    output.say(f"created repository {settings.id[:10]} at {storage.location}")
    output.say("Keep the password safe: without it nothing can be read, by anybody.")
    output.message({"message_type": "initialized", "id": settings.id, "repository": storage.location})
    return InitReport(repository_id=settings.id)


def backup(session: Session, output: Output, progress: Progress) -> Report:
    """Capture, and unless only that is asked for, commit."""
    arguments = session.arguments
    options = replace(_backup_options(session), estimate=Watcher.wanted(output))
    if arguments.stdin and arguments.source:
        raise UsageError("--stdin takes no paths")
    read = cast("BufferedReader", sys.stdin.buffer).readinto if arguments.stdin else None

    def report_error(path: str, during: str, reason: str) -> None:
        output.warn(f"error: {path}: {reason}")
        output.message(
            {"message_type": "error", "error": {"message": reason}, "during": during, "item": path},
            to_error=True,
        )

    with session.locked_repository() as repository:
        repository_snapshot = None
        repository.load_index()
        with watched(session, output, progress):
            captured = backup_command.capture(
                repository, options, progress=progress, report=report_error, read=read
            )
        progress.check()
        skipped = options.skip_if_unchanged and backup_command.is_unchanged(captured)
        if not (arguments.capture or skipped):
            snapshot = backup_command.snapshot_of(captured, options, program_version())
            repository_snapshot = snapshots.save_snapshot(repository, snapshot)
    _say_backup(output, captured, repository_snapshot.name if repository_snapshot else "")
    return captured.report


def _backup_options(session: Session) -> BackupOptions:
    arguments = session.arguments
    patterns, ignoring_case = exclusions(arguments)
    larger = arguments.exclude_larger_than
    return BackupOptions(
        sources=tuple(arguments.source),
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
        rules=ChangeRules(ignore_inode=arguments.ignore_inode, ignore_ctime=arguments.ignore_ctime),
        with_atime=arguments.with_atime,
        skip_if_unchanged=arguments.skip_if_unchanged,
        time_nanos=_time(arguments.time) if arguments.time else None,
        pack_bytes=session.pack_bytes(),
        workers=max(2, os.cpu_count() or 1),
        processes=capacity.processes(),
        stdin_filename=arguments.stdin_filename,
    )


def _time(text: str) -> int:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--time {text!r} is not like '2026-11-01 03:00:00' or RFC 3339") from None
    return int(parsed.astimezone(UTC).timestamp()) * gotime.NANOS + parsed.microsecond * 1000


def _say_backup(output: Output, captured: Captured, snapshot: str) -> None:
    report = captured.report
    output.say(
        f"Files:       {report.files_new:5d} new, {report.files_changed:5d} changed, "
        f"{report.files_unmodified:5d} unmodified\n"
        f"Dirs:        {report.dirs_new:5d} new, {report.dirs_changed:5d} changed, "
        f"{report.dirs_unmodified:5d} unmodified\n"
        f"Added to the repository: {size_text(report.bytes_added)} ({size_text(report.bytes_added_packed)} stored)\n\n"
        f"processed {report.files_total} files, {size_text(report.bytes_processed)}"
    )
    if snapshot:
        output.say(f"snapshot {snapshot[:8]} saved")
    else:
        output.result(f"tree {report.tree} captured; no snapshot was written")
    if report.unreadable_count:
        output.warn(f"Warning: {report.unreadable_count} files could not be read; the backup is incomplete")
    output.message(show.backup_summary(captured, snapshot))


def commit(session: Session, output: Output, progress: Progress) -> Report:
    """Publish captured trees."""
    path = session.arguments.plan
    text = sys.stdin.read() if path == "-" else read_text(path, "plan")
    try:
        plan = CommitPlan.from_json(text)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    with session.locked_repository() as repository:
        repository.load_index()
        written = commit_command.commit(
            repository, plan, progress=progress, program_version=program_version()
        )
    for name in written:
        output.say(f"snapshot {name[:8]} saved")
    output.message({"message_type": "committed", "snapshots": written})
    return CommitReport(snapshots=tuple(written))


def list_snapshots(session: Session, output: Output, progress: Progress) -> Report:
    """Show the snapshots."""
    arguments = session.arguments
    with session.locked_repository(only_reads=True) as repository:
        if arguments.id:
            found = [snapshots.find_snapshot(repository, text, session.filter()) for text in arguments.id]
        else:
            found = snapshots.list_snapshots(repository, session.filter())
    groups = forget_command.grouped(found, arguments.group_by)
    show.snapshots(
        output, groups, compact=arguments.compact, latest=arguments.latest, grouped=bool(arguments.group_by)
    )
    return Report()


def forget(session: Session, output: Output, progress: Progress) -> Report:
    """Apply a policy."""
    arguments = session.arguments
    policy = _policy(arguments.__dict__)
    with session.locked_repository(exclusive=not arguments.dry_run or arguments.prune) as repository:
        limits = maintain.limits_of(session, repository) if arguments.prune else None
        groups = forget_command.plan(
            repository, policy, session.filter(), arguments.group_by, now=datetime.now(UTC)
        )
        show.forget_plan(output, groups)
        gone = [verdict.key.name for group in groups for verdict in group.verdicts if not verdict.kept]
        if not arguments.dry_run:
            forget_command.remove(repository, groups)
        output.say(f"{len(gone)} snapshots {'would be removed' if arguments.dry_run else 'removed'}")
        if limits and gone:
            maintain.prune_locked(session, output, progress, repository, limits, forgotten=gone)
    kept = sum(verdict.kept for group in groups for verdict in group.verdicts)
    return ForgetReport(kept=kept, removed=len(gone))


def _policy(arguments: Mapping[str, Any]) -> Policy:
    def count(name: str) -> int:
        text = arguments[f"keep_{name}"]
        if text in ("unlimited", "-1"):
            return UNLIMITED
        if not text.isdecimal():
            raise UsageError(f"--keep-{name} {text!r} is not a number or unlimited")
        return int(text)

    def span(name: str) -> Span:
        text = arguments[name]
        return Span.parse(text) if text else Span()

    return Policy(
        last=count("last"),
        hourly=count("hourly"),
        daily=count("daily"),
        weekly=count("weekly"),
        monthly=count("monthly"),
        yearly=count("yearly"),
        within=span("keep_within"),
        within_hourly=span("keep_within_hourly"),
        within_daily=span("keep_within_daily"),
        within_weekly=span("keep_within_weekly"),
        within_monthly=span("keep_within_monthly"),
        within_yearly=span("keep_within_yearly"),
        tags=tuple(tuple(text.split(",")) for text in arguments["keep_tag"]),
    )


def cat(session: Session, output: Output, progress: Progress) -> Report:
    """Print an internal object. The master key is never among them."""
    kind, name = session.arguments.kind, session.arguments.id
    repository = session.repository()
    if kind == "config":
        output.out.write(show.config_text(repository.config))
        return AccessReport(repository_id=repository.config.id, version=repository.config.version)
    if not name:
        raise UsageError(f"cat {kind} needs an id")
    content = _internal_object(repository, kind, name)
    output.out.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    return Report()


def _internal_object(repository: Repository, kind: str, name: str) -> bytes:
    if kind in ("tree", "blob"):
        repository.load_index()
        return reader.load_blob(repository, BlobID(parse_id(name)))
    files = {
        "snapshot": FileKind.SNAPSHOT,
        "index": FileKind.INDEX,
        "key": FileKind.KEY,
        "lock": FileKind.LOCK,
    }
    names = [f.name for f in repository.storage.list(files[kind]) if f.name.startswith(name)]
    if len(names) != 1:
        raise UsageError(f"{len(names)} files of kind {kind} begin with {name!r}")
    if kind == "key":
        return key_file.encode(key_file.decode(repository.storage.load(FileKind.KEY, names[0])))
    return repository.load_document(files[kind], names[0])


def unlock(session: Session, output: Output, progress: Progress) -> Report:
    """Remove locks."""
    removed = lock.unlock(session.repository(), everything=session.arguments.remove_all)
    output.say(f"successfully removed {removed} locks")
    return Report()


def version(session: Session, output: Output, progress: Progress) -> Report:
    """Print the version."""
    output.result(f"{program_version()} (Python {sys.version.split()[0]})")
    output.message({"message_type": "version", "version": _version()})
    return Report()


COMMANDS = {
    "init": Command(init, InitReport),
    "backup": Command(backup, CaptureReport),
    "commit": Command(commit, CommitReport),
    "snapshots": Command(list_snapshots),
    "restore": Command(restoring.restore, RestoreReport),
    "check": Command(checking.check),
    "forget": Command(forget, ForgetReport),
    "cat": Command(cat, AccessReport),
    "unlock": Command(unlock),
    "version": Command(version),
    "prune": Command(maintain.prune, PruneReport),
    "repair": Command(maintain.repair),
    "list": Command(maintain.list_objects),
    "recover": Command(maintain.recover),
    "ls": Command(inspect.ls),
    "dump": Command(inspect.dump),
    "find": Command(search.find),
    "diff": Command(inspect.diff),
    "stats": Command(inspect.stats),
    "key": Command(change.key),
    "tag": Command(change.tag),
    "copy": Command(change.copy),
    "rewrite": Command(change.rewrite),
    "generate": Command(generate),
}
