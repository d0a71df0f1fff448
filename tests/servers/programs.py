"""S3 servers that people run, and how each is started. Built from source at pinned versions, once, into the cache."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from e2e.paths import places

from tests.engine.storage.s3_server import S3Server, answering, free_port, serving

_MINIO = ("github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c")
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


SERVERS: Mapping[str, Callable[[Path], AbstractContextManager[S3Server]]] = {
    "versitygw": serving,
    "minio": _minio,
}


def _built_minio() -> Path:
    """Return MinIO, built unless it is there. A tool that lacks is a failure."""
    binary = places().cache / f"minio-{_MINIO[1]}" / "minio"
    if not binary.exists():
        if shutil.which("go") is None:
            pytest.fail("go is needed to build MinIO")
        command = ["go", "install", "-trimpath", "-ldflags=-s -w", "@".join(_MINIO)]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(binary.parent)}
        subprocess.run(command, env=environment, check=True)
    return binary
