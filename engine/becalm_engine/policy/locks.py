"""When a lock stands in the way, and when it is stale."""

from becalm_engine.format.gotime import NANOS
from becalm_engine.format.lock_file import Lock

_STALE_SECONDS = 30 * 60


def conflicts(lock: Lock, *, exclusive: bool) -> bool:
    """Say whether a lock forbids a new one: any if the new one is exclusive, else only exclusive ones."""
    return exclusive or lock.exclusive


def is_void(lock: Lock, *, now_nanos: int, gone_hosts: frozenset[str], own_host: str) -> bool:
    """Say whether nobody can hold a lock any more: it is stale, or of a host of which its caller knows the end.

    This host is not gone, whatever anybody says.
    """
    return is_gone(lock, gone_hosts, own_host) or is_stale(lock, now_nanos=now_nanos)


def is_gone(lock: Lock, gone_hosts: frozenset[str], own_host: str) -> bool:
    """Say whether a lock is of a host of which its caller knows the end."""
    return lock.hostname in gone_hosts and lock.hostname != own_host


def is_stale(lock: Lock, *, now_nanos: int) -> bool:
    """Say whether nobody has refreshed a lock for half an hour, while holders do every five minutes."""
    return now_nanos - lock.time_nanos > _STALE_SECONDS * NANOS


def is_stored_long(written: float | None, newest: float | None) -> bool:
    """Say whether the place wrote a lock half an hour before one that was written just now, both by its own clock.

    The time in a lock is by its holder's clock, and its age by that of another: one of them may be wrong. A place that
    tells no times contradicts nobody; one that has not listed the newest lock says nothing of its age.
    """
    if written is None:
        return True
    return newest is not None and newest - written > _STALE_SECONDS
