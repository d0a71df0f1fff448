"""The client's exceptions become ours, once, here."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from kubernetes.aio.client.exceptions import ApiException

from becalm_operator.errors import (
    ClusterError,
    ConflictError,
    ExpiredError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    WebhookAwayError,
)

REQUEST_SECONDS = 30.0
"""How long one call may take."""

_OK = 200
_WEBHOOK_AWAY = "failed calling webhook"
"""How the API server begins to say so, with a status of 500."""
_UNKNOWN_VERSION = "Too large resource version"
"""How it begins to say, with a status of 504, that it has not come as far: it was put back to an older state."""
_KINDS: dict[int, type[ClusterError]] = {
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    410: ExpiredError,
    429: UnavailableError,
}


async def refuse_error(answer: aiohttp.ClientResponse) -> None:
    """Raise what the client does where it looks at answers itself.

    Raises:
        ApiException: It is no answer but an error.
    """
    if answer.status != _OK:
        raise ApiException(status=answer.status, reason=answer.reason, body=await answer.text())


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what the client raises in the block into a ClusterError that says for what.

    Raises:
        ClusterError: One of its kinds.
    """
    try:
        yield
    except ApiException as error:
        reason = _reason(error)
        raise _kind(error.status or 0, reason)(f"{what}: {reason}") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        detail = str(error) or type(error).__name__
        raise UnavailableError(f"{what}: the API server does not answer: {detail}") from error


def _kind(status: int, reason: str) -> type[ClusterError]:
    if status in _KINDS:
        return _KINDS[status]
    if _WEBHOOK_AWAY in reason:
        return WebhookAwayError
    if _UNKNOWN_VERSION in reason:
        return ExpiredError
    # 401 passes: a projected token is replaced while we run
    return RefusedError if 400 <= status < 500 and status != 401 else UnavailableError


def _reason(error: ApiException) -> str:
    """Return the API server's own sentence."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"
