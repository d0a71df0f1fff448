"""What the engine promises its callers in other processes: exit codes, reports, commit plans.

The operator imports this module and nothing else of the engine. Standard library only.
"""

import dataclasses
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

_SHORT_CHARS = 32
GATE_OPEN = "open"
"""What the file of a gate holds once what waits there may go on."""
REPORT_BYTES = 4096
"""A report fits into a Kubernetes termination message."""


class ExitCode(enum.IntEnum):
    """restic's exit codes; an unknown one is a failure."""

    OK = 0
    ERROR = 1
    INCOMPLETE = 3
    NO_REPOSITORY = 10
    LOCKED = 11
    WRONG_PASSWORD = 12
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a command failed: the error class, a message for people, and whether a retry may help."""

    type: str
    message: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What every command can say about itself."""

    kind: ClassVar[str] = ""
    exit_code: int = 0
    error: Problem | None = None

    def to_json(self) -> str:
        """Return one JSON object of at most `REPORT_BYTES` bytes; long texts are cut to fit."""
        document = {"kind": self.kind, **dataclasses.asdict(self)}
        return _fitted(document)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a report of this kind; unknown fields are ignored.

        Raises:
            ValueError: It is not such a report.
        """
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("kind") != cls.kind:
            raise ValueError(f"not a report of kind {cls.kind!r}: {text[:200]}")
        names = {f.name for f in dataclasses.fields(cls)}
        known: dict[str, Any] = {key: value for key, value in document.items() if key in names}
        if isinstance(known.get("error"), Mapping):
            known["error"] = _problem(known["error"])
        listed: dict[str, Any] = {
            key: tuple(value) for key, value in known.items() if isinstance(value, list)
        }
        return cls(**{**known, **listed})


@dataclass(frozen=True, slots=True)
class AccessReport(Report):
    """The repository could be opened (`becalm cat config`)."""

    kind: ClassVar[str] = "access"
    repository_id: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class InitReport(Report):
    """A repository was made (`becalm init`)."""

    kind: ClassVar[str] = "init"
    repository_id: str = ""


@dataclass(frozen=True, slots=True)
class CaptureReport(Report):
    """A volume was read and uploaded (`becalm backup --capture`); `tree` is what a commit publishes.

    Times are RFC 3339. `unreadable` holds the first names of files that could not be read. `pre_copied`: a first
    pass was made ahead of the gate; if one was wanted and not made, `not_pre_copied` says why.
    """

    kind: ClassVar[str] = "capture"
    tree: str = ""
    parent: str = ""
    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    dirs_unmodified: int = 0
    data_blobs: int = 0
    tree_blobs: int = 0
    bytes_processed: int = 0
    bytes_added: int = 0
    bytes_added_packed: int = 0
    started_at: str = ""
    ended_at: str = ""
    parent_bytes: int = 0
    """How much the parent held, if its summary says so."""
    unreadable_count: int = 0
    unreadable: tuple[str, ...] = ()
    pre_copied: bool = False
    not_pre_copied: str = ""

    @property
    def files_total(self) -> int:
        """Files that the tree holds."""
        return self.files_new + self.files_changed + self.files_unmodified


@dataclass(frozen=True, slots=True)
class CommitReport(Report):
    """Snapshots were written (`becalm commit`): their ids in the plan's order; of very many only the beginnings."""

    kind: ClassVar[str] = "commit"
    snapshots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreReport(Report):
    """A snapshot was restored: files, links and directories. `problems` counts what could not be set, by kind.

    An error `Metadata` means that the content is all there.
    """

    kind: ClassVar[str] = "restore"
    files_restored: int = 0
    files_unchanged: int = 0
    files_deleted: int = 0
    bytes_restored: int = 0
    problems: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForgetReport(Report):
    """Retention was applied."""

    kind: ClassVar[str] = "forget"
    kept: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class PruneReport(Report):
    """Unneeded data was removed: how many bytes went, and how many of those that stay nobody needs."""

    kind: ClassVar[str] = "prune"
    bytes_removed: int = 0
    bytes_unused: int = 0


@dataclass(frozen=True, slots=True)
class PlannedSnapshot:
    """One snapshot that a commit writes. Ids are hex, `time` is RFC 3339, `summary` restic's.

    The snapshot's time keeps the offset of `time`, in which `forget` counts days. Engines of before write it in UTC.
    """

    tree: str
    hostname: str
    paths: tuple[str, ...]
    time: str
    tags: tuple[str, ...] = ()
    parent: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommitPlan:
    """The snapshots of one group: all are written, or none."""

    snapshots: tuple[PlannedSnapshot, ...]

    def to_json(self) -> str:
        """Return the plan as `becalm commit --plan` reads it."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a plan.

        Raises:
            ValueError: It is not one.
        """
        try:
            entries = json.loads(text)["snapshots"]
            return cls(tuple(_planned(entry) for entry in entries))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a commit plan: {error!r}") from error


def summary_of(report: CaptureReport) -> dict[str, Any]:
    """Return restic's snapshot summary for a captured volume."""
    return {
        "backup_start": report.started_at,
        "backup_end": report.ended_at,
        "files_new": report.files_new,
        "files_changed": report.files_changed,
        "files_unmodified": report.files_unmodified,
        "dirs_new": report.dirs_new,
        "dirs_changed": report.dirs_changed,
        "dirs_unmodified": report.dirs_unmodified,
        "data_blobs": report.data_blobs,
        "tree_blobs": report.tree_blobs,
        "data_added": report.bytes_added,
        "data_added_packed": report.bytes_added_packed,
        "total_files_processed": report.files_total,
        "total_bytes_processed": report.bytes_processed,
    }


def _planned(entry: Mapping[str, Any]) -> PlannedSnapshot:
    return PlannedSnapshot(
        tree=str(entry["tree"]),
        hostname=str(entry["hostname"]),
        paths=tuple(str(path) for path in entry["paths"]),
        time=str(entry["time"]),
        tags=tuple(str(tag) for tag in entry.get("tags", ())),
        parent=str(entry.get("parent", "")),
        summary=dict(entry.get("summary", {})),
    )


def _problem(document: Mapping[str, Any]) -> Problem:
    return Problem(
        str(document.get("type", "")),
        str(document.get("message", "")),
        bool(document.get("retryable", False)),
    )


def _fitted(document: dict[str, Any]) -> str:
    text = _dumped(document)
    while len(text.encode()) > REPORT_BYTES:
        if document.get("unreadable"):
            document["unreadable"] = document["unreadable"][:-1]
        elif any(len(name) > _SHORT_CHARS for name in document.get("snapshots", ())):
            document["snapshots"] = [name[:_SHORT_CHARS] for name in document["snapshots"]]
        elif document.get("error") and document["error"]["message"]:
            message = document["error"]["message"]
            document["error"] = {**document["error"], "message": message[: len(message) // 2]}
        else:
            raise ValueError(f"a report of {len(text)} characters has nothing left to cut")
        text = _dumped(document)
    return text


def _dumped(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
