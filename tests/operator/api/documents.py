"""Documents as the API server lets them in: drawn from the CRDs' schemas, and with their defaults filled in."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from becalm_operator.crdgen.definitions import definitions

Schema = dict[str, Any]

KINDS = {definition.kind.kind: definition.kind for definition in definitions()}
SCHEMAS: dict[str, Schema] = {
    definition.kind.kind: definition.document()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for definition in definitions()
}

_MOST = 3
"""How many items a list gets; more would prove nothing and take long."""
_KEYS = st.text("abcdefg./-", min_size=1, max_size=8)
_FREE_FORM = st.dictionaries(_KEYS, st.integers() | st.text(max_size=5) | st.booleans(), max_size=_MOST)
_TIMES = st.integers(0, 32503679999).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
)


def fitting(schema: Schema) -> st.SearchStrategy[Any]:
    """Return all values that a schema allows."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "object":
            return _objects(schema)
        case "array":
            most = min(_MOST, schema.get("maxItems", _MOST))
            return st.lists(fitting(schema["items"]), min_size=schema.get("minItems", 0), max_size=most)
        case "string":
            return _texts(schema)
        case "integer":
            return st.integers(schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1))
        case "boolean":
            return st.booleans()
        case other:
            raise AssertionError(other)


def _objects(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    if "additionalProperties" in schema:
        return st.dictionaries(_KEYS, fitting(schema["additionalProperties"]), max_size=_MOST)
    if "properties" not in schema:
        return _FREE_FORM
    needed = set(schema.get("required", ()))
    fields = {name: fitting(field) for name, field in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: field for name, field in fields.items() if name in needed},
        optional={name: field for name, field in fields.items() if name not in needed},
    )


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return _TIMES
    least, most = schema.get("minLength", 0), schema.get("maxLength", 20)
    if "pattern" in schema:
        # `$` of Python also fits before a newline at the end, that of the API server does not
        drawn = st.from_regex(str(schema["pattern"]), fullmatch=True)
        return drawn.filter(lambda text: "\n" not in text and least <= len(text) <= most)
    return st.text(
        st.characters(exclude_categories=["Cs"]), min_size=least, max_size=max(least, min(most, 20))
    )


SPECS = {kind: fitting(schema["properties"]["spec"]) for kind, schema in SCHEMAS.items()}
STATUSES = {kind: fitting(schema["properties"]["status"]) for kind, schema in SCHEMAS.items()}
"""Made once: to make a strategy takes longer than to draw from it."""


def defaulted(value: Any, schema: Schema) -> Any:
    """Return a value as the API server stores it: absent fields of present objects get their defaults."""
    if isinstance(value, list):
        return [defaulted(item, schema["items"]) for item in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    fields = schema["properties"]
    filled = {name: field["default"] for name, field in fields.items() if "default" in field} | value
    return {name: defaulted(inner, fields[name]) for name, inner in filled.items()}
