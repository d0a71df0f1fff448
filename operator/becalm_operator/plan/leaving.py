"""Movers that outlive their run: one that is just being ended is waited for, one that does not end is in the way."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from becalm_operator.api import names
from becalm_operator.api.backup import RunStatus
from becalm_operator.plan.world import Pod

_LEAVING = timedelta(minutes=1)
"""How long a mover may take to end after its run: three times what it has for it. On a dead node none does."""


def leaves(uid: str, status: RunStatus, pods: Iterable[Pod], now: datetime) -> bool:
    """Say whether a run has just ended and a mover of it may still write: whoever is next on its claims waits.

    Beyond that time nobody waits for it. Then the next run fails, and says which pod is in the way.
    """
    if status.completion_time is None or now - status.completion_time > _LEAVING:
        return False
    return any(pod.written and not pod.ended and pod.labels.get(names.OWNER_UID_LABEL) == uid for pod in pods)
