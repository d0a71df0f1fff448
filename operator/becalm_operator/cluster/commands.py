"""Commands in containers, by the API server's websocket: `kubectl exec` without a terminal."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, CoreV1Api
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.stream import WsApiClient
from kubernetes.aio.stream.ws_client import ERROR_CHANNEL, STDERR_CHANNEL, STDOUT_CHANNEL

from becalm_operator.plan.steps import RunCommand
from becalm_operator.plan.world import HookState

_KEPT_BYTES = 4096
"""How much is kept of what a command writes: its end."""

_REFUSALS = {
    400: "the pod has no such container, or has several and none is named",
    403: "the operator may not run commands in this namespace",
    404: "the pod is gone",
}
"""What a refusal means: of the answer to an upgrade the client tells no more than the code."""


@dataclass
class _Told:
    """What a command has told so far. `status` is what the API server says of its end; empty if it said nothing."""

    output: bytes = b""
    status: dict[str, Any] = field(default_factory=dict)

    def hear(self, message: bytes) -> None:
        """Take one message: a byte that names the channel, and what came on it."""
        channel, data = message[:1], message[1:]
        if channel and channel[0] in (STDOUT_CHANNEL, STDERR_CHANNEL):
            self.output = (self.output + data)[-_KEPT_BYTES:]
        elif channel and channel[0] == ERROR_CHANNEL and data:
            status = json.loads(data)
            self.status = status if isinstance(status, dict) else {}

    @property
    def text(self) -> str:
        """What it wrote at last."""
        return self.output.decode(errors="replace")


async def run_command(client: ApiClient, namespace: str, command: RunCommand) -> HookState:
    """Run a command and return its end. It is not ended itself when its time is over: nothing can do that from here."""
    told = _Told()
    try:
        async with asyncio.timeout(command.timeout_seconds), WsApiClient(client.configuration) as own:  # type: ignore[no-untyped-call]  # the client has no types here
            opening = await _open(own, namespace, command)
            return await _listen(opening, told)
    except TimeoutError:
        return HookState(ended=True, timed_out=True, output=told.text)
    except aiohttp.WSServerHandshakeError as error:
        why = _REFUSALS.get(error.status, f"HTTP {error.status}")
        return HookState(ended=True, error=f"the API server refuses the command: {why}")
    except (ApiException, aiohttp.ClientError, OSError) as error:
        return HookState(ended=True, error=f"the command was not begun: {type(error).__name__}")


async def _open(client: ApiClient, namespace: str, command: RunCommand) -> Any:
    """Return the websocket, not opened yet."""
    return await CoreV1Api(client).connect_get_namespaced_pod_exec_without_preload_content(
        command.pod,
        namespace,
        command=list(command.command),
        container=command.container or None,
        stdin=False,
        stdout=True,
        stderr=True,
        tty=False,
    )


async def _listen(opening: Any, told: _Told) -> HookState:
    """Follow a command to its end. Where the connection ends before, nobody knows how the command has."""
    async with opening as socket:
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    told.hear(message.data)
        except (aiohttp.ClientError, OSError, ValueError):
            return HookState(ended=True, output=told.text)
    return ended_as(told.status, told.text)


def ended_as(status: dict[str, Any], output: str) -> HookState:
    """Return the end that the API server tells of; one without an exit code and an error if it tells of none."""
    if not status:
        return HookState(ended=True, output=output)
    if status.get("status") == "Success":
        return HookState(ended=True, exit_code=0, output=output)
    causes = (status.get("details") or {}).get("causes") or ()
    codes = [cause.get("message", "") for cause in causes if cause.get("reason") == "ExitCode"]
    if codes and codes[0].isdecimal():
        return HookState(ended=True, exit_code=int(codes[0]), output=output)
    return HookState(
        ended=True, error=str(status.get("message") or "the command could not be run"), output=output
    )
