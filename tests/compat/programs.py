"""restic and becalm as processes: what a user types, what comes out."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.paths import places

from becalm_engine.repository.keys import find_named_key, make_key
from becalm_engine.storage.base import FileKind
from becalm_engine.storage.local import LocalStorage
from tests.engine.repository.repositories import CHEAP

PASSWORD = "tests have no secrets"
VERSIONS = ("0.14", "0.18", "0.19")

LOST: dict[str, tuple[bytes, ...]] = {"0.14": (b"odd/links/binary",), "0.18": (), "0.19": ()}
"""What a version cannot hold: 0.14 takes the targets of links for text."""


@dataclass(frozen=True, slots=True)
class Program:
    """One backup program and the repository it works on."""

    binary: Path
    repository: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version in the binary's name."""
        return self.binary.name.removeprefix("restic-")

    def init(self, *flags: str) -> None:
        """Make the repository, and change its key for one that opens at once: the rest is soon done."""
        self.run("init", *flags)
        storage = LocalStorage(Path(self.repository))
        name, master = find_named_key(storage, PASSWORD)
        make_key(storage, master, PASSWORD, CHEAP)
        storage.delete(FileKind.KEY, name)

    def run(self, *arguments: str | Path, status: int = 0, cwd: Path | None = None) -> str:
        """Run a command, expect its exit status, and return what it printed."""
        done = self.attempt(*arguments, cwd=cwd)
        said = f"{done.stdout.decode(errors='replace')[-4000:]}{done.stderr.decode(errors='replace')[-4000:]}"
        assert done.returncode == status, (
            f"{self.binary.name} {arguments} ended with {done.returncode}:\n{said}"
        )
        return done.stdout.decode()

    def attempt(
        self, *arguments: str | Path, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run a command that may fail."""
        environment = self.all_environment()
        return subprocess.run(
            [self.binary, *arguments], env=environment, cwd=cwd, capture_output=True, check=False
        )

    def start(self, *arguments: str | Path, stdin: int | None = None) -> "subprocess.Popen[bytes]":
        """Start a command and leave it running."""
        return subprocess.Popen(
            [self.binary, *arguments],
            env=self.all_environment(),
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def json(self, *arguments: str | Path) -> Any:
        """Run a command that prints one JSON document."""
        return json.loads(self.run(*arguments, "--json"))

    def lines(self, *arguments: str | Path, status: int = 0) -> Iterator[dict[str, Any]]:
        """Run a command that prints JSON lines."""
        return map(json.loads, self.run(*arguments, "--json", status=status).splitlines())

    def all_environment(self) -> dict[str, str]:
        """Return the environment of the program, free of what the user's own has set."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RESTIC_", "BECALM_REPORT"))}
        own = {"RESTIC_REPOSITORY": self.repository, "RESTIC_PASSWORD": PASSWORD, "TZ": "UTC"}
        return {**kept, **own, **self.environment}


def restic(version: str, repository: str | Path, cache: Path) -> Program:
    """Return restic of a version. A binary that is not there is a failure."""
    binary = Path(places().binary(f"restic-{version}"))
    # What a cache holds would hide what is missing in the repository.
    return Program(binary, str(repository), {"RESTIC_CACHE_DIR": str(cache), "GOMAXPROCS": "2"})


def becalm(repository: str | Path) -> Program:
    """Return the becalm of this environment."""
    return Program(Path(sys.executable).with_name("becalm"), str(repository))
