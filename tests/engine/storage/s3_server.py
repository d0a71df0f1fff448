"""A real S3 server on loopback, and what tests know of it."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.paths import places

_STARTING_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server on loopback that keeps its buckets as folders below `folder`."""

    port: int
    access_key: str
    secret_key: str
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def log_in(self, environment: pytest.MonkeyPatch) -> None:
        """Put the server's credentials into the environment, and no others within reach."""
        environment.setenv("AWS_ACCESS_KEY_ID", self.access_key)
        environment.setenv("AWS_SECRET_ACCESS_KEY", self.secret_key)
        environment.setenv("AWS_CONFIG_FILE", os.devnull)
        environment.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            environment.delenv(name, raising=False)


@contextmanager
def serving(folder: Path) -> Iterator[S3Server]:
    """Run a server that keeps everything below `folder`."""
    server = S3Server(_free_port(), secrets.token_hex(8), secrets.token_hex(16), folder / "buckets")
    server.folder.mkdir()
    environment = {**os.environ, "ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key}
    command = [
        places().binary("versitygw"),
        "--port",
        f"127.0.0.1:{server.port}",
        "posix",
        str(server.folder),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait(process, server.port, folder / "log")
        yield server
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _STARTING_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"the S3 server does not answer:\n{log.read_text()}")
