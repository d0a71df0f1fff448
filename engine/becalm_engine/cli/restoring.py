"""`becalm restore`: its flags to options, and what is printed about it, in restic's words."""

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from becalm_engine.cli import nodes, options
from becalm_engine.cli.output import Output, duration_text, size_text
from becalm_engine.cli.session import Session
from becalm_engine.cli.status import share_done
from becalm_engine.cli.watcher import Document
from becalm_engine.cli.watching import watched
from becalm_engine.commands import capacity
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.restore import Restorer
from becalm_engine.commands.restored import Action, Outcome, RestoreOptions
from becalm_engine.commands.walk import subtree_at
from becalm_engine.contract import ExitCode, Problem, Report, RestoreReport
from becalm_engine.errors import UsageError
from becalm_engine.format.shown import shown_text
from becalm_engine.policy.overwrite import Overwrite
from becalm_engine.policy.patterns import Patterns
from becalm_engine.policy.selection import Selection
from becalm_engine.repository import snapshots
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.location import parse_location
from becalm_engine.volume import target
from becalm_engine.volume.metadata import Restored


def restore(session: Session, output: Output, progress: Progress) -> Report:
    """Restore a snapshot."""
    arguments = session.arguments
    name, _, subfolder = arguments.snapshot.partition(":")
    wanted = _options(session)
    teller = _Teller(output, Path(arguments.target).absolute(), listing=_lists_files(session, output))
    with session.locked_repository(only_reads=True) as repository:
        _refuse_to_delete(repository.storage.location, arguments.target, wanted)
        stored = snapshots.find_snapshot(repository, name, session.filter())
        repository.load_index()
        tree, node = subtree_at(repository, stored.snapshot.tree, subfolder)
        if tree is None:
            raise UsageError(
                f"{subfolder} is a {node.type if node else 'file'}; restore its folder with --include"
            )
        listen = teller.became if teller.listing else None
        restorer = Restorer(repository, wanted, progress=progress, report=teller.error, listen=listen)
        output.say(f"restoring {nodes.snapshot_line(stored)} to {arguments.target}")
        started = time.monotonic()
        with _target(arguments) as root, watched(session, output, progress, _status_of(restorer)):
            restorer.restore(tree, root, node)
    _say_restored(output, restorer.outcome, progress, time.monotonic() - started)
    return restore_report(restorer.outcome, tolerant=arguments.allow_unset_metadata)


@contextlib.contextmanager
def _target(arguments: argparse.Namespace) -> Iterator[int]:
    """Open the target. A dry run makes none: an empty folder stands for one that is missing."""
    with contextlib.ExitStack() as held:
        path = arguments.target
        if arguments.dry_run and not os.path.lexists(path):
            path = held.enter_context(tempfile.TemporaryDirectory(prefix="becalm-"))
        root = target.open_target(path)
        held.enter_context(target.closing(root))
        yield root


def _refuse_to_delete(repository: str, goal: str, wanted: RestoreOptions) -> None:
    """Refuse a restore that would delete the repository it reads.

    Raises:
        UsageError: It lies in the target, and nothing leaves it out.
    """
    folder, top = parse_location(repository), _real(goal)
    if not wanted.delete or not isinstance(folder, Path) or not _real(folder).is_relative_to(top):
        return
    inside, chosen = Path("/") / _real(folder).relative_to(top), wanted.selection
    spared = any(chosen.excludes(str(above)) for above in (inside, *inside.parents))
    if not spared and any(chosen.wants(str(inside / kind.value)) for kind in FileKind):
        raise UsageError(
            f"--delete would delete the repository itself, which lies in the target {goal}: "
            "restore to another place, or leave the repository out with --exclude"
        )


def _real(path: str | Path) -> Path:
    """Return a path without its links. Those that lead in a circle stay: who opens them says what is wrong."""
    return Path(os.path.realpath(path))  # Path.resolve raises RuntimeError at a circle before Python 3.13


def _options(session: Session) -> RestoreOptions:
    arguments = session.arguments
    if arguments.dry_run and arguments.verify:
        raise UsageError("--dry-run and --verify: nothing would be written that could be verified")
    chosen = options.selection(session)
    if arguments.delete and _real(arguments.target) == Path("/") and chosen.is_everything:
        raise UsageError("--delete with --target / needs an include or an exclude: it would empty the system")
    return RestoreOptions(
        processes=capacity.processes(),
        selection=chosen,
        overwrite=Overwrite(arguments.overwrite),
        delete=arguments.delete,
        verify=arguments.verify,
        sparse=arguments.sparse,
        dry_run=arguments.dry_run,
        metadata=Restored(
            attributes=Selection(
                include=(Patterns(arguments.include_xattr),), exclude=(Patterns(arguments.exclude_xattr),)
            ),
            owner_by_name=arguments.ownership_by_name,
        ),
    )


