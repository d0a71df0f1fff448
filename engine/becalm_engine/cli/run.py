"""The commands that need few words: arguments to options, the use case, and what is printed about it."""

import sys

from becalm_engine.cli import show
from becalm_engine.cli.broken import passed_over
from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session, read_text
from becalm_engine.cli.version import program_version
from becalm_engine.cli.version import version as own_version
from becalm_engine.commands import commit as commit_command
from becalm_engine.commands import forget as forget_command
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import (
    CommitPlan,
    CommitReport,
    InitReport,
    Report,
)
from becalm_engine.errors import UsageError
from becalm_engine.repository import lock, snapshots
from becalm_engine.repository.repository import initialise


def init(session: Session, output: Output, progress: Progress) -> Report:
    """Make a repository."""
    storage = session.storage()
    settings = initialise(storage, session.password())
    output.say(f"created repository {settings.id[:10]} at {storage.location}")
    output.say("Keep the password safe: without it nothing can be read, by anybody.")
    output.message({"message_type": "initialized", "id": settings.id, "repository": storage.location})
    return InitReport(repository_id=settings.id)


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
            repository,
            plan,
            progress=progress,
            program_version=program_version(),
            broken=passed_over(output, "commit"),
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
            found = snapshots.list_snapshots(repository, session.filter(), passed_over(output, "snapshots"))
    groups = forget_command.grouped(found, arguments.group_by)
    show.snapshots(
        output, groups, compact=arguments.compact, latest=arguments.latest, grouped=bool(arguments.group_by)
    )
    return Report()


def unlock(session: Session, output: Output, progress: Progress) -> Report:
    """Remove locks."""
    removed = lock.unlock(
        session.repository(), everything=session.arguments.remove_all, gone_hosts=session.gone_hosts
    )
    output.say(f"successfully removed {removed} locks")
    return Report()


def version(session: Session, output: Output, progress: Progress) -> Report:
    """Print the version."""
    output.result(f"{program_version()} (Python {sys.version.split()[0]})")
    output.message({"message_type": "version", "version": own_version()})
    return Report()
