"""Kubernetes' way to write sizes."""

from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity


def amount(text: str) -> Decimal:
    """Return how much a quantity like `10Gi` or `100m` is. What makes no sense is 0: it is only ever a hint here."""
    try:
        return Decimal(parse_quantity(text))  # type: ignore[no-untyped-call]
    except (ValueError, ArithmeticError):
        return Decimal()


def size_bytes(text: str) -> int:
    """Return how many bytes a quantity is."""
    return int(amount(text))
