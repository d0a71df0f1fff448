"""Where things lie outside the checkout: what is cached, and what a running cluster needs."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""


class SetUpError(Exception):
    """Something that the cluster needs is not there, or does not work. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Places:
    """`cache` survives everything but `rm`; `state` is one running cluster's."""

    cache: Path
    state: Path

    @property
    def binaries(self) -> Path:
        """Programs that the toolchain has built."""
        return self.cache / "bin"

    @property
    def logs(self) -> Path:
        """What the cluster's processes print."""
        return self.state / "log"

    @property
    def kubeconfig(self) -> Path:
        """How to reach the cluster as its administrator."""
        return self.state / "admin.kubeconfig"

    def binary(self, name: str) -> str:
        """Return the path of a program.

        Raises:
            SetUpError: It has not been built.
        """
        path = self.binaries / name
        if not path.exists():
            raise SetUpError(f"{name} is not at {path}: run `make toolchain`")
        return str(path)


def places() -> Places:
    """Read the places from BECALM_CACHE and BECALM_STATE; both have defaults."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("BECALM_CACHE") or caches / "becalm")
    # a cluster of plain processes runs as root, kind as anybody
    states = Path("/var/lib") if os.geteuid() == 0 else Path.home() / ".local" / "state"
    return Places(cache, Path(os.environ.get("BECALM_STATE") or states / "becalm-e2e"))
