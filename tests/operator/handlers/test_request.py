"""The request of an http hook, against a server that notes what it gets."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from becalm_operator.errors import SettingsError
from becalm_operator.handlers.request import Answer, report, send
from tests.engine.storage.certificates import Authority

Asked = list[tuple[str, str, str, str]]


@pytest.fixture
def asked() -> Asked:
    """Method, path, the header Authorization and the body of each request."""
    return []


@pytest.fixture
async def server(asked: Asked) -> AsyncIterator[TestServer]:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.text()
        asked.append((request.method, request.path, request.headers.get("Authorization", ""), body))
        if request.path == "/moved":
            raise web.HTTPFound("/elsewhere")
        return web.Response(status=int(request.path.strip("/") or 200), text="a secret")

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    made = TestServer(application)
    async with made:
        yield made


def an_order(server: TestServer, path: str = "/", **fields: Any) -> dict[str, str]:
    order = {"url": str(server.make_url(path)), **fields}
    return {"BECALM_REQUEST": json.dumps(order), "BECALM_TIMEOUT": "10"}


async def test_a_request_carries_what_the_hook_says(server: TestServer, asked: Asked) -> None:
    headers = [
        {"name": "X", "value": "x"},
        {"name": "Authorization", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    environment = an_order(server, "/204", method="PUT", headers=headers, body="up ägain")

    answer = await send({**environment, "BECALM_HEADER_1": "Bearer s3cret\n"})

    assert answer == Answer("the answer was HTTP 204", expected=True)
    assert asked == [("PUT", "/204", "Bearer s3cret", "up ägain")]


async def test_a_url_may_be_a_secret(server: TestServer, asked: Asked) -> None:
    source = {"secretKeyRef": {"name": "s", "key": "k"}}
    order = {"BECALM_REQUEST": json.dumps({"urlFrom": source}), "BECALM_TIMEOUT": "10"}

    assert (await send({**order, "BECALM_URL": f"{server.make_url('/hidden/..')}\n"})).expected
    assert asked[0][0] == "POST"


@pytest.mark.parametrize(
    ("path", "expected", "holds"),
    [
        ("/299", [], True),
        ("/300", [], False),
        ("/404", [], False),
        ("/404", [404, 410], True),
        ("/200", [204], False),
    ],
)
async def test_an_answer_is_judged_by_its_code(
    server: TestServer, path: str, expected: list[int], holds: bool
) -> None:
    answer = await send(an_order(server, path, expectedStatus=expected))

    assert answer.expected is holds
    assert "secret" not in answer.told


async def test_a_redirect_is_not_followed(server: TestServer, asked: Asked) -> None:
    answer = await send(an_order(server, "/moved"))

    assert answer == Answer("the answer was HTTP 302", expected=False)
    assert len(asked) == 1


async def test_nobody_there_is_a_failure_that_does_not_tell_the_url(server: TestServer) -> None:
    order = an_order(server, "/token-in-the-path")
    await server.close()

    answer = await send(order)

    assert not answer.expected
    assert "token" not in answer.told


async def test_a_server_is_trusted_by_the_authorities_of_the_hook_alone(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "other")
    bundles = {
        name: base64.b64encode(one.file.read_bytes()).decode()
        for name, one in (("its own", authority), ("another", other))
    }
    server = TestServer(web.Application(), scheme="https", host="127.0.0.1")
    await server.start_server(ssl=authority.server_context(authority.issue("server")))
    url = str(server.make_url("/"))

    told = {
        name: await send({"BECALM_REQUEST": json.dumps({"url": url, **fields}), "BECALM_TIMEOUT": "10"})
        for name, fields in {
            "the image's": {},
            **{name: {"caBundle": bundle} for name, bundle in bundles.items()},
        }.items()
    }
    await server.close()

    distrusted = Answer("the request failed: ClientConnectorCertificateError", expected=False)
    answered = Answer("the answer was HTTP 404", expected=False)
    assert told == {"the image's": distrusted, "its own": answered, "another": distrusted}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"BECALM_REQUEST": '{"url": "https://gate", "caBundle": "bm8gUEVN"}', "BECALM_TIMEOUT": "1"},
        {"BECALM_REQUEST": "{", "BECALM_TIMEOUT": "1"},
        {"BECALM_REQUEST": "{}", "BECALM_TIMEOUT": "soon"},
        {"BECALM_REQUEST": "{}", "BECALM_TIMEOUT": "1"},
        {"BECALM_REQUEST": "{}", "BECALM_TIMEOUT": "1", "BECALM_URL": "file:///etc/passwd"},
    ],
)
async def test_without_a_request_the_command_says_so(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        await send(environment)


def test_what_came_of_it_is_left_for_the_operator(tmp_path: Path) -> None:
    report(Answer("told", expected=True), {"BECALM_REPORT": str(tmp_path / "report")})
    report(Answer("told", expected=True), {})

    assert (tmp_path / "report").read_text() == "told"
