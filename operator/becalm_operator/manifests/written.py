"""What people write of a pod without a schema: read into the client's types, or refused with where it is wrong.

The definitions of our objects take such parts as they come, so nobody has looked at them before they are used.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from kubernetes.aio.client import V1ResourceRequirements, V1SecurityContext, V1Toleration
from pydantic import ValidationError

_MAPS_OF_QUANTITIES = frozenset(("limits", "requests", "overhead"))
_QUANTITIES = frozenset(("sizeLimit", "divisor"))


class UnfitError(ValueError):
    """Somebody has written what is no part of a pod. The message says where, what is wrong and what to do."""


def resources(written: Mapping[str, Any] | None, field: str, of: str) -> V1ResourceRequirements | None:
    """Return a container's resources; `field` and `of` say where they are written.

    Raises:
        UnfitError: They make no sense.
    """
    if not written:
        return None
    try:
        return V1ResourceRequirements.from_dict(with_texts(dict(written)))
    except (ValidationError, TypeError, AttributeError) as error:
        raise _unfit(error, field, of) from None


def security_context(written: Mapping[str, Any], field: str, of: str) -> V1SecurityContext:
    """Return a container's security context; `field` and `of` say where it is written.

    Raises:
        UnfitError: It makes no sense.
    """
    try:
        return V1SecurityContext.model_validate(dict(written))
    except ValidationError as error:
        raise _unfit(error, field, of) from None


def tolerations(written: Iterable[Mapping[str, Any]], field: str, of: str) -> list[V1Toleration] | None:
    """Return a pod's tolerations; `field` and `of` say where they are written.

    Raises:
        UnfitError: One makes no sense.
    """
    made = []
    for position, toleration in enumerate(written):
        try:
            made.append(V1Toleration.from_dict(dict(toleration)))
        except ValidationError as error:
            raise _unfit(error, f"{field}[{position}]", of) from None
    return [toleration for toleration in made if toleration is not None] or None


def with_texts(written: Any) -> Any:
    """Return a document in which quantities are texts: Kubernetes takes `cpu: 2` as well, and the client does not."""
    if isinstance(written, Mapping):
        return {key: _field_with_texts(key, value) for key, value in written.items()}
    if isinstance(written, list | tuple):
        return [with_texts(one) for one in written]
    return written


def _field_with_texts(key: str, value: Any) -> Any:
    if key in _QUANTITIES:
        return _text(value)
    if key in _MAPS_OF_QUANTITIES and isinstance(value, Mapping):
        return {name: _text(quantity) for name, quantity in value.items()}
    return with_texts(value)


def _text(quantity: Any) -> Any:
    is_number = isinstance(quantity, int | float) and not isinstance(quantity, bool)
    return str(quantity) if is_number else quantity


def place_and_fault(error: ValidationError) -> tuple[str, str]:
    """Return where something is wrong and what, without what was written: that may hold a secret."""
    first = error.errors(include_input=False, include_url=False)[0]
    return ".".join(map(str, first["loc"])), first["msg"]


def _unfit(error: Exception, field: str, of: str) -> UnfitError:
    place, fault = (
        place_and_fault(error) if isinstance(error, ValidationError) else ("", "it has another form")
    )
    where = f"{field}.{place}" if place else field
    return UnfitError(f"{where} of {of} is not what Kubernetes takes there ({fault}): correct it")
