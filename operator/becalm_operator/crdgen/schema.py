"""A pydantic model's JSON schema as the API server wants it: structural, without references or nulls."""

from collections.abc import Mapping
from typing import Any

from becalm_operator.api.base import Model

Schema = dict[str, Any]

_KEPT = (
    "description",
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
    "required",
    "type",
    "x-kubernetes-validations",
)
_TRANSLATED = (
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "items",
    "properties",
    "title",
)
_CONDITIONS = "conditions"


def structural(model: type[Model], *, defaults: bool) -> Schema:
    """Return a model's structural schema.

    With `defaults` the API server fills in plain values that the user leaves out. Lists and objects are not filled in:
    they would be noise in every object, and mean the same when absent.

    Raises:
        ValueError: The model says something that would be lost.
    """
    raw = model.model_json_schema(by_alias=True)
    return _Converter(raw.get("$defs", {}), defaults=defaults).convert(raw)


class _Converter:
    """Resolves the references of one document."""

    def __init__(self, definitions: Mapping[str, Schema], *, defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def convert(self, raw: Schema) -> Schema:
        """Return one schema with all that is below it."""
        raw = self._resolved(raw)
        lost = raw.keys() - {*_KEPT, *_TRANSLATED}
        if lost:
            raise ValueError(f"{', '.join(sorted(lost))} of a model has no translation for a CRD: {raw}")
        made: Schema = {key: raw[key] for key in _KEPT if key in raw}
        if "const" in raw:
            made |= {"type": "string", "enum": [raw["const"]]}
        if made.get("type") == "integer":
            made["format"] = "int64"
        if self._defaults and isinstance(raw.get("default"), bool | int | str) and raw["default"] != "":
            made["default"] = raw["default"]
        if made.get("type") == "object":
            made |= self._object(raw)
        if made.get("type") == "array":
            made["items"] = self.convert(raw["items"])
        return made

    def _resolved(self, raw: Schema) -> Schema:
        """Follow a reference or an optional; what stands beside it says more than what it leads to."""
        beside = {key: value for key, value in raw.items() if key not in ("$ref", "anyOf", "allOf", "title")}
        if "$ref" in raw:
            target = self._definitions[raw["$ref"].rpartition("/")[2]]
            return {**self._resolved(target), **beside}
        if "anyOf" in raw:
            (inner,) = [option for option in raw["anyOf"] if option.get("type") != "null"]
            return {**self._resolved(inner), **beside}
        return beside

    def _object(self, raw: Schema) -> Schema:
        if "properties" in raw:
            properties = {name: self.convert(value) for name, value in raw["properties"].items()}
            return {"properties": {name: _listed(name, one) for name, one in properties.items()}}
        values = raw.get("additionalProperties")
        if isinstance(values, Mapping):
            return {"additionalProperties": self.convert(dict(values))}
        return {"x-kubernetes-preserve-unknown-fields": True}


def _listed(name: str, schema: Schema) -> Schema:
    """Return the schema of a property; conditions are merged by their type when several write them."""
    if name != _CONDITIONS:
        return schema
    return {**schema, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
