"""Kubernetes' way to write sizes."""

from kubernetes.utils.quantity import parse_quantity


def size_bytes(text: str) -> int:
    """Return how many bytes a quantity like `10Gi` is. What makes no sense is 0: a size is only ever a hint here."""
    try:
        return int(parse_quantity(text))  # type: ignore[no-untyped-call]
    except (ValueError, ArithmeticError):
        return 0
