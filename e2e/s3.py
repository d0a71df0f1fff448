"""A real S3 server beside the cluster. Its buckets are folders, so that a test can look at them or break them."""

import json
import os
import secrets
import shutil
import socket
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
from types_boto3_s3.client import S3Client

from e2e.paths import Places, SetUpError
from e2e.processes import Processes

_PORT = 7070
_NAME = "s3"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A versitygw at an address that pods and this machine reach."""

    places: Places
    processes: Processes
    address: str
    number: int = 0
    """Which one of those that share the buckets."""

    def beside(self, number: int) -> "S3Server":
        """Return another one for the same buckets: it can be away while this one is there."""
        return replace(self, number=number)

    @property
    def _name(self) -> str:
        return f"{_NAME}-{self.number}" if self.number else _NAME

    @property
    def _port(self) -> int:
        return _PORT + self.number

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://{self.address}:{self._port}"

    @property
    def folder(self) -> Path:
        """Where the buckets are."""
        return self.places.state / "s3"

    @property
    def _secret(self) -> Path:
        return self.places.state / "s3.json"

    def credentials(self) -> dict[str, str]:
        """Return the environment variables that hold its credentials."""
        if not self._secret.exists():
            self._make_secret()
        found: dict[str, str] = json.loads(self._secret.read_text())
        return found

    def _make_secret(self) -> None:
        """Make the credentials, which are the same for all who want them at once."""
        self.places.state.mkdir(parents=True, exist_ok=True)
        made = {"AWS_ACCESS_KEY_ID": secrets.token_hex(8), "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
        with tempfile.NamedTemporaryFile("w", dir=self.places.state) as file:  # which nobody else may read
            file.write(json.dumps(made))
            file.flush()
            with suppress(FileExistsError):
                os.link(file.name, self._secret)

    def start(self) -> None:
        """Start it, unless it runs.

        Raises:
            SetUpError: Somebody else is at its address, or it does not get ready.
        """
        if self.processes.runs(self._name):
            return
        if self._answers():
            raise SetUpError(
                f"something else than this cluster's {self._name} listens at {self.endpoint}; end it"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        found = self.credentials()
        environment = {
            "ROOT_ACCESS_KEY": found["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": found["AWS_SECRET_ACCESS_KEY"],
        }
        listen = ["--keep-alive", "--port", f"{self.address}:{self._port}"]  # as every server that people run
        command = [self.places.binary("versitygw"), *listen, "posix", str(self.folder)]
        self.processes.start(self._name, command, environment)
        self.processes.wait(self._name, self._answers, seconds=20)

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.address, self._port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it: to everybody else it looks like a store that is away."""
        self.processes.end(self._name)

    def client(self) -> S3Client:
        """Return a client that is logged in."""
        found = self.credentials()
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=found["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
        )

    def make_bucket(self, name: str) -> None:
        """Make an empty bucket in place of what was there."""
        self.remove_bucket(name)
        self.client().create_bucket(Bucket=name)

    def remove_bucket(self, name: str) -> None:
        """Take a bucket away with all that is in it."""
        shutil.rmtree(self.folder / name, ignore_errors=True)


def is_s3(process: str) -> bool:
    """Say whether a process, by its name, is an S3 server."""
    return process.partition("-")[0] == _NAME
