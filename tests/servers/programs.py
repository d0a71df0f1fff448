"""S3 servers that people run, and how each is started. Built from source at pinned versions, once, into the cache."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from e2e.paths import places

from tests.engine.storage.s3_server import S3Server, answering, free_port, serving

_MINIO = ("github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c")
_GARAGE = "2.5.0"
_GARAGE_SETTINGS = """
metadata_dir = "{folder}/metadata"
data_dir = "{folder}/data"
replication_factor = 1
rpc_secret = "{secret}"
rpc_bind_addr = "127.0.0.1:{rpc_port}"

[s3_api]
api_bind_addr = "127.0.0.1:{port}"
s3_region = "garage"
"""
_STARTING_SECONDS = 60.0


@contextmanager
def _minio(folder: Path) -> Iterator[S3Server]:
    """Run MinIO, which keeps everything below a folder."""
    server = S3Server(free_port(), secrets.token_hex(8), secrets.token_hex(16), folder / "kept")
    keys = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key}
    command = [str(_built_minio()), "server", "--address", f"127.0.0.1:{server.port}", str(server.folder)]
    environment = {**os.environ, **keys, "MINIO_BROWSER": "off"}
    with answering(command, environment, server.port, folder / "log", seconds=_STARTING_SECONDS):
        yield server


@contextmanager
def _garage(folder: Path) -> Iterator[S3Server]:
    """Run Garage as its documentation sets it up: its region has a name of its own, which nobody tells the programs."""
    server = S3Server(free_port(), f"GK{secrets.token_hex(12)}", secrets.token_hex(32), folder / "data")
    settings = folder / "garage.toml"
    settings.write_text(
        _GARAGE_SETTINGS.format(
            folder=folder, secret=secrets.token_hex(32), port=server.port, rpc_port=free_port()
        )
    )
    keys = {
        "GARAGE_DEFAULT_ACCESS_KEY": server.access_key,
        "GARAGE_DEFAULT_SECRET_KEY": server.secret_key,
    }
    options = ("--single-node", "--default-access-key")
    command = [str(_built_garage()), "-c", str(settings), "server", *options]
    with answering(command, {**os.environ, **keys}, server.port, folder / "log", seconds=_STARTING_SECONDS):
        yield server


SERVERS: Mapping[str, Callable[[Path], AbstractContextManager[S3Server]]] = {
    "versitygw": serving,
    "minio": _minio,
    "garage": _garage,
}


def _built_minio() -> Path:
    folder = places().cache / f"minio-{_MINIO[1]}"
    command = ["go", "install", "-trimpath", "-ldflags=-s -w", "@".join(_MINIO)]
    return _built(folder / "minio", command, {"CGO_ENABLED": "0", "GOBIN": str(folder)})


def _built_garage() -> Path:
    folder = places().cache / f"garage-{_GARAGE}"
    command = ["cargo", "install", "garage", "--locked", "--version", _GARAGE, "--root", str(folder)]
    return _built(folder / "bin" / "garage", command, {})


def _built(binary: Path, command: Sequence[str], environment: Mapping[str, str]) -> Path:
    """Return a program, built unless it is there. A tool that lacks is a failure."""
    if not binary.exists():
        if shutil.which(command[0]) is None:
            pytest.fail(f"{command[0]} is needed to build {binary.name}")
        subprocess.run(command, env={**os.environ, **environment}, check=True)
    return binary
