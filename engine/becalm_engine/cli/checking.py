"""`becalm check`: which data is read, and what is printed."""

from becalm_engine.cli import show
from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.cli.watching import watched
from becalm_engine.commands import capacity
from becalm_engine.commands import check as check_command
from becalm_engine.commands.progress import Progress
from becalm_engine.commands.sources import parse_size
from becalm_engine.contract import ExitCode, Problem, Report
from becalm_engine.errors import UsageError
from becalm_engine.policy.subset import Subset, parse_subset


def check(session: Session, output: Output, progress: Progress) -> Report:
    """Check the repository."""
    subset = _subset(session)
    with (
        session.locked_repository(exclusive=True, only_reads=True) as repository,
        watched(session, output, progress),
    ):
        findings = check_command.check(
            repository,
            read_data=session.arguments.read_data,
            subset=subset,
            wanted=session.filter(),
            progress=progress,
            say=output.say,
            processes=capacity.processes(),
        )
    show.findings(output, findings)
    error = Problem("Damaged", "repository contains errors") if findings.errors else None
    return Report(exit_code=ExitCode.ERROR if error else ExitCode.OK, error=error)


def _subset(session: Session) -> Subset | None:
    text = session.arguments.read_data_subset
    if text and session.arguments.read_data:
        raise UsageError("--read-data reads everything; --read-data-subset would have nothing to choose")
    return parse_subset(text, parse_size) if text else None
