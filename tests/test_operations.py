"""The page for the night promises a test for each line; here the promise is kept."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from becalm_operator.api.conditions import Reason

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text()
NAMED = re.compile(r"`([a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")


def _source(path: str) -> str:
    place = ROOT if path.startswith("e2e/") else ROOT / "tests"
    return (place / path).read_text()


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE)

    missing = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^ *(async )?def {name}\(", _source(path), re.MULTILINE)
    ]

    assert len(named) > 25
    assert missing == []


def test_every_line_about_what_goes_wrong_names_a_test() -> None:
    (table,) = re.findall(r"\| what happens .*?\n\n", PAGE, re.DOTALL)
    rows = table.strip().splitlines()[2:]

    assert rows
    assert [row for row in rows if not NAMED.search(row)] == []


def _reasons(path: Path) -> Iterator[str]:
    """Yield the reasons of events that a module spells out; those of failures stand in the reference."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Event":
            text = ast.unparse(node.args[0])
            if constant := re.fullmatch(r"'(\w+)'", text):
                yield constant[1]
            if named := re.fullmatch(r"Reason\.(\w+)\.value", text):
                yield Reason[named[1]].value


def test_every_event_is_explained() -> None:
    (events,) = re.findall(r"\nEvents of a run:.*?\n\n", PAGE, re.DOTALL)
    sources = (ROOT / "operator").rglob("*.py")

    made = {reason for path in sources for reason in _reasons(path)}

    assert len(made) > 10
    assert made - set(re.findall(r"`(\w+)`", events)) == set()


def _blocks() -> list[tuple[str, str]]:
    return [
        (page, block)
        for page in ("operations.md", "gitops.md")
        for block in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    ]


@pytest.mark.parametrize(("page", "block"), _blocks())
def test_every_example_is_yaml(page: str, block: str) -> None:
    assert yaml.safe_load(block), page
