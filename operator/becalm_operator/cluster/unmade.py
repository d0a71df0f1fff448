"""Jobs that the API server did not let be made: what it said, and since when it does.

A refusal may pass: a quota frees up, a policy is mended. So decisions see such a Job as one that cannot start, and ask
for it again as long as they would wait for its pod. What is kept here goes with the process: the next one gives it as
long once more.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from becalm_operator.errors import ClusterError
from becalm_operator.plan.world import JobState

_KEPT = timedelta(minutes=2)
"""How long a refusal counts that was not repeated: longer than anybody who still wants the Job takes to ask again."""

_log = logging.getLogger(__name__)

Place = tuple[str, str]
"""A Job's namespace and name."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    owner_uid: str
    why: str
    first: datetime
    last: datetime


class Unmade:
    """What was refused of late."""

    def __init__(self) -> None:
        self._refusals: dict[Place, _Refusal] = {}

    def note(self, place: Place, owner_uid: str, error: ClusterError, now: datetime) -> None:
        """Note that a Job was refused."""
        before = self._refusals.get(place)
        if before is None or now - before.last > _KEPT:
            before = None
            _log.warning("%s; it is asked for again", error)
        self._refusals[place] = _Refusal(owner_uid, str(error), before.first if before else now, now)

    def forget(self, place: Place) -> None:
        """Note that a Job was made, or that nobody wants it any more."""
        self._refusals.pop(place, None)

    def of(self, owner_uid: str, now: datetime) -> dict[str, JobState]:
        """Return the Jobs of one owner that were refused, by name."""
        for place in [place for place, one in self._refusals.items() if now - one.last > _KEPT]:
            del self._refusals[place]
        return {
            name: JobState(name, created=one.first, refused=True, stuck=one.why)
            for (_, name), one in self._refusals.items()
            if one.owner_uid == owner_uid
        }
