"""Running other programs: quietly, with what they printed when they fail."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.paths import SetUpError

_TAIL_LINES = 30


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes | None = None,
    seconds: float = 600,
) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        SetUpError: It failed or took too long; with the end of its output.
    """
    text = stdin.encode() if isinstance(stdin, str) else stdin
    try:
        done = subprocess.run(
            list(command),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=text,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise SetUpError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise SetUpError(f"{shown(command)} took longer than {seconds:.0f} s") from error
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
        tail = "\n".join(said[-_TAIL_LINES:])
        raise SetUpError(f"{shown(command)} ended with exit code {done.returncode}:\n{tail}")
    return done.stdout.decode(errors="replace")


def succeeds(command: Sequence[str], *, env: Mapping[str, str] | None = None, seconds: float = 60) -> bool:
    """Say whether a program ends well."""
    try:
        run(command, env=env, seconds=seconds)
    except SetUpError:
        return False
    return True


def shown(command: Sequence[str]) -> str:
    """Return a command for people, cut to a line."""
    text = " ".join(command)
    return text if len(text) < 160 else text[:157] + "..."


def say(text: str) -> None:
    """Tell a step."""
    print(f"==> {text}", flush=True)
