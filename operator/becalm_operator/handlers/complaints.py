"""What the API server refuses and a run can do without: the log says it once, not at every look."""

import logging
from collections.abc import Iterable

from becalm_operator.cluster.port import Key

_MOST_KEYS = 1024
"""An object that is gone takes its complaints along only when there are so many."""

_log = logging.getLogger(__name__)


class Complaints:
    """Knows what was said of each object last."""

    def __init__(self) -> None:
        self._said: dict[Key, frozenset[str]] = {}

    def say(self, key: Key, refused: Iterable[str]) -> None:
        """Say what was refused at this look; nothing, if nothing was."""
        found = frozenset(refused)
        for why in sorted(found - self._said.get(key, frozenset())):
            _log.warning("%s: %s", key, why)
        if found:
            self._said[key] = found
        else:
            self._said.pop(key, None)
        while len(self._said) > _MOST_KEYS:
            del self._said[next(iter(self._said))]
