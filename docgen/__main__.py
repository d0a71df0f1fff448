"""`python -m docgen`: writes the pages about both packages and the chart, or with `--check` says which are stale."""

import sys
from collections.abc import Sequence
from pathlib import Path

from becalm_operator.crdgen.checkout import run
from docgen import chart, errors, metrics


def main(words: Sequence[str]) -> int:
    """Write the pages, or compare them; returns the exit code."""
    return run(words, prog="python -m docgen", description=__doc__, files=files)


def files(root: Path) -> dict[Path, str]:
    """Return what every page should hold."""
    folder = root / "charts" / "becalm"
    values, schema = (folder / name for name in ("values.yaml", "values.schema.json"))
    return {
        root / "docs" / "errors.md": errors.page(),
        root / "docs" / "metrics.md": metrics.page(),
        folder / "README.md": chart.page(values.read_text(), schema.read_text()),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
