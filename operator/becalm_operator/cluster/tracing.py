"""Requests to the API server, timed where they pass."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import aiohttp

Requested = Callable[[str, int, float], None]
"""Gets the method of a request, the status of its answer (0 for none), and how long it took in seconds."""


def tracing(requested: Requested) -> aiohttp.TraceConfig:
    """Return what tells of every request of a session."""

    async def began(
        _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestStartParams
    ) -> None:
        context.began = asyncio.get_running_loop().time()

    def tell(context: SimpleNamespace, method: str, status: int) -> None:
        requested(method, status, asyncio.get_running_loop().time() - context.began)

    async def ended(
        _: aiohttp.ClientSession, context: SimpleNamespace, end: aiohttp.TraceRequestEndParams
    ) -> None:
        tell(context, end.method, end.response.status)

    async def failed(
        _: aiohttp.ClientSession, context: SimpleNamespace, end: aiohttp.TraceRequestExceptionParams
    ) -> None:
        tell(context, end.method, 0)

    config = aiohttp.TraceConfig()
    config.on_request_start.append(began)
    config.on_request_end.append(ended)
    config.on_request_exception.append(failed)
    return config
