"""Turns measured costs into the table of docs/benchmarks.md."""

import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.measure import Cost

Results = Mapping[tuple[str, str, str], Sequence[Cost]]
"""(data set, work, tool) → the costs of its runs."""

_MIB = 1024 * 1024


def table(results: Results, sizes: Mapping[tuple[str, str], int], tools: Sequence[str]) -> str:
    """Return the Markdown table: seconds by tool, then our ratio to the faster peer, memory."""
    head = [
        "data",
        "work",
        *(f"{tool} s" for tool in tools),
        "faster by",
        *(f"{tool} MiB" for tool in tools),
    ]
    rows = [head, ["---"] * len(head)]
    for dataset, work in dict.fromkeys((key[0], key[1]) for key in results):
        rows.append(_row(results, dataset, work, tools))
    rows += [_size_row(sizes, dataset, tools) for dataset in dict.fromkeys(key[0] for key in sizes)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(results: Results, dataset: str, work: str, tools: Sequence[str]) -> list[str]:
    walls = {tool: statistics.median(c.wall_seconds for c in results[dataset, work, tool]) for tool in tools}
    peaks = {tool: max(c.peak_bytes for c in results[dataset, work, tool]) for tool in tools}
    fastest_peer = min(wall for tool, wall in walls.items() if tool != tools[0])
    return [
        dataset,
        work,
        *(f"{walls[tool]:.2f}" for tool in tools),
        f"**{fastest_peer / walls[tools[0]]:.2f} x**",
        *(f"{peaks[tool] / _MIB:.0f}" for tool in tools),
    ]


def _size_row(sizes: Mapping[tuple[str, str], int], dataset: str, tools: Sequence[str]) -> list[str]:
    stored = {tool: sizes[dataset, tool] for tool in tools}
    smallest_peer = min(size for tool, size in stored.items() if tool != tools[0])
    mebibytes = (f"{stored[tool] / _MIB:.1f} MiB" for tool in tools)
    ratio = f"{100 * (stored[tools[0]] / smallest_peer - 1):+.1f} %"
    return [dataset, "repository size", *mebibytes, ratio, *("" for _ in tools)]


def page(tables: Mapping[str, str], *, versions: str, sets: str, runs: int, growth: str) -> str:
    """Return the whole of docs/benchmarks.md."""
    start = (
        "# Benchmarks\n\n"
        "Written by `make bench`. Source, repository and target are in memory (tmpfs); the programs take turns, "
        "after each has done everything once, uncounted, so that becalm's modules are compiled, as they are where "
        "it is installed; "
        "seconds are medians of the whole process, key derivation included; memory is the peak of all processes of "
        "a program together (proportional set size, the largest of the runs). *Faster by* compares becalm with the "
        f"faster peer. Runs of each: {runs}.\n\n{machine()}; {versions}.\n\n{sets}"
    )
    where = {"folder": "Repository in a folder", "S3": "Repository on an S3 server of the same machine"}
    parts = [f"## {where[name]}\n\n{table}" for name, table in tables.items()]
    return "\n\n".join(part for part in (start, *parts, growth) if part) + "\n"


def machine() -> str:
    """Say on what the figures were taken."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    kernel = platform.release().split("-")[0]
    return f"{cpu}, {cores} cores, Linux {kernel}, Python {platform.python_version()}"
