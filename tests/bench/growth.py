"""How processor time and memory grow with the size of a backup, and with that of the index.

Processor time, not the clock: one run each has to do, and other work on the machine would show in it.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator, StrMethodFormatter

from becalm_engine.format.pack import BlobKind, PackedBlob
from becalm_engine.ids import BlobID, PackID
from becalm_engine.repository.index_files import IndexWriter
from becalm_engine.repository.repository import open_repository
from becalm_engine.storage.local import LocalStorage
from tests.bench import measure, tools
from tests.bench.places import folder_place

_MIB = 1024 * 1024
_GIBIBYTES = (1, 2, 4, 8)
_FILES = (10_000, 100_000, 1_000_000)
_ENTRIES = (100_000, 1_000_000, 10_000_000)
_PACK_BLOBS = 4_000


@dataclass(frozen=True, slots=True)
class Point:
    """What one program took for one size of one kind of work."""

    work: str
    size: int
    tool: str
    cost: measure.Cost


def measured(scratch: Path, programs: Sequence[tools.Tool]) -> list[Point]:
    """Back up ever more data and ever more files, and load ever larger indexes."""
    points: list[Point] = []
    for gibibytes in _GIBIBYTES:
        points += _series(scratch, programs, "GiB of random data", gibibytes, _write_gibibytes)
    for files in _FILES:
        points += _series(scratch, programs, "small files", files, _write_files)
    for entries in _ENTRIES:
        points += _index_series(scratch, programs, entries)
    return points


def _series(
    scratch: Path,
    programs: Sequence[tools.Tool],
    work: str,
    size: int,
    write: Callable[[Path, int], None],
) -> Iterator[Point]:
    source = scratch / "grown"
    source.mkdir()
    write(source, size)
    for program in programs:
        yield _point(scratch, program, work, size, program.backup(source), lambda _: None)
    shutil.rmtree(source)


def _index_series(scratch: Path, programs: Sequence[tools.Tool], entries: int) -> Iterator[Point]:
    """Back up one file into a repository whose index lists many blobs: what it takes to know them all."""
    source = scratch / "grown"
    source.mkdir()
    (source / "file").write_text("one file")
    for program in programs:
        fill = lambda folder: _write_index(folder, entries)  # noqa: E731
        yield _point(scratch, program, "entries in the index", entries, program.backup(source), fill)
    shutil.rmtree(source)


def _point(
    scratch: Path,
    program: tools.Tool,
    work: str,
    size: int,
    command: list[str],
    fill: Callable[[Path], None],
) -> Point:
    place = folder_place(scratch)
    place.emptied()
    (scratch / "cache").mkdir(exist_ok=True)
    environment = program.environment(place, scratch / "cache")
    measure.run(program.init(), environment, cwd=scratch)
    fill(place.folder)
    cost = measure.run(command, environment, cwd=scratch)
    place.emptied()
    peak = cost.peak_bytes / _MIB
    print(
        f"  {size:>10,} {work:20} {program.name:7} {cost.cpu_seconds:6.2f} cpu-s {peak:6.0f} MiB", flush=True
    )
    return Point(work, size, program.name, cost)


def _write_gibibytes(folder: Path, gibibytes: int) -> None:
    for number in range(gibibytes):
        source = random.Random(number)
        with (folder / f"volume-{number}.bin").open("wb") as file:
            for _ in range(1024):
                file.write(source.randbytes(_MIB))


def _write_files(folder: Path, count: int) -> None:
    content = random.Random(3).randbytes(64 * _MIB)
    source = random.Random(4)
    for number in range(count):
        if number % 100 == 0:
            inside = folder / f"d{number // 10_000}" / f"e{number // 100}"
            inside.mkdir(parents=True)
        start = source.randrange(len(content) - 2048)
        (inside / f"f{number}").write_bytes(content[start : start + source.randrange(100, 2048)])


def _write_index(folder: Path, entries: int) -> None:
    """Write index files that list so many blobs. Nobody asks for their packs in a backup."""
    repository = open_repository(LocalStorage(folder), tools.PASSWORD)
    writer = IndexWriter(repository)
    for number in range(entries // _PACK_BLOBS):
        blobs = [
            PackedBlob(BlobID(os.urandom(32)), BlobKind.DATA, at * 4200, 4200, 4168)
            for at in range(_PACK_BLOBS)
        ]
        writer.add(PackID(number.to_bytes(32, "big")), blobs)
    writer.flush()


def section(points: Sequence[Point], names: Sequence[str]) -> str:
    """Return the part of docs/benchmarks.md about growth."""
    if not points:
        return ""
    head = [*(f"{name} cpu-s" for name in names), *(f"{name} MiB" for name in names)]
    lines = [
        "## How it grows",
        "",
        "A first backup of ever more random data (in files of 1 GiB), and of ever more files of 0.1 to 2 KB; and a",
        "backup of one file into a repository whose index lists ever more blobs. One run each; seconds are those of",
        "processor time, of all processes of a program together, key derivation included.",
        "",
        "![Time and memory against size](benchmarks.svg)",
        "",
        f"| work | size | {' | '.join(head)} |",
        "|" + "---|" * (2 + 2 * len(names)),
    ]
    for work, size in dict.fromkeys((point.work, point.size) for point in points):
        costs = {point.tool: point.cost for point in points if (point.work, point.size) == (work, size)}
        seconds = " | ".join(f"{costs[name].cpu_seconds:.2f}" for name in names)
        memory = " | ".join(f"{costs[name].peak_bytes / _MIB:.0f}" for name in names)
        lines.append(f"| {work} | {size:,} | {seconds} | {memory} |")
    return "\n".join(lines)


def draw(points: Sequence[Point], names: Sequence[str], folder: Path) -> None:
    """Draw time and memory against size."""
    works = list(dict.fromkeys(point.work for point in points))
    if not works:
        return
    figure = Figure(figsize=(4 * len(works), 6), layout="constrained")
    for column, work in enumerate(works):
        mine = [point for point in points if point.work == work]
        seconds = figure.add_subplot(2, len(works), column + 1)
        _draw_lines(seconds, mine, names, lambda cost: cost.cpu_seconds)
        seconds.set(yscale="log", ylabel="processor seconds")
        memory = figure.add_subplot(2, len(works), len(works) + column + 1)
        _draw_lines(memory, mine, names, lambda cost: cost.peak_bytes / _MIB)
        memory.set(ylim=(0, None), ylabel="MiB at the peak")
    for axes in figure.axes:
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True, which="both", alpha=0.3)
    figure.axes[0].legend()
    figure.savefig(folder / "benchmarks.svg", metadata={"Date": None})


def _draw_lines(
    axes: Axes, points: Sequence[Point], names: Sequence[str], value: Callable[[measure.Cost], float]
) -> None:
    """Draw one line for each program, over the sizes that were measured."""
    for name in names:
        mine = [point for point in points if point.tool == name]
        axes.semilogx([point.size for point in mine], [value(p.cost) for p in mine], marker="o", label=name)
    sizes = list(dict.fromkeys(point.size for point in points))
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(points[0].work)
