"""The page of the chart, and what it relies on: that each value has a comment and a place in the schema."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from docgen.chart import comments, page

CHART = Path(__file__).resolve().parents[2] / "charts" / "becalm"
VALUES = """\
# What is pulled.
image:
  # Where from,
  # and by which name.
  name: "a|b"
  policy: Never

# not about what follows

# How many.
count: 0
"""
SCHEMA: dict[str, Any] = {
    "properties": {
        "image": {"properties": {"name": {"type": "string"}, "policy": {"enum": ["Always", "Never"]}}},
        "count": {"type": "integer", "minimum": 0},
    }
}


def test_a_value_is_told_by_the_comment_right_above_it() -> None:
    assert comments(VALUES) == {
        ("image",): "What is pulled.",
        ("image", "name"): "Where from, and by which name.",
        ("image", "policy"): "",
        ("count",): "How many.",
    }


def test_a_value_without_a_comment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image\.policy has no comment"):
        page(VALUES, json.dumps(SCHEMA))


def test_a_row_has_the_type_of_the_schema_and_the_default_of_the_values() -> None:
    rows = page(VALUES.replace("  policy", "  # When.\n  policy"), json.dumps(SCHEMA)).splitlines()[-4:]

    assert rows == [
        "| `image` |  |  | What is pulled. |",
        '| `image.name` | string | `"a\\|b"` | Where from, and by which name. |',
        '| `image.policy` | `Always` \\| `Never` | `"Never"` | When. |',
        "| `count` | integer (≥ 0) | `0` | How many. |",
    ]


def test_the_schema_knows_the_values_that_there_are_and_no_others() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    # Helm itself gives every chart the values of `global`
    assert _names(values, schema) == _names_of(schema) - {("global",)}


def _names(values: dict[str, Any], schema: dict[str, Any]) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for name, value in values.items():
        found.add((name,))
        field = schema["properties"][name]
        if "properties" in field:
            found |= {(name, *below) for below in _names(value, field)}
    return found


def _names_of(schema: dict[str, Any]) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for name, field in schema.get("properties", {}).items():
        found |= {(name,), *((name, *below) for below in _names_of(field))}
    return found


def test_every_link_of_the_page_leads_somewhere() -> None:
    linked = re.findall(r"\]\(([^)#]+)", (CHART / "README.md").read_text())

    assert linked
    assert [path for path in linked if not (CHART / path).exists()] == []
