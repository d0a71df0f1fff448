"""What all models share: camel case on the wire, frozen in memory, and a few types."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

_DURATION = re.compile(r"(\d+)(h|m|s)")
DURATION_PATTERN = r"^([0-9]{1,7}(h|m|s))+$"
"""With `_DURATION_LENGTH`, so short that no date overflows when a duration is added to it."""
_DURATION_LENGTH = 32
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


def _with_rules(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Put a model's CEL rules into its schema, as the API server takes them."""
    rules: dict[str, str] = getattr(model, "rules", {})
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": r, "message": m} for r, m in rules.items()]


class Model(BaseModel):
    """A part of a custom resource. `rules` are CEL rules for the CRD: expression → message."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        json_schema_extra=_with_rules,
    )
    rules: ClassVar[dict[str, str]] = {}


def told(status: Model) -> dict[str, Any]:
    """Return a status as it is written: without text and lists that are empty by default. Reading it gives the same."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_blanks(status))


def _blanks(model: Model) -> dict[str, Any]:
    """Return what tells nobody anything, as pydantic wants it named."""
    found: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if value in ("", ()) and value == field.default:
            found[name] = True
        elif isinstance(value, Model):
            found[name] = _blanks(value)
        elif isinstance(value, tuple):
            found[name] = {at: _blanks(one) for at, one in enumerate(value) if isinstance(one, Model)}
    return {name: blank for name, blank in found.items() if blank}


def to_utc(value: datetime) -> datetime:
    """Return a time in UTC, in whole seconds as Kubernetes writes it.

    Raises:
        ValueError: In UTC it lies outside the years 1 to 9999.
    """
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        return aware.astimezone(UTC).replace(microsecond=0)
    except OverflowError as error:
        raise ValueError(f"{value} lies outside the years 1 to 9999 of UTC") from error


def time_text(value: datetime) -> str:
    """Return a time as Kubernetes writes it."""
    return to_utc(value).strftime("%Y-%m-%dT%H:%M:%SZ")


def zoned_text(value: datetime, zone: tzinfo) -> str:
    """Return a time in RFC 3339 with the offset that a zone has then."""
    return to_utc(value).astimezone(zone).isoformat().replace("+00:00", "Z")


def parse_duration(text: str) -> timedelta:
    """Return the length of a duration like `1h30m`."""
    seconds = {"h": 3600, "m": 60, "s": 1}
    return timedelta(seconds=sum(int(n) * seconds[unit] for n, unit in _DURATION.findall(text)))


Time = Annotated[datetime, AfterValidator(to_utc), PlainSerializer(time_text, when_used="json")]
Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=_DURATION_LENGTH)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=253)]
Pattern = Annotated[str, Field(max_length=1024)]


class LocalReference(Model):
    """Names an object of the same namespace."""

    name: Name
    """Its name."""


class SecretKeyReference(Model):
    """Names one key of a Secret of the same namespace."""

    name: Name
    """The Secret's name."""
    key: Annotated[str, Field(min_length=1, max_length=253)] = "password"
    """The key in it."""


class Metadata(Model):
    """What the operator reads of an object's metadata."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[dict[str, Any], ...] = ()
