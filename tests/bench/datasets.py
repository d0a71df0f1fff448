"""The three kinds of data that backup programs are compared on. Same seed, same bytes."""

import random
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of files and what it stands for."""

    name: str
    folder: Path
    description: str
    size_bytes: int


def make_all(folder: Path, *, scale: float) -> list[Dataset]:
    """Write the data sets below `folder`; `scale` 1 is the size that published figures use."""
    files = int(100_000 * scale)
    return [
        _make(folder / "random", _write_random, scale, f"4 files of {512 * scale:.0f} MiB, random"),
        _make(folder / "text", _write_text, scale, f"{1024 * scale:.0f} MiB of source text"),
        _make(folder / "small", _write_small, scale, f"{files:,} files of 0.1 to 8 KB, random"),
    ]


def _make(folder: Path, write: Callable[[Path, float], None], scale: float, text: str) -> Dataset:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(folder, scale)
    return Dataset(folder.name, folder, text, folder_bytes(folder))


def folder_bytes(folder: Path) -> int:
    """Return the length of all files in a folder together."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _write_random(folder: Path, scale: float) -> None:
    for number in range(4):
        source = random.Random(number)
        with (folder / f"volume-{number}.bin").open("wb") as file:
            for _ in range(int(512 * scale)):
                file.write(source.randbytes(MIB))


def _write_text(folder: Path, scale: float) -> None:
    source = random.Random(7)
    slices = _source_slices(source)
    for number in range(max(1, int(1024 * scale) // 8)):
        with (folder / f"module-{number:04}.txt").open("wb") as file:
            while file.tell() < 8 * MIB:
                file.write(next(slices))


def _source_slices(source: random.Random) -> Iterator[bytes]:
    """Yield slices of the standard library's own source, shuffled so that no run repeats."""
    library = Path(sysconfig.get_path("stdlib"))
    modules = sorted(path for path in library.rglob("*.py") if path.stat().st_size > 4096)
    texts = [path.read_bytes() for path in modules[:3000]]
    while True:
        text = source.choice(texts)
        start = source.randrange(len(text) - 2048)
        yield text[start : start + source.randrange(2048, 32768)]


def _write_small(folder: Path, scale: float) -> None:
    source = random.Random(3)
    for directory in range(max(1, int(1000 * scale))):
        inside = folder / f"d{directory % 40:02}" / f"e{directory:04}"
        inside.mkdir(parents=True)
        for number in range(100):
            content = source.randbytes(source.randrange(100, 8192))
            (inside / f"file-{number:03}").write_bytes(content)
