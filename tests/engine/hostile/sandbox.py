"""A place to run becalm on a hostile repository, and to see what it did beside its work."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from becalm_engine.volume.removing import remove
from tests.engine.repository.repositories import PASSWORD

MIB = 1024 * 1024
MEMORY_BYTES = 1024 * MIB
FILE_BYTES = 64 * MIB
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended. `status` is None for one that had to be killed because it did not end."""

    status: int | None
    out: str
    err: str
    peak_bytes: int


@dataclass(slots=True)
class Zygote:
    """The process that starts the others."""

    process: "subprocess.Popen[str]"

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@contextmanager
def zygote() -> Iterator[Zygote]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.hostile.zygote"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Zygote(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.stdout is not None
        process.stdout.close()
        process.wait(10)


@dataclass(slots=True)
class Sandbox:
    """A folder with a repository, a target, and things outside of the target that nobody may touch."""

    zygote: Zygote
    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("outside/dir", "work", "target"):
            (self.root / name).mkdir(parents=True)
        (self.root / "outside" / "file").write_text("untouched")
        (self.root / "outside" / "dir" / "inner").write_text("untouched")
        (self.root / "password").write_text("another")

    def clear(self) -> None:
        """Empty the target, however deep it is."""
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            remove(root, b"target")
        finally:
            os.close(root)
        self.target.mkdir()

    @property
    def target(self) -> Path:
        return self.root / "target"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    def run(
        self,
        repository: Path,
        *arguments: str,
        seconds: float = SECONDS,
        stop_seconds: float = 0.0,
        memory_bytes: int = MEMORY_BYTES,
    ) -> Ended:
        own = {"RESTIC_REPOSITORY": str(repository), "RESTIC_PASSWORD": PASSWORD, "USER": "tester"}
        job = {
            "arguments": arguments,
            "environment": {**own, **self.environment},
            "folder": str(self.root / "work"),
            "out": str(self.root / "out"),
            "err": str(self.root / "err"),
            "memory_bytes": memory_bytes,
            "file_bytes": FILE_BYTES,
            "seconds": seconds,
            "stop_seconds": stop_seconds,
        }
        done = self.zygote.run(job)
        out, err = ((self.root / name).read_text(errors="replace") for name in ("out", "err"))
        return Ended(done["status"], out, err, done["peak_bytes"])

    def surroundings(self) -> dict[str, tuple[int, int, int, int, bytes]]:
        """Return all that lies beside the target and the repository."""
        found = {}
        for parent, folders, names in os.walk(self.outside):
            for name in (*folders, *names, "."):
                path = Path(parent, name)
                about = path.lstat()
                content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
                found[str(path)] = (about.st_mode, about.st_nlink, about.st_uid, about.st_mtime_ns, content)
        names = sorted(path.name for path in self.root.iterdir())
        known = {
            "outside",
            "work",
            "target",
            "password",
            "out",
            "err",
            "repository",
            "copy",
            "source",
            "cache",
        }
        assert set(names) <= known, names
        return found
