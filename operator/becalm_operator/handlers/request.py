"""The request of an http hook, sent by the pod that was made for it.

It runs where the Backup is, not in the operator: so it reaches what that namespace may reach, and what is secret in it
comes from the kubelet. Of the answer only the status is told; a body may hold anything.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from becalm_operator.api.hooks import HttpHook
from becalm_operator.errors import SettingsError
from becalm_operator.manifests.hooks import (
    REPORT_VARIABLE,
    REQUEST_VARIABLE,
    TIMEOUT_VARIABLE,
    URL_VARIABLE,
    header_variable,
)
from becalm_operator.manifests.trust import trusting

_SUCCESS = range(200, 300)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request, in a sentence, and whether it is what was expected."""

    told: str
    expected: bool


async def send(environment: Mapping[str, str]) -> Answer:
    """Send the request that the environment describes.

    Raises:
        SettingsError: It describes none, or one that cannot be sent.
    """
    order, seconds = _read(environment)
    url = order.url or environment.get(URL_VARIABLE, "").strip()
    if not url.startswith(("http://", "https://")):
        raise SettingsError("the URL of the request is no http:// or https:// address")
    headers = {
        header.name: header.value
        if header.value is not None
        else environment.get(header_variable(at), "").strip()
        for at, header in enumerate(order.headers)
    }
    timeout, trust = aiohttp.ClientTimeout(total=seconds), _trust(order)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # a redirect could carry the headers to somebody else
            session.request(
                order.method,
                url,
                headers=headers,
                data=order.body.encode() or None,
                allow_redirects=False,
                ssl=trust,
            ) as answer,
        ):
            return _judged(order, answer.status)
    except TimeoutError:
        return Answer(f"no answer within {seconds:g} s", expected=False)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # the message of an error may hold the URL, and the URL a secret
        return Answer(f"the request failed: {type(error).__name__}", expected=False)


def _read(environment: Mapping[str, str]) -> tuple[HttpHook, float]:
    try:
        order = HttpHook.model_validate_json(environment[REQUEST_VARIABLE])
        return order, float(environment[TIMEOUT_VARIABLE])
    except (KeyError, ValueError):
        raise SettingsError(
            f"{REQUEST_VARIABLE} and {TIMEOUT_VARIABLE} describe no request: this command is for the pods of http hooks"
        ) from None


def _trust(order: HttpHook) -> ssl.SSLContext | bool:
    """Return whom to trust; True is for the authorities that the image knows."""
    try:
        return True if order.ca_bundle is None else trusting(order.ca_bundle)
    except ValueError as error:
        raise SettingsError(f"caBundle of the request: {error}") from None


def _judged(order: HttpHook, status: int) -> Answer:
    return Answer(f"the answer was HTTP {status}", status in (order.expected_status or _SUCCESS))


def report(answer: Answer, environment: Mapping[str, str]) -> None:
    """Leave what was told where the operator finds it."""
    path = environment.get(REPORT_VARIABLE)
    if path:
        Path(path).write_text(answer.told)
