"""The page on compatibility promises a test for each line; here the promise is kept."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
NAMED = re.compile(r"`([a-z0-9_/]+\.py)::(?:Test\w+::)?(test_[a-z0-9_]+)`")


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE)

    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^(?:    )?def {name}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE)
    ]

    assert len(named) > 40
    assert missing == []


def test_every_line_of_a_table_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what ")]

    assert [row for row in rows if not NAMED.search(row)] == []
