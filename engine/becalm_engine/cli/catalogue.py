"""Which function runs which command.

Only the module of the command at hand is imported: all of them together take longer than many a command.
"""

import importlib
from dataclasses import dataclass
from typing import cast

from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import (
    AccessReport,
    CaptureReport,
    CommitReport,
    ForgetReport,
    InitReport,
    PruneReport,
    Report,
    RestoreReport,
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command's function, as `module.function`, and the kind of report it leaves also when it fails.

    `opens`: it opens the repository, and asks nobody for anything before.
    """

    place: str
    report: type[Report] = Report
    opens: bool = True

    def __call__(self, session: Session, output: Output, progress: Progress) -> Report:
        """Run the command."""
        if self.opens:
            session.open_ahead()
        module, _, function = self.place.partition(".")
        call = getattr(importlib.import_module(f"becalm_engine.cli.{module}"), function)
        return cast("Report", call(session, output, progress))


COMMANDS = {
    "init": Command("run.init", InitReport, opens=False),
    "backup": Command("backing_up.backup", CaptureReport),
    "commit": Command("run.commit", CommitReport),
    "snapshots": Command("run.list_snapshots"),
    "restore": Command("restoring.restore", RestoreReport),
    "check": Command("checking.check"),
    "forget": Command("forgetting.forget", ForgetReport),
    "cat": Command("cat.cat", AccessReport),
    "unlock": Command("run.unlock"),
    "version": Command("run.version", opens=False),
    "prune": Command("maintain.prune", PruneReport),
    "repair": Command("maintain.repair"),
    "list": Command("maintain.list_objects"),
    "recover": Command("maintain.recover"),
    "ls": Command("inspect.ls"),
    "dump": Command("inspect.dump"),
    "find": Command("search.find"),
    "diff": Command("inspect.diff"),
    "stats": Command("inspect.stats"),
    "key": Command("change.key", opens=False),
    "tag": Command("change.tag"),
    "copy": Command("change.copy"),
    "rewrite": Command("change.rewrite"),
    "generate": Command("generate.generate", opens=False),
}
