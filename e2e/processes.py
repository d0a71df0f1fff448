"""Processes that outlive the command which started them: recorded, so that only they are ever ended."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.paths import SetUpError

_ENDING_SECONDS = 20.0
_TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one cluster: a record and a log each, by name."""

    records: Path
    logs: Path

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a process and record it."""
        self.records.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        (self.records / name).write_text(f"{process.pid} {_started(process.pid)}")

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
        pid, started = record.read_text().split(" ", 1)
        return int(pid) if _started(int(pid)) == started else None

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a process, by force if it does not go by itself."""
        pid = self._pid(name)
        if pid is not None:
            os.kill(pid, how)
            if not until(lambda: not self.runs(name), seconds=_ENDING_SECONDS):
                os.kill(pid, signal.SIGKILL)
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
