"""Values made from valid ones, a little or altogether wrong."""

import json
from typing import Any

from hypothesis import strategies as st

ODD_NUMBERS = st.sampled_from(
    (
        0,
        -1,
        2**31,
        2**32,
        2**53,
        2**63 - 1,
        2**63,
        2**64,
        10**30,
        10**400,
        0.5,
        1e308,
        float("inf"),
        float("nan"),
    )
)
ODD_TEXTS = st.sampled_from(
    ("", "\0", "..", "a/b", "\ud800", "\\", '"', "\\x", "\\400", "\\ud800", "\u202e", "x" * 300, "ab" * 32, "AB" * 32,
     "9999-12-31T23:59:59.999999999Z", "0000-00-00T00:00:00Z", "2026-01-02T03:04:05+23:59", "QQ==", "!")
)  # fmt: skip
ODD_VALUES = st.recursive(
    st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXTS | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXTS | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn, document: Any) -> Any:
    """Return a JSON document with some of its values, at any depth, replaced, removed or put elsewhere."""
    copy = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        copy = _changed(draw, copy)
    return copy


def _changed(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value:
        return _changed_object(draw, value)
    if isinstance(value, list) and value:
        return _changed_list(draw, value)
    return draw(ODD_VALUES)


def _changed_object(draw: st.DrawFn, value: dict[str, Any]) -> dict[str, Any]:
    key = draw(st.sampled_from(sorted(value)))
    deed = draw(st.sampled_from(("inside", "inside", "replace", "remove", "swap")))
    if deed == "remove":
        return {other: inner for other, inner in value.items() if other != key}
    if deed == "swap":
        return {**value, key: value[draw(st.sampled_from(sorted(value)))]}
    return {**value, key: _changed(draw, value[key]) if deed == "inside" else draw(ODD_VALUES)}


def _changed_list(draw: st.DrawFn, value: list[Any]) -> list[Any]:
    at = draw(st.integers(0, len(value) - 1))
    deed = draw(st.sampled_from(("inside", "inside", "twice", "remove")))
    if deed == "remove":
        return value[:at] + value[at + 1 :]
    if deed == "twice":
        return [*value, value[at]]
    return [*value[:at], _changed(draw, value[at]), *value[at + 1 :]]


def as_bytes(document: Any) -> bytes:
    """Return JSON as an attacker writes it: with numbers that JSON has not, and halves of characters."""
    return json.dumps(document, separators=(",", ":")).encode()


def texts_like(valid: str) -> st.SearchStrategy[str]:
    """Return texts made from a valid one, and others."""
    cut = st.integers(0, len(valid)).map(lambda at: valid[:at])
    pieces = st.lists(st.sampled_from([*valid, *'\\"/\n\0:+-Z.xuU0789é\ud800']), max_size=12).map("".join)
    spliced = st.tuples(st.integers(0, len(valid)), pieces).map(
        lambda change: valid[: change[0]] + change[1] + valid[change[0] :]
    )
    return cut | spliced | pieces | st.text(max_size=20)
