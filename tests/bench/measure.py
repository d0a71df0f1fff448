"""Runs one command and measures the whole of it: time, processor, memory of all its processes."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.05
_BLOCK_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took. `peak_bytes` is the largest sum over all its processes (PSS)."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


class CommandFailedError(Exception):
    """A measured command ended with another status than 0, so its time means nothing."""


def run(command: Sequence[str], environment: Mapping[str, str], *, cwd: Path) -> Cost:
    """Run `command` to its end and return what it cost.

    Raises:
        CommandFailedError: It failed; the message holds the end of what it printed.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    sampler = _MemorySampler(process.pid)
    sampler.start()
    output, _ = process.communicate()
    wall = time.monotonic() - started
    sampler.stop()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        text = output.decode(errors="replace")[-2000:]
        raise CommandFailedError(f"{' '.join(command)}: exit {process.returncode}\n{text}")
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return Cost(wall, cpu, sampler.peak_bytes)


def touch_memory(folder: Path, size_bytes: int) -> None:
    """Use so much memory for a moment, by a file in a folder in memory, so that there is as much to be had at once.

    The kernel of a virtual machine gives free memory back to its host; to have it again takes longer than to write
    it, and would count as the work of whoever comes next.
    """
    path, block = folder / "touched", bytes(_BLOCK_BYTES)
    with path.open("wb", buffering=0) as file:
        for _ in range(0, size_bytes, len(block)):
            file.write(block)
    path.unlink()


class _MemorySampler(threading.Thread):
    """Watches the proportional memory of one session's processes; pages they share count once."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._session = session
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            total = sum(_pss_bytes(pid) for pid in _session_members(self._session))
            self.peak_bytes = max(self.peak_bytes, total)

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _session_members(session: int) -> list[int]:
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    members.append(int(entry.name))
            except ProcessLookupError:
                continue
    return members


def _pss_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (OSError, UnicodeDecodeError):
        return 0
    lines = (line.split() for line in text.splitlines() if line.startswith("Pss:"))
    return sum(int(line[1]) * 1024 for line in lines)
