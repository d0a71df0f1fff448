"""Processes that outlive the command which started them: recorded, so that only they are ever ended."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from e2e.paths import SetUpError

_SELDOM = {"GOGC": "400"}
"""What is written in Go collects its garbage seldom: memory is there, and processors are few."""
_ENDING_SECONDS = 20.0
_TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one cluster: a record and a log each, by name."""

    records: Path
    logs: Path

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a process and record it.

        Raises:
            SetUpError: There is no such program.
        """
        self.records.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        environment = {**_SELDOM, **os.environ, **(env or {})}
        pid = _spawn(command, self.logs / f"{name}.log", environment)
        (self.records / name).write_text(f"{pid} {_started(pid)}")

    def names(self) -> list[str]:
        """Return what has been started and not ended by us, the newest first."""
        if not self.records.exists():
            return []
        records = sorted(self.records.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        return [path.name for path in records]

    def runs(self, name: str) -> bool:
        """Say whether a recorded process still is that process, and not another one with its number."""
        return self._pid(name) is not None

    def _pid(self, name: str) -> int | None:
        record = self.records / name
        if not record.exists():
            return None
        pid, _, started = record.read_text().partition(" ")
        # no start is recorded for a process that ended at once
        return int(pid) if started and _started(int(pid)) == started else None

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a process, by force if it does not go by itself."""
        pid = self._pid(name)
        if pid is not None:
            _signal(pid, how)
            if not until(lambda: not self.runs(name), seconds=_ENDING_SECONDS):
                _signal(pid, signal.SIGKILL)
                until(lambda: not self.runs(name), seconds=_ENDING_SECONDS)
        (self.records / name).unlink(missing_ok=True)

    def tail(self, name: str) -> str:
        """Return the end of a process's log."""
        path = self.logs / f"{name}.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(lines[-_TAIL_LINES:])

    def wait(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until a process is ready.

        Raises:
            SetUpError: It has ended, or is not ready in time; with the end of its log.
        """
        if not until(lambda: ready() or not self.runs(name), seconds=seconds) or not self.runs(name):
            raise SetUpError(f"{name} does not get ready within {seconds:.0f} s:\n{self.tail(name)}")


def _spawn(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> int:
    """Start a process in a session of its own and return its number.

    Not by `subprocess`: its objects warn when they go while their process runs, and here that is what is meant.
    """
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    files = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        # Python ignores SIGPIPE; what it starts should not
        return os.posix_spawnp(
            command[0],
            list(command),
            environment,
            file_actions=files,
            setsid=True,
            setsigdef=[signal.SIGPIPE],
        )
    except OSError as error:
        raise SetUpError(f"{command[0]} cannot be started: {error.strerror}") from error


def _signal(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it may just have ended by itself
        os.kill(pid, how)


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's own ticks; empty if there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def until(holds: Callable[[], bool], *, seconds: float, every: float = 0.1) -> bool:
    """Wait until a condition holds; say whether it did in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
