"""How many processes are worth their while here."""

import os
from pathlib import Path

THREADS = 2
"""How many threads of a process hash and compress large files; another one reads and cuts them."""

_MOST_PROCESSES = 4
_PROCESS_BYTES = 128 * 1024 * 1024
"""About what one more takes for its packs."""


def processes(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many processes may work at once: as processors and memory of this container allow, at most 4."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(cores, _cores_of(group), _memory_of(group) // (2 * _PROCESS_BYTES), _MOST_PROCESSES))


def _cores_of(group: Path) -> int:
    """Return the limit of a control group (version 2), rounded up."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not (quota.isdecimal() and period.strip().isdecimal()):
        return _MOST_PROCESSES
    return -(-int(quota) // int(period))


def _memory_of(group: Path) -> int:
    text = _read(group / "memory.max").strip()
    return int(text) if text.isdecimal() else _MOST_PROCESSES * 2 * _PROCESS_BYTES


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # no limit, or another kind of system
