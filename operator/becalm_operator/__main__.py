"""The operator's command line."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

from becalm_operator.cluster.api_server import ApiServer
from becalm_operator.cluster.connection import connected
from becalm_operator.cluster.lease import ApiLeases, Lease
from becalm_operator.errors import OperatorError
from becalm_operator.handlers import logs, releasing, request, running, watchdog
from becalm_operator.settings import Settings, read_settings

_FAILED = 1


def main() -> None:
    """Run the command that was typed, and end the process."""
    sys.exit(command(sys.argv[1:], os.environ))


def command(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "version":
            _tell(version("becalm"))
            return 0
        if options.command == "release":
            return _release(options, environment)
        if options.command == "watchdog":
            return _watchdog(environment)
        if options.command == "request":
            return _request(environment)
        return _run(environment)
    except OperatorError as error:
        sys.stderr.write(f"becalm-operator: {error}\n")
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="becalm-operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("run", help="run the operator (what happens without a command)")
    release = commands.add_parser(
        "release",
        help="start every workload that becalm holds down, whoever holds it",
        description="Start every workload that becalm holds down and take becalm's finalizer off all runs. "
        "Runs that held one fail. An operator that is at work may begin other runs at any time; "
        "with --uninstall it is stopped first, so that nothing is held down afterwards.",
    )
    release.add_argument("--namespace", metavar="NS", help="only in this namespace")
    release.add_argument(
        "--uninstall",
        action="store_true",
        help="take the operator's Lease first: no operator acts for a minute, in which it is to be removed",
    )
    commands.add_parser(
        "watchdog",
        help="start what is held down beyond its deadline, or by a run that has ended, and exit",
        description="Look once at every workload that becalm holds down, and start those whose deadline is past or "
        "whose run has ended or is gone. It needs no operator. Ends with 1 if one could not be started.",
    )
    commands.add_parser(
        "request",
        help="send the HTTP request of a hook, and exit",
        description="Send the request that BECALM_REQUEST describes: what the pod of an http hook does. "
        "Ends with 1 if the answer is not the expected one.",
    )
    commands.add_parser("version", help="print the version")
    return parser


def _run(environment: Mapping[str, str]) -> int:
    settings = read_settings(environment)
    logs.configure(settings.log_level, settings.log_format)
    asyncio.run(running.run(settings))
    return 0


def _without_image(environment: Mapping[str, str]) -> Settings:
    """Return the settings of a command that makes no Job: who wants a workload back need not know the movers' image."""
    settings = read_settings({"BECALM_IMAGE": "none", **environment})
    logs.configure(settings.log_level, settings.log_format)
    return settings


def _watchdog(environment: Mapping[str, str]) -> int:
    return 0 if asyncio.run(_watch_once(_without_image(environment))) else _FAILED


def _request(environment: Mapping[str, str]) -> int:
    answer = asyncio.run(request.send(environment))
    _tell(answer.told)
    request.report(answer, environment)
    return 0 if answer.expected else _FAILED


async def _watch_once(settings: Settings) -> bool:
    async with connected() as client:
        cluster = ApiServer(client, settings, _now)
        return await watchdog.watch_once(cluster, _now)


def _now() -> datetime:
    return datetime.now(UTC)


def _release(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    settings = _without_image(environment)
    if options.namespace:
        settings = replace(settings, watched_namespaces=(options.namespace,))
    return 0 if asyncio.run(_release_in(settings, uninstall=options.uninstall)) else _FAILED


async def _release_in(settings: Settings, *, uninstall: bool) -> bool:
    async with connected() as client:
        cluster = ApiServer(client, settings, _now)
        if not uninstall:
            return await releasing.release_everything(cluster, _tell)
        leases = ApiLeases(client, settings.namespace)
        lease = Lease(leases, f"{settings.identity}-release", releasing.UNINSTALL_TIMING)
        await releasing.stop_the_operator(lease, _tell, settings.identity)
        return await releasing.release_for_good(cluster, lease, _tell)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
