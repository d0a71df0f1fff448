"""An HTTP endpoint that is served beside the operator's work."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler


@asynccontextmanager
async def answering(port: int, answers: Mapping[str, Handler]) -> AsyncIterator[None]:
    """Answer on these paths meanwhile, on all addresses."""
    application = web.Application()
    application.add_routes([web.get(path, answer) for path, answer in answers.items()])
    runner = web.AppRunner(application, handle_signals=False, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await asyncio.shield(runner.cleanup())
