"""What is news: an event that shows an object of ours as it was looked at already, or as we left it, is none."""

from collections.abc import Mapping
from typing import Any

from becalm_operator.cluster.port import Key, Resource


class News:
    """Knows the version of each object that a reconcile has seen last. Events are asked about in a thread of kopf."""

    def __init__(self) -> None:
        self._seen: dict[Key, str] = {}

    def saw(self, key: Key, resource: Resource | None) -> None:
        """Note an object as it was read, or as it is after a write; None if it is gone."""
        if resource is None:
            self._seen.pop(key, None)
        else:
            self._seen[key] = resource.metadata.resource_version

    def is_news(self, key: Key, event: Mapping[str, Any]) -> bool:
        """Say whether an event about an object may show what no reconcile has seen."""
        version = event["object"]["metadata"].get("resourceVersion")
        return event["type"] == "DELETED" or not version or version != self._seen.get(key)
