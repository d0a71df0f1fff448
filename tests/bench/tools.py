"""The programs that are compared, and how each of them is asked to do the same work."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.places import Place

RUSTIC_VERSION = "0.11.4"
PASSWORD = "bench"


@dataclass(frozen=True, slots=True)
class Tool:
    """One backup program: its binary and the arguments for each kind of work."""

    name: str
    binary: Path
    version: str
    restore: Callable[[str, Path], list[str]]

    def environment(self, place: Place, cache: Path) -> dict[str, str]:
        """Return what names the repository and keeps the program's cache out of the home folder."""
        folder = str(cache / self.name)
        if self.name == "rustic":
            profile = cache / "rustic.toml"
            profile.write_text(place.rustic_profile(PASSWORD))
            return {
                "RUSTIC_USE_PROFILE": str(profile.with_suffix("")),
                "RUSTIC_CACHE_DIR": folder,
                "RUSTIC_NO_PROGRESS": "true",
                "XDG_CACHE_HOME": folder,
            }
        return {
            "RESTIC_REPOSITORY": place.restic_location,
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": folder,
            # whoever installs becalm, or takes its image, has its modules compiled
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(cache.with_name("compiled")),
            **place.credentials,
        }

    def init(self) -> list[str]:
        return [str(self.binary), "init"]

    def backup(self, folder: Path) -> list[str]:
        return [str(self.binary), "backup", str(folder)]

    def check(self) -> list[str]:
        return [str(self.binary), "check", "--read-data"]


NAMES = ("becalm", "restic", "rustic")


def find(names: Sequence[str], cache: Path) -> list[Tool]:
    """Find becalm and its peers; rustic, if it is wanted and not built yet, is built once into the cache."""
    return [_FINDERS[name](cache) for name in names]


def _becalm(_cache: Path) -> Tool:
    binary = Path(sys.executable).with_name("becalm")
    return Tool("becalm", binary, _version(binary, "version"), _restore_like_restic(binary))


def _restic(cache: Path) -> Tool:
    binary = cache / "bin" / "restic-0.19"
    if not binary.exists():
        sys.exit(f"bench: there is no restic at {binary}: run `make toolchain`")
    return Tool("restic", binary, _version(binary, "version"), _restore_like_restic(binary))


def _rustic(cache: Path) -> Tool:
    binary = _built_rustic(cache)
    return Tool("rustic", binary, _version(binary, "--version"), _restore_like_rustic(binary))


_FINDERS = {"becalm": _becalm, "restic": _restic, "rustic": _rustic}


def _built_rustic(cache: Path) -> Path:
    binary = cache / f"rustic-{RUSTIC_VERSION}" / "bin" / "rustic"
    if not binary.exists():
        if shutil.which("cargo") is None:
            sys.exit("bench: cargo is needed to build rustic, one of the peers: https://rustup.rs")
        print(
            f"==> building rustic {RUSTIC_VERSION} (about ten minutes on two cores, once)",
            flush=True,
        )
        root = str(binary.parent.parent)
        command = ["cargo", "install", "rustic-rs", "--locked", "--version", RUSTIC_VERSION]
        subprocess.run([*command, "--root", root], check=True)
    return binary


def _version(binary: Path, argument: str) -> str:
    text = subprocess.run([binary, argument], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+\.\d+", text)
    return found.group() if found else text.strip()


def _restore_like_restic(binary: Path) -> Callable[[str, Path], list[str]]:
    return lambda source, target: [
        str(binary),
        "restore",
        f"latest:{source}",
        "--target",
        str(target),
    ]


def _restore_like_rustic(binary: Path) -> Callable[[str, Path], list[str]]:
    return lambda source, target: [str(binary), "restore", f"latest:{source}", str(target)]
