"""Requests to the API server are told of, also those without an answer."""

import aiohttp
import pytest
from aiohttp import web

from becalm_operator.cluster.tracing import tracing


async def test_each_request_is_told_with_its_status_and_how_long_it_took(unused_tcp_port: int) -> None:
    told: list[tuple[str, int, float]] = []

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=409)

    application = web.Application()
    application.add_routes([web.put("/x", refuse)])
    runner = web.AppRunner(application)
    await runner.setup()
    url = f"http://127.0.0.1:{unused_tcp_port}/x"
    trace = tracing(lambda *what: told.append(what))
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)
        await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
        await session.put(url)
        await runner.cleanup()

    assert [(method, status) for method, status, _ in told] == [("GET", 0), ("PUT", 409)]
    assert all(seconds >= 0 for _, _, seconds in told)
