"""`python -m docgen`: writes the pages about both packages, or with `--check` says which are stale."""

import sys
from collections.abc import Sequence
from pathlib import Path

from becalm_operator.crdgen.checkout import run
from docgen import errors, metrics


def main(words: Sequence[str]) -> int:
    """Write the pages, or compare them; returns the exit code."""
    return run(words, prog="python -m docgen", description=__doc__, files=files)


def files(root: Path) -> dict[Path, str]:
    """Return what every page should hold."""
    pages = {"errors.md": errors.page(), "metrics.md": metrics.page()}
    return {root / "docs" / name: text for name, text in pages.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
