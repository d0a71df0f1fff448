"""The HTTP session that kopf watches with: everybody's credentials, and a sign of life for each watch."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import aiohttp
from kubernetes.aio.client import ApiClient

from becalm_operator.handlers.refusals import Refusals

_UNAUTHORIZED, _ILL = 401, 500


def watching_session(
    client: ApiClient, on_request: Callable[[str], None], refusals: Refusals
) -> aiohttp.ClientSession:
    """Return a session for the loop that this is called in. `on_request` gets the path of each URL that is tried.

    The token is asked for with every request, and the client reads it from its file again when it gets old. So a
    projected token that expires closes no session. kopf never sees that its credentials are refused or that the API
    server is ill: at the first it closes the session under its other watches, at the second it ends. Nor does it see
    that a watch is refused, at which it would end all others: that one rests here, and tries again.
    """
    rest, configuration = client.rest_client, client.configuration

    async def authorised(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        for credential in (await configuration.auth_settings()).values():
            if credential["value"]:
                request.headers[credential["key"]] = str(credential["value"])
        response = await handler(request)
        if response.status == _UNAUTHORIZED or response.status >= _ILL:
            response.release()
            raise aiohttp.ClientConnectionError(f"the API server answers {response.status} {response.reason}")
        rest_seconds = refusals.note(request.url.path, response.status)
        if rest_seconds is not None:
            response.release()
            await asyncio.sleep(rest_seconds)
            refusals.tell()
            # of all errors the one at which kopf begins the watch anew without a word, or a pause of its own
            raise aiohttp.ClientPayloadError(f"the API server answers {response.status} {response.reason}")
        return response

    async def told(
        _: aiohttp.ClientSession, __: SimpleNamespace, request: aiohttp.TraceRequestStartParams
    ) -> None:
        on_request(request.url.path)

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(told)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=rest.ssl_context),
        middlewares=(authorised,),
        trace_configs=[tracing],
        trust_env=True,
        proxy=rest.proxy,
    )
