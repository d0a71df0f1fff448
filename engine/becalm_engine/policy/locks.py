"""When a lock stands in the way, and when it is stale."""

from becalm_engine.format.gotime import NANOS
from becalm_engine.format.lock_file import Lock

_STALE_NANOS = 30 * 60 * NANOS


def conflicts(lock: Lock, *, exclusive: bool) -> bool:
    """Say whether a lock forbids a new one: any if the new one is exclusive, else only exclusive ones."""
    return exclusive or lock.exclusive


def is_void(lock: Lock, *, now_nanos: int, gone_hosts: frozenset[str], own_host: str) -> bool:
    """Say whether nobody can hold a lock any more: it is stale, or of a host of which its caller knows the end.

    This host is not gone, whatever anybody says.
    """
    gone = lock.hostname in gone_hosts and lock.hostname != own_host
    return gone or is_stale(lock, now_nanos=now_nanos)


def is_stale(lock: Lock, *, now_nanos: int) -> bool:
    """Say whether nobody has refreshed a lock for half an hour, while holders do every five minutes."""
    return now_nanos - lock.time_nanos > _STALE_NANOS
