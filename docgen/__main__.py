"""`python -m docgen`: writes the pages about both packages, or with `--check` says which are stale."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from becalm_operator.crdgen.checkout import settle
from docgen import errors


def main(words: Sequence[str]) -> int:
    """Write the pages, or compare them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m docgen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is stale")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout")
    arguments = parser.parse_args(words)
    return settle(files(arguments.root), only_check=arguments.check)


def files(root: Path) -> dict[Path, str]:
    """Return what every page should hold."""
    return {root / "docs" / "errors.md": errors.page()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
