"""Files that are generated, in a checkout: written, or only compared."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def run(
    words: Sequence[str], *, prog: str, description: str | None, files: Callable[[Path], Mapping[Path, str]]
) -> int:
    """Run a generator: write what `files` says of a checkout, or compare it; returns the exit code."""
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout")
    arguments = parser.parse_args(words)
    return settle(files(arguments.root), only_check=arguments.check)


def settle(files: Mapping[Path, str], *, only_check: bool) -> int:
    """Write the files that are not as they should be, or say which those are; returns the exit code."""
    stale = {path: text for path, text in files.items() if not _is(path, text)}
    for path, text in stale.items():
        if only_check:
            print(f"{path} is stale: run `make generate`", file=sys.stderr)  # noqa: T201  a command's answer
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 1 if stale and only_check else 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text
