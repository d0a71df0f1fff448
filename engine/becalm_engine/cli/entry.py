"""Runs one command: errors become exit codes, signals a sound end, and a report is left whatever happens."""

import argparse
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from becalm_engine.cli import catalogue, parser
from becalm_engine.cli.output import Output
from becalm_engine.cli.session import Session
from becalm_engine.commands.progress import Progress
from becalm_engine.contract import ExitCode, Problem, Report
from becalm_engine.errors import (
    EngineError,
    InternalError,
    MachineError,
    StoppedError,
    StorageError,
    UsageError,
)
from becalm_engine.heap import collect_seldom, keep_freed_memory, leave_all


def main() -> NoReturn:
    """Run the command line and end the process."""
    keep_freed_memory()
    collect_seldom()
    status = run_command(sys.argv[1:], os.environ)
    leave_all()
    sys.exit(status)


def run_command(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command and return its exit code."""
    _open_what_is_closed()
    # Names are bytes; those that are no UTF-8 must not keep a message from being printed.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        parsed = parser.parse(arguments, environment)
    except SystemExit as ended:
        return ExitCode.OK if ended.code in (0, None) else ExitCode.ERROR
    output = Output(json=parsed.json, quiet=parsed.quiet, verbose=parsed.verbose)
    progress = Progress()
    with _heeding_signals(progress):
        report = _attempted(parsed, environment, output, progress)
    _say_how_it_ended(report, output)
    _leave(report, parsed.report, output)
    return report.exit_code


_ENDINGS = {
    ExitCode.ERROR: "Fatal: there were errors",
    ExitCode.INCOMPLETE: "Warning: at least one source file could not be read",
}
"""What is said of a run that went on after errors, which it has told one by one."""


def _say_how_it_ended(report: Report, output: Output) -> None:
    """Print restic's last word about a run that has failed; whoever follows JSON waits for it."""
    if report.exit_code == ExitCode.OK:
        return
    code = ExitCode(report.exit_code)
    message = f"Fatal: {report.error.message}" if report.error else _ENDINGS[code]
    output.message({"message_type": "exit_error", "code": int(code), "message": message}, to_error=True)


_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def _open_what_is_closed() -> None:
    """Open /dev/null for standard streams that are closed, as Go does: no file of the run must get their numbers."""
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: those below are open by now
            os.set_inheritable(number, True)  # a command that becalm starts has them, too
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _attempted(
    parsed: argparse.Namespace, environment: Mapping[str, str], output: Output, progress: Progress
) -> Report:
    command = catalogue.COMMANDS[parsed.command]
    try:
        session = Session(parsed, environment, stop=progress.stop, tell=output.warn)
        return command(session, output, progress)
    except EngineError as error:
        # a signal also ends waiting for a store that does not answer
        stopped = progress.stop.is_set() and isinstance(error, StorageError) and error.retryable
        return _failed(command.report, StoppedError(f"interrupted: {error}") if stopped else error, output)
    except KeyboardInterrupt:
        return _failed(command.report, StoppedError("interrupted"), output)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  the reader has gone; nothing more to say
        return command.report(exit_code=ExitCode.ERROR)
    except (OSError, MemoryError) as error:
        text = str(error) or "there is not enough memory for this"
        return _failed(command.report, MachineError(f"{type(error).__name__}: {text}"), output)
    except Exception as error:  # noqa: BLE001  a bug, too, must leave a report and restic's exit code
        output.warn("".join(traceback.format_exception(error)).rstrip())
        return _failed(command.report, InternalError(f"internal error: {error!r}"), output)


def _failed(kind: type[Report], error: EngineError, output: Output) -> Report:
    message = str(error) or type(error).__name__
    output.warn(f"Fatal: {message}")
    name = type(error).__name__.removesuffix("Error")
    return kind(exit_code=error.exit_code, error=Problem(name, message, error.retryable))


def _leave(report: Report, path: str, output: Output) -> None:
    """Write the report where it is wanted; the run's own result does not depend on it."""
    if not path:
        return
    try:
        Path(path).write_text(report.to_json())
    except (OSError, ValueError) as error:
        output.warn(f"cannot write the report to {path}: {error}")


@contextlib.contextmanager
def _heeding_signals(progress: Progress) -> Iterator[None]:
    """Ask the command to end at a sound state on the first signal, and end it at once on a second one.

    SIGUSR1 asks how far it is. SIGHUP is passed over: restic sends it to the process of each lock of its own
    host, to find out whether that process still lives, and passes it over itself.
    """

    def stop(_number: int, _frame: object) -> None:
        if progress.stop.is_set():
            raise KeyboardInterrupt
        progress.stop.set()

    def ask(_number: int, _frame: object) -> None:
        progress.asked.set()

    def pass_over(_number: int, _frame: object) -> None:
        """Do nothing; unlike SIG_IGN, a command that becalm starts does not inherit it."""

    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGUSR1: ask, signal.SIGHUP: pass_over}
    before = {}
    try:
        for number, handler in handlers.items():
            before[number] = signal.signal(number, handler)
    except ValueError as error:  # not the main thread: an embedding program has its own handling
        raise UsageError("commands run in the main thread") from error
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
