"""`becalm forget`: its flags to a policy, and what is printed about it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from becalm_engine.cli import maintain, show
from becalm_engine.cli.broken import passed_over
from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.commands import forget as forget_command
from becalm_engine.commands.forget import Group
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import ExitCode, ForgetReport, Problem, Report
from becalm_engine.digits import whole_number
from becalm_engine.errors import EngineError, SnapshotMissingError, UsageError
from becalm_engine.format.shown import shown_text
from becalm_engine.policy.retention import UNLIMITED, Policy, Span
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import DamagedSnapshot, StoredSnapshot

_Named = dict[str, StoredSnapshot | DamagedSnapshot]


def forget(session: Session, output: Output, progress: Progress) -> Report:
    """Remove the snapshots that are named, or apply a policy."""
    arguments = session.arguments
    policy = _policy(arguments.__dict__)
    exclusive = not arguments.dry_run or arguments.prune
    with session.locked_repository(exclusive=exclusive, only_reads=arguments.dry_run) as repository:
        limits = maintain.limits_of(session, repository) if arguments.prune else None
        groups, damaged = _plan(session, output, repository, policy)
        show.forget_plan(output, groups, compact=arguments.compact)
        for one in damaged:
            output.say(f"remove snapshot {one.name[:8]}, which is damaged: {one.reason}")
        gone = [verdict.key.name for group in groups for verdict in group.verdicts if not verdict.kept]
        gone += [one.name for one in damaged]
        failed = [] if arguments.dry_run else _remove(output, repository, groups, damaged)
        count = len(gone) - len(failed)
        output.say(f"{count} snapshots {'would be removed' if arguments.dry_run else 'removed'}")
        if limits and gone and not failed:
            maintain.prune_locked(session, output, progress, repository, limits, forgotten=gone)
    kept = sum(verdict.kept for group in groups for verdict in group.verdicts)
    report = ForgetReport(kept=kept, removed=count)
    return _incomplete(output, report, failed) if failed else report


def _remove(
    output: Output, repository: Repository, groups: Iterable[Group], damaged: Iterable[DamagedSnapshot]
) -> list[EngineError]:
    """Remove what is to go; return why the store does not let some of them go, each of which is told."""
    failed: list[EngineError] = []

    def note(name: str, error: EngineError) -> None:
        output.error("forget", name, str(error), shown=f"unable to remove snapshot {name[:8]}: {error}")
        failed.append(error)

    forget_command.remove(repository, groups, damaged, failed=note)
    return failed


def _incomplete(output: Output, report: ForgetReport, failed: Sequence[EngineError]) -> ForgetReport:
    """Return the report of a run that could not remove all."""
    message = f"failed to remove {len(failed)} snapshots, and nothing was pruned: {failed[0]}"
    output.warn(f"Warning: {message}")
    problem = Problem(type(failed[0]).__name__.removesuffix("Error"), message, failed[0].retryable)
    return replace(report, exit_code=ExitCode.INCOMPLETE, error=problem)


def _plan(
    session: Session, output: Output, repository: Repository, policy: Policy
) -> tuple[list[Group], list[DamagedSnapshot]]:
    """Decide by the names that are given, or else by the policy; damaged ones go only by their name."""
    arguments = session.arguments
    if arguments.id:
        named = _named(session, output, repository).values()
        found = [one for one in named if isinstance(one, StoredSnapshot)]
        return forget_command.plan_named(found), [one for one in named if isinstance(one, DamagedSnapshot)]
    groups = forget_command.plan(
        repository,
        policy,
        session.filter(),
        arguments.group_by,
        now=datetime.now(UTC),
        allow_remove_all=arguments.unsafe_allow_remove_all,
        broken=passed_over(output, "forget"),
    )
    return groups, []


def _named(session: Session, output: Output, repository: Repository) -> _Named:
    """Return the snapshots that are named, each once. Who names one that has gone already has what he wants."""
    found: _Named = {}
    for name in session.arguments.id:
        try:
            stored = snapshots.find_or_damaged(repository, name, session.filter())
        except SnapshotMissingError as error:
            reason = str(error)
            output.error("forget", name, reason, shown=f"passing over {shown_text(name)}: {reason}")
        else:
            found[stored.name] = stored
    return found


def _policy(arguments: Mapping[str, Any]) -> Policy:
    def count(name: str) -> int:
        text = arguments[f"keep_{name}"]
        if text in ("unlimited", "-1"):
            return UNLIMITED
        number = whole_number(text)
        if number is None:
            raise UsageError(f"--keep-{name} {text!r} is not a number or unlimited")
        return number

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
        tags=tuple(map(snapshots.tag_list, arguments["keep_tag"])),
    )
