"""Watching the pods of one namespace: whether somebody comes to its claims or leaves them."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, CoreV1Api

from becalm_operator.api import names
from becalm_operator.cluster.glimpses import Glimpses
from becalm_operator.cluster.translate import refuse_error, translated
from becalm_operator.errors import UnavailableError

_WATCH_SECONDS = 45
"""How long one watch lasts before it is opened anew."""
_SILENCE_SECONDS = 15.0
"""How much longer an API server may take to end it that has gone without a word."""


class PodWatch:
    """Watches pods of an API server."""

    def __init__(self, client: ApiClient) -> None:
        self._core = CoreV1Api(client)

    async def changes(self, namespace: str) -> AsyncIterator[frozenset[str]]:
        """Yield the claims of each pod of others that is there, comes, changes or goes, until the watch ends.

        A change that nobody decides by is none.

        What happens between two watches is not missed: each begins with all that is there.

        Raises:
            ClusterError: The API server refuses, or does not answer.
        """
        with translated(f"watching pods of {namespace}"):
            response = await self._core.list_namespaced_pod_without_preload_content(
                namespace,
                watch=True,
                timeout_seconds=_WATCH_SECONDS,
                _request_timeout=_WATCH_SECONDS + _SILENCE_SECONDS,
            )
            glimpses = Glimpses()
            async with response, aclosing(_events(response)) as events:
                async for event in events:
                    if not _is_movers(event["object"]) and glimpses.is_news(event):
                        yield _mounted(event["object"])


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[Mapping[str, Any]]:
    """Yield what a watch tells.

    Raises:
        ApiException: It is refused.
        UnavailableError: What it tells makes no sense, as when it is cut off in the middle.
    """
    await refuse_error(response)
    async for line in response.content:
        try:
            event: Mapping[str, Any] = json.loads(line)
        except ValueError as error:
            raise UnavailableError(f"a watch of pods was cut off: {error}") from error
        if event.get("type") == "ERROR":
            raise UnavailableError(f"a watch of pods has ended: {event['object'].get('message')}")
        yield event


def _is_movers(pod: Mapping[str, Any]) -> bool:
    """Say whether a pod is of a Job of ours. Those are watched in all namespaces at once."""
    return names.OWNER_KIND_LABEL in (pod["metadata"].get("labels") or {})


def _mounted(pod: Mapping[str, Any]) -> frozenset[str]:
    """Return the claims that a pod mounts, those that were made for it alone included."""
    volumes = pod.get("spec", {}).get("volumes") or ()
    sources = [volume["persistentVolumeClaim"] for volume in volumes if "persistentVolumeClaim" in volume]
    own = {f"{pod['metadata']['name']}-{volume['name']}" for volume in volumes if "ephemeral" in volume}
    return frozenset(own | {source["claimName"] for source in sources})
