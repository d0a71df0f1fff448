"""`python -m tests.bench`: every tool does the same work on the same data, alternating."""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from e2e.paths import places

from tests.bench import datasets, floor, growth, measure, report, tools
from tests.bench.places import Place, folder_place, s3_place
from tests.engine.storage.s3_server import serving

_ROOT = Path(__file__).parents[2]
_MIB = 1024 * 1024
_SPARE_BYTES = 1024 * _MIB
"""How much more memory than that of the data is touched before each measurement."""
_FRESH_SECONDS = 61
"""What was changed so shortly before a backup is read again by becalm's next one: not what is measured here."""


class Bench:
    """One run of the whole comparison below a scratch folder in memory, with repositories at one place."""

    def __init__(self, scratch: Path, programs: list[tools.Tool], place: Place) -> None:
        self.scratch = scratch
        self.programs = programs
        self.place = place
        self.results: dict[tuple[str, str, str], list[measure.Cost]] = defaultdict(list)
        self.sizes: dict[tuple[str, str], int] = {}

    def warm_up(self) -> None:
        """Have everything done once with next to nothing, which nobody counts: files are read, modules compiled."""
        folder = self._emptied("warm-up")
        size = (folder / "file").write_bytes(b"content")
        self.round(datasets.Dataset("warm-up", folder, "one file", size))
        self.results.clear()
        self.sizes.clear()

    def round(self, data: datasets.Dataset) -> None:
        """Let each program back up, back up again, restore and check one data set."""
        for program in self.programs:
            self.place.emptied()
            self._emptied("cache")
            measure.run(program.init(), self._environment(program), cwd=self.scratch)
            self._measure(data, "first backup", program, program.backup(data.folder))
            self.sizes[data.name, program.name] = datasets.folder_bytes(self.place.folder)
            self._measure(data, "unchanged", program, program.backup(data.folder))
            target = self._emptied("target")
            self._measure(data, "restore", program, program.restore(str(data.folder), target))
            self._measure(data, "check --read-data", program, program.check())
        self.place.emptied()
        self._emptied("target")

    def bound(self, data: datasets.Dataset) -> None:
        """Let the libraries alone do the same to one data set."""
        packs, target = self._emptied("packs"), self._emptied("target")
        for work, source, made in zip(
            floor.WORKS, (data.folder, packs, packs), (packs, target, target), strict=True
        ):
            command = [sys.executable, "-m", floor.__name__, work, str(source), str(made)]
            environment = {"PYTHONPYCACHEPREFIX": str(self.scratch / "compiled")}
            self._note(data, work, report.LIBRARIES, self._cost(data, command, environment, cwd=_ROOT))
        self._emptied("packs")
        self._emptied("target")

    def _measure(self, data: datasets.Dataset, work: str, program: tools.Tool, command: list[str]) -> None:
        cost = self._cost(data, command, self._environment(program), cwd=self.scratch)
        self._note(data, work, program.name, cost)

    def _cost(
        self, data: datasets.Dataset, command: list[str], environment: Mapping[str, str], *, cwd: Path
    ) -> measure.Cost:
        measure.touch_memory(self.scratch, data.size_bytes + _SPARE_BYTES)
        return measure.run(command, environment, cwd=cwd)

    def _note(self, data: datasets.Dataset, work: str, name: str, cost: measure.Cost) -> None:
        self.results[data.name, work, name].append(cost)
        print(
            f"  {data.name:7} {work:18} {name:9} {cost.wall_seconds:6.2f} s"
            f" {cost.cpu_seconds:6.2f} cpu-s {cost.peak_bytes / _MIB:6.0f} MiB",
            flush=True,
        )

    def _environment(self, program: tools.Tool) -> Mapping[str, str]:
        return program.environment(self.place, self.scratch / "cache")

    def _emptied(self, name: str) -> Path:
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="rounds over all data and tools (default 3)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of the data against the published sets"
    )
    parser.add_argument("--only", action="append", help="a data set: random, text, small (may be repeated)")
    parser.add_argument("--tool", action="append", help="a tool: becalm, restic, rustic (default all)")
    parser.add_argument("--place", action="append", choices=["folder", "s3"], help="default: both")
    parser.add_argument("--growth", action="store_true", help="also measure how cost grows with size")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="a folder in memory")
    parser.add_argument("--no-write", action="store_true", help="leave docs/ as it is")
    return parser.parse_args()


def main() -> None:
    """Measure, print the tables, and write them to docs/benchmarks.md."""
    options = _arguments()
    programs = tools.find([n for n in tools.NAMES if not options.tool or n in options.tool], places().cache)
    with tempfile.TemporaryDirectory(prefix="becalm-bench-", dir=options.scratch) as folder:
        scratch = Path(folder)
        chosen = _data(scratch, options)
        tables = [
            _compared(scratch, programs, chosen, options, name) for name in options.place or ("folder", "s3")
        ]
        shutil.rmtree(scratch / "data")
        points = growth.measured(scratch, programs) if options.growth else []
    _publish(tables, points, chosen, programs, options)


def _data(scratch: Path, options: argparse.Namespace) -> list[datasets.Dataset]:
    print("==> writing the data sets", flush=True)
    every = datasets.make_all(scratch / "data", scale=options.scale)
    print("==> letting them grow older than what a backup reads again: a minute", flush=True)
    time.sleep(_FRESH_SECONDS)
    return [data for data in every if not options.only or data.name in options.only]


def _compared(
    scratch: Path,
    programs: list[tools.Tool],
    chosen: list[datasets.Dataset],
    options: argparse.Namespace,
    name: str,
) -> Bench:
    with contextlib.ExitStack() as stack:
        if name == "s3":
            (scratch / "s3").mkdir()
            # keeping connections is what servers of S3 do, but for this one unless it is told to
            server = stack.enter_context(serving(scratch / "s3", "--keep-alive"))
            bench = Bench(scratch, programs, s3_place(server))
        else:
            bench = Bench(scratch, programs, folder_place(scratch))
        bench.warm_up()
        for number in range(options.runs):
            print(f"==> {bench.place.name}: round {number + 1} of {options.runs}", flush=True)
            for data in chosen:
                bench.round(data)
                if name == "folder":
                    bench.bound(data)
    return bench


def _publish(
    benches: list[Bench],
    points: list[growth.Point],
    chosen: list[datasets.Dataset],
    programs: list[tools.Tool],
    options: argparse.Namespace,
) -> None:
    names = [program.name for program in programs]
    if len(names) < 2:
        return
    page = report.page(
        {bench.place.name: report.table(bench.results, bench.sizes, names) for bench in benches},
        bounds=report.bounds(benches[0].results, names),
        versions=", ".join(f"{program.name} {program.version}" for program in programs),
        sets="\n".join(f"- **{data.name}**: {data.description}" for data in chosen),
        runs=options.runs,
        growth=growth.section(points, names),
    )
    print(page)
    if not options.no_write:
        (_ROOT / "docs" / "benchmarks.md").write_text(page)
        growth.draw(points, names, _ROOT / "docs")


if __name__ == "__main__":
    main()