def _lists_files(session: Session, output: Output) -> bool:
    return output.verbose >= (1 if session.arguments.dry_run else 2)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Prints what becomes of each file, if that is wanted, and what could not be restored."""

    output: Output
    target: Path
    listing: bool

    def became(self, action: Action, path: str, size: int | None) -> None:
        item = f"{self.target}{path}" if action is Action.DELETED else path
        if self.output.json:
            document = {"message_type": "verbose_status", "action": action, "item": item, "size": size or 0}
            nodes.put_json(self.output, document)
        else:
            length = "" if size is None else f" with size {size_text(size)}"
            self.output.say(f"{action:<9} {shown_text(item)}{length}")

    def error(self, path: str, reason: str) -> None:
        self.output.error("restore", path, reason, shown=f"error: {shown_text(path)}: {reason}")


def _say_restored(output: Output, outcome: Outcome, progress: Progress, seconds: float) -> None:
    """Print what a restore did, and in one line a kind what it could not do."""
    output.say(_summary_line(outcome, progress, seconds))
    for kind, count in outcome.problems.counts.items():
        path, reason = outcome.problems.examples[kind]
        text = f"{kind} could not be set on {count} files"
        shown = f"Warning: {text}, e.g. {shown_text(path)}: {reason}"
        output.error("restore", path, f"{text}, here: {reason}", shown=shown)
    if outcome.failed:
        output.warn(f"Fatal: there were {len(outcome.failed)} errors; the target is not complete")
    output.message(_summary(outcome, progress, seconds))


def _summary_line(outcome: Outcome, progress: Progress, seconds: float) -> str:
    done, total = outcome.files_restored, progress.files_total
    size, whole = outcome.bytes_restored, progress.bytes_total
    if (done, size) == (total, whole):
        text = f"Summary: Restored {done} files/dirs ({size_text(size)}) in {duration_text(seconds)}"
    else:
        text = (
            f"Summary: Restored {done} / {total} files/dirs ({size_text(size)} / {size_text(whole)}) "
            f"in {duration_text(seconds)}"
        )
    if outcome.files_unchanged:
        text += f", skipped {outcome.files_unchanged} files/dirs {size_text(outcome.bytes_unchanged)}"
    if outcome.files_deleted:
        text += f", deleted {outcome.files_deleted} files/dirs"
    return text


def _summary(outcome: Outcome, progress: Progress, seconds: float) -> dict[str, Any]:
    """Return restic's summary message, which leaves out what is 0."""
    counts = _counts(outcome, progress, outcome.bytes_restored)
    return {"message_type": "summary", **_elapsed(seconds), "total_files": 0, "files_restored": 0, **counts}


def _status_of(restorer: Restorer) -> Document:
    """Return what makes restic's status message of a restore."""

    def status(progress: Progress, seconds: float) -> dict[str, Any]:
        return {
            "message_type": "status",
            **_elapsed(seconds),
            "percent_done": share_done(progress),
            **_counts(restorer.outcome, progress, progress.bytes_done),
        }

    return status


def _elapsed(seconds: float) -> dict[str, int]:
    return {"seconds_elapsed": int(seconds)} if seconds >= 1 else {}


def _counts(outcome: Outcome, progress: Progress, bytes_restored: int) -> dict[str, int]:
    counts = {
        "total_files": progress.files_total,
        "files_restored": outcome.files_restored,
        "files_skipped": outcome.files_unchanged,
        "files_deleted": outcome.files_deleted,
        "total_bytes": progress.bytes_total,
        "bytes_restored": bytes_restored,
        "bytes_skipped": outcome.bytes_unchanged,
    }
    return {name: count for name, count in counts.items() if count}


def restore_report(outcome: Outcome, *, tolerant: bool = False) -> RestoreReport:
    """Return the report of a restore; files that failed make it fail, and what could not be set unless tolerant."""
    problems = dict(outcome.problems.counts)
    if outcome.failed:
        problems["files not restored"] = len(outcome.failed)
    error = _failure(outcome, tolerant=tolerant)
    return RestoreReport(
        exit_code=ExitCode.ERROR if error else ExitCode.OK,
        error=error,
        files_restored=outcome.files_restored,
        files_unchanged=outcome.files_unchanged,
        files_deleted=outcome.files_deleted,
        bytes_restored=outcome.bytes_restored,
        problems=problems,
    )


def _failure(outcome: Outcome, *, tolerant: bool) -> Problem | None:
    if outcome.failed:
        return Problem(
            "Target", f"{len(outcome.failed)} files could not be restored, first {outcome.failed[0]}"
        )
    kinds = outcome.problems.failures(privileged=os.geteuid() == 0)
    if tolerant or not kinds:
        return None
    return Problem(
        "Metadata", f"the content is restored, but {' and '.join(kinds)} could not be set on all files"
    )
