"""S3 servers that people run, and how each is started. Built from source at pinned versions, once, into the cache."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from e2e.paths import places

from tests.engine.storage.s3_server import S3Server, answering, free_port, serving

_MINIO = ("github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c")
_STARTING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Started:
    """A server's command, and what it finds in its environment."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def _minio(server: S3Server) -> Started:
    keys = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
    command = [str(_built_minio()), "server", "--address", f"127.0.0.1:{server.port}", str(server.folder)]
    return Started(command, {**keys, "MINIO_BROWSER": "off"})


_OTHERS = {"minio": _minio}
NAMES = ("versitygw", *_OTHERS)


@contextmanager
def running(name: str, folder: Path) -> Iterator[S3Server]:
    """Run a server that keeps everything below a folder."""
    if name not in _OTHERS:
        with serving(folder) as server:
            yield server
        return
    server = S3Server(free_port(), secrets.token_hex(8), secrets.token_hex(16), folder / "kept")
    server.folder.mkdir()
    started = _OTHERS[name](server)
    environment = {**os.environ, **started.environment}
    with answering(started.command, environment, server.port, folder / "log", seconds=_STARTING_SECONDS):
        yield server


def _built_minio() -> Path:
    binary = places().cache / f"minio-{_MINIO[1]}" / "minio"
    environment = {"CGO_ENABLED": "0", "GOBIN": str(binary.parent)}
    return _built(binary, ["go", "install", "-trimpath", "-ldflags=-s -w", "@".join(_MINIO)], environment)


def _built(binary: Path, command: Sequence[str], environment: Mapping[str, str]) -> Path:
    """Build a program, unless it is there. A tool that lacks is a failure."""
    if not binary.exists():
        if shutil.which(command[0]) is None:
            pytest.fail(f"{command[0]} is needed to build {binary.name}")
        subprocess.run(command, env={**os.environ, **environment}, check=True)
    return binary
