"""`python -m tests.bench`: every tool does the same work on the same data, alternating."""

import argparse
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from e2e.paths import places

from tests.bench import datasets, measure, report, tools

_ROOT = Path(__file__).parents[2]
_MIB = 1024 * 1024


class Bench:
    """One run of the whole comparison below a scratch folder in memory."""

    def __init__(self, scratch: Path, programs: list[tools.Tool]) -> None:
        self.scratch = scratch
        self.programs = programs
        self.results: dict[tuple[str, str, str], list[measure.Cost]] = defaultdict(list)
        self.sizes: dict[tuple[str, str], int] = {}

    def round(self, data: datasets.Dataset) -> None:
        """Let each program back up, back up again, restore and check one data set."""
        for program in self.programs:
            repository = self._emptied("repository")
            self._emptied("cache")
            self._run(program, program.init(), repository)
            self._measure(data, "first backup", program, program.backup(data.folder), repository)
            self.sizes[data.name, program.name] = _folder_bytes(repository)
            self._measure(data, "unchanged", program, program.backup(data.folder), repository)
            target = self._emptied("target")
            command = program.restore(str(data.folder), target)
            self._measure(data, "restore", program, command, repository)
            self._measure(data, "check --read-data", program, program.check(), repository)

    def _measure(
        self,
        data: datasets.Dataset,
        work: str,
        program: tools.Tool,
        command: list[str],
        repository: Path,
    ) -> None:
        cost = self._run(program, command, repository)
        self.results[data.name, work, program.name].append(cost)
        print(
            f"  {data.name:7} {work:18} {program.name:7} {cost.wall_seconds:6.2f} s"
            f" {cost.cpu_seconds:6.2f} cpu-s {cost.peak_bytes / _MIB:6.0f} MiB",
            flush=True,
        )

    def _run(self, program: tools.Tool, command: list[str], repository: Path) -> measure.Cost:
        environment = program.environment(str(repository), self.scratch / "cache")
        return measure.run(command, environment, cwd=self.scratch)

    def _emptied(self, name: str) -> Path:
        folder = self.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="rounds over all data and tools (default 3)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of the data against the published sets"
    )
    parser.add_argument("--only", action="append", help="a data set: random, text, small (may be repeated)")
    parser.add_argument("--tool", action="append", help="a tool: becalm, restic, rustic (default all)")
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"), help="a folder in memory")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    return parser.parse_args()


def main() -> None:
    """Measure, print the table, and write it to docs/benchmarks.md."""
    options = _arguments()
    programs = tools.find([n for n in tools.NAMES if not options.tool or n in options.tool], places().cache)
    with tempfile.TemporaryDirectory(prefix="becalm-bench-", dir=options.scratch) as folder:
        scratch = Path(folder)
        print("==> writing the data sets", flush=True)
        every = datasets.make_all(scratch / "data", scale=options.scale)
        chosen = [data for data in every if not options.only or data.name in options.only]
        bench = Bench(scratch, programs)
        for number in range(options.runs):
            print(f"==> round {number + 1} of {options.runs}", flush=True)
            for data in chosen:
                bench.round(data)
    _publish(bench, chosen, options)


def _publish(bench: Bench, chosen: list[datasets.Dataset], options: argparse.Namespace) -> None:
    names = [program.name for program in bench.programs]
    if len(names) < 2:
        return
    text = report.table(bench.results, bench.sizes, names)
    versions = ", ".join(f"{program.name} {program.version}" for program in bench.programs)
    sets = "\n".join(f"- **{data.name}**: {data.description}" for data in chosen)
    page = (
        "# Benchmarks\n\n"
        "Written by `make bench`. Source, repository and target are in memory (tmpfs); the\n"
        "programs take turns; seconds are medians of the whole process, key derivation included;\n"
        "memory is the peak of all processes together (PSS). *Faster by* compares becalm with the\n"
        f"faster peer. Runs of each: {options.runs}.\n\n"
        f"{report.machine()}; {versions}.\n\n{sets}\n\n{text}\n"
    )
    print(page)
    if not options.no_write:
        (_ROOT / "docs" / "benchmarks.md").write_text(page)


if __name__ == "__main__":
    main()
