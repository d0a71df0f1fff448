"""The page of the chart: every value, in the words of its comment. Pure: the chart's files in, Markdown out."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

_HEAD = """# becalm's Helm chart

The operator of [becalm](../../README.md), its permissions, a watchdog, and the custom resource definitions. This page
is generated from `values.yaml` and `values.schema.json` by `make generate`.

No registry has the image: [build it and push it](../../README.md#use-it) to one that your nodes pull from, and name it:

```console
$ helm install becalm charts/becalm --namespace becalm --create-namespace \\
    --set image.repository=registry.example.org/becalm
```

How to upgrade, to uninstall, and to have two releases in one cluster is in
[operations](../../docs/operations.md#installing-upgrading-uninstalling); what the alerts mean in
[metrics](../../docs/metrics.md#alerts). A value that is not in this table is refused.

| value | type | default | meaning |
|---|---|---|---|
"""
_ENTRY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):")
_COMMENT = re.compile(r"^ *# ?(.*)$")

Schema = Mapping[str, Any]


def page(values: str, schema: str) -> str:
    """Return the page as Markdown, from the texts of `values.yaml` and `values.schema.json`.

    Raises:
        ValueError: A value has no comment.
    """
    rows = _rows((), yaml.safe_load(values), json.loads(schema), comments(values))
    return _HEAD + "\n".join(rows) + "\n"


def comments(values: str) -> dict[tuple[str, ...], str]:
    """Return what stands in comments right above each key, by the key's path."""
    found: dict[tuple[str, ...], str] = {}
    path: list[str] = []
    above: list[str] = []
    for line in values.splitlines():
        if comment := _COMMENT.match(line):
            above.append(comment[1])
            continue
        if entry := _ENTRY.match(line):
            path = [*path[: len(entry[1]) // 2], entry[2]]
            found[tuple(path)] = " ".join(above)
        above = []
    return found


def _rows(
    path: tuple[str, ...], values: Mapping[str, Any], schema: Schema, said: Mapping[tuple[str, ...], str]
) -> Iterator[str]:
    for name, value in values.items():
        here, field = (*path, name), schema["properties"][name]
        if not said[here]:
            raise ValueError(f"values.yaml: {'.'.join(here)} has no comment above it")
        leaf = "properties" not in field
        cells = (
            f"`{'.'.join(here)}`",
            _type(field) if leaf else "",
            _default(value) if leaf else "",
            said[here],
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        if not leaf:
            yield from _rows(here, value, field, said)


def _type(field: Schema) -> str:
    if "enum" in field:
        return " | ".join(f"`{word}`" for word in field["enum"])
    if field["type"] == "array":
        return f"list of {field['items']['type']}s"
    if "additionalProperties" in field:
        return "map of strings"
    return f"{field['type']}{_limits(field)}"


def _limits(field: Schema) -> str:
    least, most = field.get("minimum"), field.get("maximum")
    if least is None:
        return ""
    return f" (≥ {least})" if most is None else f" ({least} to {most})"


def _default(value: Any) -> str:
    return f"`{json.dumps(value)}`"
