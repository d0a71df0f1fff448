"""`becalm forget`: its flags to a policy, and what is printed about it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from becalm_engine.cli import maintain, show
from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.commands import forget as forget_command
from becalm_engine.commands.forget import Group
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import ForgetReport, Report
from becalm_engine.errors import SnapshotMissingError, UsageError
from becalm_engine.format.shown import shown_text
from becalm_engine.policy.retention import UNLIMITED, Policy, Span
from becalm_engine.repository import snapshots
from becalm_engine.repository.repository import Repository
from becalm_engine.repository.snapshots import StoredSnapshot


def forget(session: Session, output: Output, progress: Progress) -> Report:
    """Remove the snapshots that are named, or apply a policy."""
    arguments = session.arguments
    policy = _policy(arguments.__dict__)
    with session.locked_repository(exclusive=not arguments.dry_run or arguments.prune) as repository:
        limits = maintain.limits_of(session, repository) if arguments.prune else None
        groups = _plan(session, output, repository, policy)
        show.forget_plan(output, groups, compact=arguments.compact)
        gone = [verdict.key.name for group in groups for verdict in group.verdicts if not verdict.kept]
        if not arguments.dry_run:
            forget_command.remove(repository, groups)
        output.say(f"{len(gone)} snapshots {'would be removed' if arguments.dry_run else 'removed'}")
        if limits and gone:
            maintain.prune_locked(session, output, progress, repository, limits, forgotten=gone)
    kept = sum(verdict.kept for group in groups for verdict in group.verdicts)
    return ForgetReport(kept=kept, removed=len(gone))


def _plan(session: Session, output: Output, repository: Repository, policy: Policy) -> list[Group]:
    """Decide by the names that are given, or else by the policy."""
    arguments = session.arguments
    if arguments.id:
        return forget_command.plan_named(_named(session, output, repository))
    return forget_command.plan(
        repository,
        policy,
        session.filter(),
        arguments.group_by,
        now=datetime.now(UTC),
        allow_remove_all=arguments.unsafe_allow_remove_all,
    )


def _named(session: Session, output: Output, repository: Repository) -> list[StoredSnapshot]:
    """Return the snapshots that are named, each once. Who names one that has gone already has what he wants."""
    found = {}
    for name in session.arguments.id:
        try:
            stored = snapshots.find_snapshot(repository, name, session.filter())
        except SnapshotMissingError as error:
            output.warn(f"passing over {shown_text(name)}: {error}")
            output.message(
                {"message_type": "error", "error": {"message": str(error)}, "during": "forget", "item": name},
                to_error=True,
            )
        else:
            found[stored.name] = stored
    return list(found.values())


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
