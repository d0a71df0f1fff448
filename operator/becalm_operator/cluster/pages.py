"""Listing in pages, so that no answer is larger than the API server likes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from becalm_operator.cluster.translate import REQUEST_SECONDS

_PAGE = 500


async def all_pages(list_page: Callable[..., Awaitable[Any]], *place: str, **options: Any) -> Sequence[Any]:
    """Return the items of all pages of one of the client's list methods."""
    found: list[Any] = []
    token: str | None = None
    while True:
        page = await list_page(
            *place, limit=_PAGE, _continue=token, _request_timeout=REQUEST_SECONDS, **options
        )
        found += page.items
        token = page.metadata.var_continue if page.metadata else None
        if not token:
            return found
