"""Turns measured costs into the table of docs/benchmarks.md."""

import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.measure import Cost

Results = Mapping[tuple[str, str, str], Sequence[Cost]]
"""(data set, work, tool) → the costs of its runs."""

LIBRARIES = "libraries"
"""The tool that does nothing but pass the bytes through the libraries."""

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
    walls = {tool: _median(results[dataset, work, tool]) for tool in tools}
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


def bounds(results: Results, tools: Sequence[str]) -> str:
    """Return the section on what the libraries allow: nothing if they were not measured."""
    rows = [_bound_row(results, dataset, work, tools) for dataset, work, tool in results if tool == LIBRARIES]
    if not rows:
        return ""
    head = ["data", "work", "libraries s", "faster by at most", "faster by"]
    table = "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))
    return (
        "## What the libraries allow\n\n"
        "A process for each core passes over the same bytes with the same libraries as often as the format asks for "
        "(cut, SHA-256, zstd where it seems to gain, AES, Poly1305, SHA-256 of the pack; and back), reads and writes "
        "them in memory of the same kind, opens or makes each file, and does nothing else. Starting Python and "
        "deriving a key are in; trees, the index, metadata of files and the lock are not. Repositories in a "
        "folder.\n\n" + table
    )


def _bound_row(results: Results, dataset: str, work: str, tools: Sequence[str]) -> list[str]:
    least = _median(results[dataset, work, LIBRARIES])
    own, *peers = (_median(results[dataset, work, tool]) for tool in tools)
    fastest = min(peers)
    return [dataset, work, f"{least:.2f}", f"{fastest / least:.2f} x", f"{fastest / own:.2f} x"]


def _median(costs: Sequence[Cost]) -> float:
    return statistics.median(cost.wall_seconds for cost in costs)


def page(tables: Mapping[str, str], *, bounds: str, versions: str, sets: str, runs: int, growth: str) -> str:
    """Return the whole of docs/benchmarks.md."""
    start = (
        "# Benchmarks\n\n"
        "Written by `make bench`. Source, repository and target are in memory (tmpfs); the programs take turns, "
        "after each has done everything once, uncounted, so that becalm's modules are compiled, as they are where "
        "it is installed, and before each run as much memory as it will need was touched, for a virtual machine has "
        "to ask its host for memory that was free for seconds; "
        "seconds are medians of the whole process, key derivation included; memory is the peak of all processes of "
        "a program together (proportional set size, the largest of the runs). *Faster by* compares becalm with the "
        f"faster peer. Runs of each: {runs}.\n\n{machine()}; {versions}.\n\n{sets}"
    )
    where = {"folder": "Repository in a folder", "S3": "Repository on an S3 server of the same machine"}
    parts = [f"## {where[name]}\n\n{table}" for name, table in tables.items()]
    return "\n\n".join(part for part in (start, *parts, bounds, growth) if part) + "\n"


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
