"""Watches that the API server refuses: how long each rests before it tries again, and what people are told.

A namespace that is deleted takes the operator's permissions there with it. That must end no watch of another one.
Knows no kopf.
"""

import logging
from collections import defaultdict

from becalm_operator.handlers.liveness import Heartbeats
from becalm_operator.handlers.watches import WATCHED

_ADVICE = {
    403: (
        "403 Forbidden",
        "If the namespace is gone, take it off watchNamespaces of the chart; if not, helm upgrade gives the role back.",
    ),
    404: ("404 Not Found", "If the CustomResourceDefinitions are gone, helm upgrade makes them again."),
}
_ERROR = 400
_REST_SECONDS = (1.0, 30.0)
"""After the first refusal, and at most. With its request it has to be shorter than kopf waits for an answer."""

_log = logging.getLogger(__name__)


class Refusals:
    """Knows all watches, and which are refused. `heartbeats` learn whether all are: then the operator is blind."""

    def __init__(self, namespaces: tuple[str, ...], heartbeats: Heartbeats) -> None:
        self._watches = {
            watched.path(namespace): (namespace, watched.plural)
            for namespace in namespaces or ("",)
            for watched in WATCHED
        }
        self._heartbeats = heartbeats
        self._refused: dict[str, float] = {}
        self._untold: dict[str, int] = {}
        self._told: set[str] = set()

    def note(self, path: str, status: int) -> float | None:
        """Note an answer. Returns for how many seconds its watch must rest if it is refused, None if it is not."""
        rest: float | None = None
        if path in self._watches and status in _ADVICE:
            rest = self._refuse(path, status)
        elif path in self._refused and status < _ERROR:
            self._allow(path)
        self._heartbeats.blind = len(self._refused) == len(self._watches)
        return rest

    def _refuse(self, path: str, status: int) -> float:
        first, longest = _REST_SECONDS
        if path not in self._told:
            self._untold[path] = status
        self._refused[path] = min(self._refused.get(path, first / 2) * 2, longest)
        return self._refused[path]

    def _allow(self, path: str) -> None:
        del self._refused[path]
        self._untold.pop(path, None)
        if path in self._told:
            self._told.remove(path)
            namespace, plural = self._watches[path]
            _log.info("%s of %s are watched again", plural, _place(namespace))

    def tell(self) -> None:
        """Tell of watches that nobody was told of, those of one namespace together: they are refused for one reason."""
        together: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        for path, (namespace, plural) in self._watches.items():
            if path in self._untold:
                together[namespace, self._untold[path]].append(plural)
        for (namespace, status), plurals in together.items():
            answer, advice = _ADVICE[status]
            what = (", ".join(plurals), _place(namespace), answer)
            _log.warning("%s of %s are not watched: the API server answers %s. %s", *what, advice)
        self._told.update(self._untold)
        self._untold.clear()


def _place(namespace: str) -> str:
    return f"namespace {namespace}" if namespace else "all namespaces"
