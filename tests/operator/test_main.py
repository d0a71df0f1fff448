import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import aiohttp
import pytest
import yaml

from becalm_operator.__main__ import command
from tests.operator.handlers.api import FakeApiServer, fake_api_server
from tests.operator.handlers.examples import held_document
from tests.operator.handlers.test_observer import ALL, until

NOWHERE = {"BECALM_IMAGE": "becalm:test"}


@pytest.fixture
async def api_server() -> AsyncIterator[FakeApiServer]:
    async with fake_api_server() as server:
        yield server


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["version"], {}) == 0
    assert capsys.readouterr().out == f"{version('becalm')}\n"


def test_settings_that_make_no_sense_end_with_2_and_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert command([], {}) == 2
    assert capsys.readouterr().err.startswith("becalm-operator: BECALM_IMAGE is not set")
    assert command(["run"], {**NOWHERE, "BECALM_LOG_LEVEL": "loud"}) == 2


@pytest.mark.parametrize("arguments", [["nonsense"], ["release", "--nonsense"]])
def test_a_command_line_that_makes_no_sense_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command(arguments, NOWHERE)
    assert ended.value.code == 2


def _environment(server: FakeApiServer, folder: Path, port: int = 0) -> dict[str, str]:
    """Return the environment of an operator outside of the cluster."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "clusters": [{"name": "test", "cluster": {"server": server.url}}],
                "users": [{"name": "test", "user": {"token": "secret-token"}}],
            }
        )
    )
    return {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "BECALM_IMAGE": "becalm:test",
        "BECALM_NAMESPACE": "becalm",
        "BECALM_HEALTH_PORT": str(port),
        "BECALM_LOG_LEVEL": "DEBUG",
        "HOSTNAME": "one",
    }


async def _started(environment: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "becalm_operator",
        *arguments,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.slow
async def test_an_operator_takes_the_lease_watches_and_gives_the_lease_back(
    api_server: FakeApiServer, tmp_path: Path, unused_tcp_port: int
) -> None:
    process = await _started(_environment(api_server, tmp_path, unused_tcp_port))
    try:
        await until(lambda: api_server.watched() == ALL, seconds=60)
        assert api_server.object("lease")["spec"]["holderIdentity"] == "one"
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{unused_tcp_port}/healthz") as answer,
        ):
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output
    assert "holderIdentity" not in api_server.object("lease")["spec"]
    assert b"secret-token" not in output
    assert b"Traceback" not in output


@pytest.mark.slow
async def test_release_works_without_an_operator_and_without_settings(
    api_server: FakeApiServer, tmp_path: Path
) -> None:
    environment = _environment(api_server, tmp_path)
    del environment["BECALM_IMAGE"]
    process = await _started(environment, "release", "--uninstall")
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output
    assert api_server.object("lease")["spec"]["holderIdentity"] == "one-release"


@pytest.mark.slow
async def test_release_starts_what_it_can_see_where_a_namespace_is_refused(
    api_server: FakeApiServer, tmp_path: Path
) -> None:
    api_server.put("deployments", held_document())
    api_server.status_of = lambda path: 403 if "/namespaces/gone/" in path else 200
    environment = {**_environment(api_server, tmp_path), "BECALM_WATCHED_NAMESPACES": "gone,shop"}
    process = await _started(environment, "release", "--uninstall")
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 1, output
    assert api_server.object("deployments/shop/web")["spec"]["replicas"] == 3
    for plural in (b"backups", b"deployments"):
        assert b"not looked at: listing " + plural in output.lower()


@pytest.mark.slow
async def test_the_watchdog_needs_no_operator_and_no_lease(api_server: FakeApiServer, tmp_path: Path) -> None:
    environment = _environment(api_server, tmp_path)
    del environment["BECALM_IMAGE"]
    process = await _started(environment, "watchdog")
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output
    assert api_server.writes() == []
    assert b"Traceback" not in output
