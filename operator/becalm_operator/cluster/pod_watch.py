"""Watching the pods of one namespace: whether somebody comes to its claims or leaves them."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, CoreV1Api

from becalm_operator.api import names
from becalm_operator.cluster.glimpses import Glimpses
from becalm_operator.cluster.pods import json_document
from becalm_operator.cluster.translate import refuse_error, translated
from becalm_operator.errors import ExpiredError, UnavailableError
from becalm_operator.plan.world import Pod

_WATCH_SECONDS = 45
"""How long one watch lasts before it is opened anew."""
_SILENCE_SECONDS = 15.0
"""How much longer an API server may take to end it that has gone without a word."""
_GONE = 410


@dataclass(frozen=True, slots=True)
class Sight:
    """What a watch shows: how far in the history of all pods it has come, and a pod of others that came or changed.

    The pod is as it is once it is gone: somebody may ask for it then, and nothing else shows it any more. `came`: it
    is seen for the first time.
    """

    version: str
    pod: Pod | None = None
    came: bool = False


class PodWatch:
    """Watches pods of an API server."""

    def __init__(self, client: ApiClient) -> None:
        self._core = CoreV1Api(client)

    async def changes(self, namespace: str, since: str = "") -> AsyncIterator[Sight]:
        """Yield each pod of others that comes, changes or goes, until the watch ends.

        A change that nobody decides by is none.

        Without a version it begins with all that is there. With that of the last sight of another watch it goes on
        from there: what came and went between the two is told.

        Raises:
            ExpiredError: That is too long ago; what happened since then cannot be had.
            ClusterError: The API server refuses, or does not answer.
        """
        with translated(f"watching pods of {namespace}"):
            if not since:  # where no pod is, nothing else would tell of a version
                yield Sight(await self._version(namespace))
            response = await self._core.list_namespaced_pod_without_preload_content(
                namespace,
                watch=True,
                resource_version=since or None,
                # an API server on an old etcd refuses a watch that is to have both: what is there, and bookmarks
                allow_watch_bookmarks=bool(since) or None,
                timeout_seconds=_WATCH_SECONDS,
                _request_timeout=_WATCH_SECONDS + _SILENCE_SECONDS,
            )
            glimpses = Glimpses()
            async with response, aclosing(_events(response)) as events:
                async for event in events:
                    seen = event["object"]
                    tells = event["type"] != "BOOKMARK" and not _is_movers(seen) and glimpses.is_news(event)
                    yield Sight(
                        seen["metadata"].get("resourceVersion", ""),
                        _pod(seen) if tells else None,
                        came=event["type"] == "ADDED",
                    )

    async def _version(self, namespace: str) -> str:
        """Return how far the history of all pods has come."""
        answer = await self._core.list_namespaced_pod_without_preload_content(namespace, limit=1)
        async with answer:
            await refuse_error(answer)
            found: str = json_document(await answer.read())["metadata"].get("resourceVersion", "")
        return found


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[Mapping[str, Any]]:
    """Yield what a watch tells.

    Raises:
        ApiException: It is refused.
        ExpiredError: It was to begin too long ago.
        UnavailableError: What it tells makes no sense, as when it is cut off in the middle.
    """
    await refuse_error(response)
    async for line in response.content:
        try:
            event: Mapping[str, Any] = json.loads(line)
        except ValueError as error:
            raise UnavailableError(f"a watch of pods was cut off: {error}") from error
        if event.get("type") == "ERROR":
            kind = ExpiredError if event["object"].get("code") == _GONE else UnavailableError
            raise kind(f"a watch of pods has ended: {event['object'].get('message')}")
        yield event


def _is_movers(pod: Mapping[str, Any]) -> bool:
    """Say whether a pod is of a Job of ours. Those are watched in all namespaces at once."""
    labels = pod["metadata"].get("labels") or {}
    return labels.get(names.MANAGED_BY_LABEL) == names.MANAGED_BY and names.OWNER_KIND_LABEL in labels


def _pod(document: Mapping[str, Any]) -> Pod:
    metadata = document["metadata"]
    created = metadata.get("creationTimestamp")
    return Pod(
        name=metadata["name"],
        owner="",
        claims=_mounted(document),
        created=datetime.fromisoformat(created) if created else None,
        ended=True,
    )


def _mounted(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the claims that a pod mounts, those that were made for it alone included."""
    volumes = pod.get("spec", {}).get("volumes") or ()
    sources = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
    own = {f"{pod['metadata']['name']}-{volume['name']}" for volume in volumes if "ephemeral" in volume}
    return tuple(sorted(own | {source["claimName"] for source in sources}))
