import os
from pathlib import Path

import pytest

from becalm_engine.commands import capacity

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("cores", "cpu", "memory", "expected"),
    [
        (1, None, None, 1),
        (2, None, None, 2),
        (64, None, None, 4),
        (64, "max 100000", "max", 4),
        (8, "150000 100000", "max", 2),
        (8, "50000 100000", "max", 1),
        (8, "max 100000", str(512 * MIB), 2),
        (8, "max 100000", str(64 * MIB), 1),
        (8, "nonsense", "nonsense", 4),
    ],
)
def test_processors_and_memory_of_the_container_bound_the_processes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    cpu: str | None,
    memory: str | None,
    expected: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    if cpu:
        (tmp_path / "cpu.max").write_text(f"{cpu}\n")
    if memory:
        (tmp_path / "memory.max").write_text(f"{memory}\n")

    assert capacity.processes(tmp_path) == expected
