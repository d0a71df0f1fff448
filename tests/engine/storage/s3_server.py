"""A real S3 server on loopback, and what tests know of it."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.paths import places

_STARTING_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server on loopback that keeps its buckets as folders below `folder`. The keys are those of its root."""

    port: int
    access_key: str
    secret_key: str
    folder: Path
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def log_in(self, environment: pytest.MonkeyPatch) -> None:
        """Put the server's credentials into the environment, and no others within reach."""
        use_credentials(environment, self.access_key, self.secret_key)

    def admin(self, *arguments: str) -> None:
        """Run a command of the server's administration."""
        access = ("--access", self.access_key, "--secret", self.secret_key, "--endpoint-url", self.url)
        subprocess.run(
            [places().binary("versitygw"), "admin", *access, *arguments], check=True, capture_output=True
        )


def use_credentials(environment: pytest.MonkeyPatch, access_key: str, secret_key: str) -> None:
    """Put credentials into the environment, and no others within reach."""
    hide_credentials(environment)
    environment.setenv("AWS_ACCESS_KEY_ID", access_key)
    environment.setenv("AWS_SECRET_ACCESS_KEY", secret_key)


def hide_credentials(environment: pytest.MonkeyPatch) -> None:
    """Leave nothing that could give credentials, or lead elsewhere."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "RESTIC_AWS_")):
            environment.delenv(name)
    environment.setenv("AWS_CONFIG_FILE", os.devnull)
    environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")


@contextmanager
def serving(folder: Path, *flags: str, posix_flags: Sequence[str] = ()) -> Iterator[S3Server]:
    """Run a server that keeps everything below `folder`; `flags` and `posix_flags` are more flags of it."""
    scheme = "https" if "--cert" in flags else "http"
    server = S3Server(free_port(), secrets.token_hex(8), secrets.token_hex(16), folder / "buckets", scheme)
    server.folder.mkdir()
    environment = {**os.environ, "ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key}
    command = [
        places().binary("versitygw"),
        "--keep-alive",  # as every server that people run
        "--port",
        f"127.0.0.1:{server.port}",
        *flags,
        "posix",
        *posix_flags,
        str(server.folder),
    ]
    with answering(command, environment, server.port, folder / "log"):
        yield server


@contextmanager
def answering(
    command: Sequence[str],
    environment: Mapping[str, str],
    port: int,
    log: Path,
    *,
    seconds: float = _STARTING_SECONDS,
) -> Iterator[None]:
    """Run a server, from when it answers on a port of loopback; `seconds` is how long that may take."""
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    try:
        _wait(process, port, log, seconds)
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"the S3 server does not answer:\n{log.read_text()}")
