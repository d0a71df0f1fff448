"""What movers do to the repository, and the report that each leaves."""

import hashlib
from dataclasses import dataclass, field

from becalm_engine.contract import (
    AccessReport,
    CaptureReport,
    CommitPlan,
    CommitReport,
    ExitCode,
    ForgetReport,
    InitReport,
    PlannedSnapshot,
    Problem,
    Report,
    RestoreReport,
)
from becalm_operator.manifests.hooks import HOOK
from tests.operator.fake.objects import Script, StoredJob

REPOSITORY_ID = "0123456789abcdef" * 4

WELL = Script()
HANGS = Script(hangs=True)
FROZEN = Script(hangs=True, frozen=True)
EVICTED = Script(evicted=True)
NO_REPORT = Script(report="")
CANNOT_START = Script(stuck="ErrImageNeverPull: the image is not on the node")
REFUSED = Script(refused="exceeded quota: shop, used: count/jobs.batch=9, limited: 9")
UNREADABLE = Script(
    exit_code=ExitCode.INCOMPLETE,
    report=CaptureReport(
        exit_code=ExitCode.INCOMPLETE, tree="a" * 64, files_new=1, unreadable_count=1, unreadable=("/data/x",)
    ).to_json(),
)
EMPTY_VOLUME = Script(report=CaptureReport(tree="e" * 64).to_json())
FAILED_DUMP = Script(dump_exit_code=1)
WRONG_PASSWORD = Script(
    exit_code=ExitCode.WRONG_PASSWORD,
    report=CaptureReport(
        exit_code=ExitCode.WRONG_PASSWORD, error=Problem("WrongPassword", "the password opens no key")
    ).to_json(),
)
NO_OWNERS = Script(report=RestoreReport(files_restored=7, problems={"owner": 3}).to_json())
"""A restore by somebody who may give files to nobody else."""


def snapshot_of(tree: str) -> str:
    """Return the id of the snapshot that the commit of a tree makes."""
    return hashlib.sha256(b"snapshot" + tree.encode()).hexdigest()


@dataclass
class Store:
    """A repository, as far as Jobs show it. `torn` are trees that were read while somebody could write."""

    exists: bool = True
    groups: list[tuple[str, tuple[PlannedSnapshot, ...]]] = field(default_factory=list)
    """What was committed: the owner's UID, and its snapshots."""
    torn: set[str] = field(default_factory=set)
    restored: list[str] = field(default_factory=list)
    locks: set[str] = field(default_factory=set)
    """The pods that were killed and have left their locks."""

    def end(self, job: StoredJob) -> tuple[int, str]:
        """Do what a Job does at its end; return its exit code and its report."""
        if job.script.report is not None or job.script.exit_code or job.role == HOOK:
            return job.script.exit_code, job.script.report or ""
        report = self._done(job)
        return report.exit_code, report.to_json()

    def _done(self, job: StoredJob) -> Report:
        match job.role:
            case "access":
                return self._opened()
            case "init":
                self.exists = True
                return InitReport(repository_id=REPOSITORY_ID)
            case "mover" | "dump":
                return CaptureReport(
                    tree=tree_of(job), files_new=7, bytes_processed=700, bytes_added_packed=70
                )
            case "commit":
                return self._committed(job)
            case "forget":
                return self._forgotten(job)
            case "preview" | "restore":
                self.restored += [job.claim] if job.role == "restore" else []
                return RestoreReport(files_restored=7, bytes_restored=700, files_deleted=1)
        raise ValueError(job.role)

    def _opened(self) -> Report:
        if self.exists:
            return AccessReport(repository_id=REPOSITORY_ID, version=2)
        missing = Problem("RepositoryMissing", "there is no repository")
        return AccessReport(exit_code=ExitCode.NO_REPOSITORY, error=missing)

    def _forgotten(self, job: StoredJob) -> Report:
        self.locks -= set(job.gone_hosts)
        if not self.locks:
            return ForgetReport(kept=1)
        locked = Problem(
            "Locked", f"repository is already locked by PID 1 on {min(self.locks)}", retryable=True
        )
        return ForgetReport(exit_code=ExitCode.LOCKED, error=locked)

    def _committed(self, job: StoredJob) -> Report:
        planned = CommitPlan.from_json(job.plan).snapshots
        group = (job.owner_uid, planned)
        if group not in self.groups:  # committing again writes nothing twice
            self.groups.append(group)
        return CommitReport(snapshots=tuple(snapshot_of(one.tree) for one in planned))


def tree_of(job: StoredJob) -> str:
    """Return what a mover captures: another tree whenever another Job reads."""
    return hashlib.sha256(f"{job.uid}/{job.claim}".encode()).hexdigest()
