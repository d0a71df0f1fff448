"""restic and becalm as processes: what a user types, what comes out."""

import functools
import json
import os
import subprocess
import sys
import tempfile
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

    def init(self, *flags: str, anew: bool = False) -> None:
        """Lay down a repository as the program makes it, but for its key, which opens at once.

        To make one takes seconds, so those of one program and one version have all the same keys and id; `anew`: this
        one has its own.
        """
        if anew:
            self.run("init", *flags)
            _cheapen(Path(self.repository))
        else:
            _made(self.binary, flags).lay_down(Path(self.repository))

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


@dataclass(frozen=True, slots=True)
class _Empty:
    """A repository without any snapshot, as it lies on a disk."""

    folders: tuple[str, ...]
    files: Mapping[str, bytes]

    def lay_down(self, place: Path) -> None:
        """Write it."""
        for name in self.folders:
            (place / name).mkdir(parents=True)
        for name, content in self.files.items():
            (place / name).write_bytes(content)


@functools.cache
def _made(binary: Path, flags: tuple[str, ...]) -> _Empty:
    """Let a program make a repository."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "repository"
        Program(binary, str(place), {"RESTIC_CACHE_DIR": f"{folder}/cache"}).init(*flags, anew=True)
        found = [(path.relative_to(place), path) for path in sorted(place.rglob("*"))]
        return _Empty(
            tuple(str(name) for name, path in found if path.is_dir()),
            {str(name): path.read_bytes() for name, path in found if path.is_file()},
        )


def _cheapen(repository: Path) -> None:
    """Change a repository's key for one that opens at once."""
    storage = LocalStorage(repository)
    name, master = find_named_key(storage, PASSWORD)
    make_key(storage, master, PASSWORD, CHEAP)
    storage.delete(FileKind.KEY, name)


def restic(version: str, repository: str | Path, cache: Path) -> Program:
    """Return restic of a version. A binary that is not there is a failure."""
    binary = Path(places().binary(f"restic-{version}"))
    # What a cache holds would hide what is missing in the repository.
    return Program(binary, str(repository), {"RESTIC_CACHE_DIR": str(cache), "GOMAXPROCS": "2"})


def becalm(repository: str | Path) -> Program:
    """Return the becalm of this environment."""
    return Program(Path(sys.executable).with_name("becalm"), str(repository))
